"""A similarity transform: how a canonical frame lies in the world."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from mvgamba_ros.geometry.se3 import matrix_to_quat, rigid
from mvgamba_ros.types import F64, Gaussians, Mesh, View


@dataclass(frozen=True)
class Similarity:
    """``x_world = scale * R @ x_canonical + t``; ``scale`` is metres for one canonical unit, ``R`` (3, 3), ``t`` (3,)
    metres."""

    scale: float
    R: F64
    t: F64

    def points(self, points: F64) -> F64:
        """Canonical points (..., 3) in the world."""
        return self.scale * points @ self.R.T + self.t

    def mesh(self, mesh: Mesh) -> Mesh:
        """A canonical mesh in the world."""
        return replace(mesh, vertices=self.points(mesh.vertices))

    def view(self, view: View) -> View:
        """A canonical view in the world: its camera keeps its intrinsics, its depth is scaled."""
        T = rigid(self.R @ view.T_world_camera[:3, :3], self.points(view.T_world_camera[:3, 3]))
        depth = None if view.depth is None else (view.depth * self.scale).astype(np.float32)
        return replace(view, T_world_camera=T, depth=depth)

    def gaussians(self, gaussians: Gaussians) -> Gaussians:
        """Canonical Gaussians in the world."""
        turned = Rotation.from_matrix(self.R) * Rotation.from_quat(gaussians.quats.double().numpy()[:, [1, 2, 3, 0]])
        quats = turned.as_quat()[:, [3, 0, 1, 2]]
        means = self.points(gaussians.means.double().numpy())
        return replace(
            gaussians,
            means=torch.from_numpy(means).float(),
            quats=torch.from_numpy(quats).float(),
            scales=gaussians.scales * self.scale,
        )

    def canonical_camera(self, T_world_camera: F64) -> F64:
        """The pose (4, 4) of a camera in the canonical frame; z-depths there times `scale` are metres."""
        return rigid(self.R.T @ T_world_camera[:3, :3], self.R.T @ (T_world_camera[:3, 3] - self.t) / self.scale)

    def grown(self, factor: float, about: F64) -> Similarity:
        """Scaled by ``factor`` about the world point ``about`` (3,): about a camera's centre, its picture stays."""
        return Similarity(self.scale * factor, self.R, about + factor * (self.t - about))

    def stepped(self, step: F64, about: F64) -> Similarity:
        """After a small motion ``step`` (7,), a turn in radians, a move in metres and the logarithm of a scale, of all
        points around the world point ``about`` (3,)."""
        turn, factor = Rotation.from_rotvec(step[:3]).as_matrix(), float(np.exp(step[6]))
        return Similarity(self.scale * factor, turn @ self.R, about + step[3:6] + factor * turn @ (self.t - about))

    def to_dict(self) -> dict[str, object]:
        """Plain JSON values."""
        return {"scale": self.scale, "R_wxyz": matrix_to_quat(self.R).tolist(), "t_m": self.t.tolist()}
