"""What may be off when a grasp is executed: the surface within its expected error, the gripper within its pose
noise."""

from __future__ import annotations

import numpy as np

from mvgamba_ros.config.grasp_config import GraspConfig
from mvgamba_ros.grasps.surface_scene import Solid
from mvgamba_ros.types import F64

WAVES = 64
"""Cosines that a random field is the sum of."""


def displaced(solid: Solid, config: GraspConfig, random: np.random.Generator) -> F64:
    """(V, 3) the vertices moved along their normals by a random field of each one's ``sigma`` that stays alike over
    ``config.error_reach``: random Fourier features of a Gaussian kernel (Rahimi and Recht, 2007)."""
    waves = random.normal(scale=1.0 / config.error_reach, size=(WAVES, 3))
    phases = random.uniform(0.0, 2.0 * np.pi, WAVES)
    field = np.cos((solid.vertices @ waves.T + phases).astype(np.float32)).sum(axis=1) * np.sqrt(2.0 / WAVES)
    return solid.vertices + (solid.sigma * field)[:, None] * solid.vertex_normals


def pose_noise(config: GraspConfig, count: int, random: np.random.Generator) -> tuple[F64, F64]:
    """Rotations (N, 3, 3) and translations (N, 3), metres, of the gripper in its own frame."""
    from scipy.spatial.transform import Rotation

    turns = Rotation.from_rotvec(random.normal(scale=np.radians(config.rotation_sigma), size=(count, 3))).as_matrix()
    return turns, random.normal(scale=config.position_sigma, size=(count, 3))
