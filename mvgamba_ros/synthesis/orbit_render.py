"""An object afloat, seen from a paper's cameras."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mvgamba_ros.config.bounds import bounded
from mvgamba_ros.synthesis.data_format import SURFACE_POINTS
from mvgamba_ros.synthesis.orbit_cameras import object_size, orbit_intrinsics, orbit_poses, orbit_preset
from mvgamba_ros.synthesis.ray_scene import RayScene
from mvgamba_ros.synthesis.render import Arrays, object_picture, sample_visible_surface
from mvgamba_ros.synthesis.shading import FLAT, Rng, Shader, rotate_normals, sample_light
from mvgamba_ros.synthesis.textured_mesh import TexturedMesh
from mvgamba_ros.types import F64


@dataclass(frozen=True)
class RingRig:
    """A paper's cameras and the light before them."""

    preset: str = "mvgamba"
    """One of `orbit_cameras.PRESETS`."""
    size: int = bounded(0, 0, 8192)
    """Side of the pictures, pixels; 0: the preset's."""
    lit: float = bounded(0.5, 0.0, 1.0)
    """Share of objects under a random light, with shadows; the others show their own colours, as unlit renderings
    do."""
    turned: bool = True
    """Each object is turned about its upright axis by a random angle."""

    @property
    def pixels(self) -> int:
        return self.size or orbit_preset(self.preset).pixels


def orbit_views(
    mesh: TexturedMesh, rig: RingRig, rng: Rng, points: int = SURFACE_POINTS, chosen: Sequence[int] | None = None
) -> Arrays:
    """One example as `render` makes them, afloat at the origin, from all cameras of the preset, inputs first.

    ``chosen``: indices of the cameras; all of them by default.
    """
    preset = orbit_preset(rig.preset)
    vertices = mesh.vertices
    if rig.turned:
        yaw = rng.uniform(0, 2 * np.pi)
        c, s = np.cos(yaw), np.sin(yaw)
        vertices = vertices @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]).T
    centre, side = object_size(vertices, preset)
    local: F64 = vertices - centre
    light = sample_light(rng)
    lit = rng.random() < rig.lit
    shader = Shader(rotate_normals(mesh, vertices), local, light if lit else FLAT)
    radius = float(np.linalg.norm(local, axis=1).max())
    ring = preset.cameras if chosen is None else [preset.cameras[k] for k in chosen]
    T = orbit_poses(tuple(ring), preset.distance * side, np.zeros(3))
    K = orbit_intrinsics(preset.fov_deg, rig.pixels)
    rays = RayScene(local, mesh.faces)
    views = [object_picture(rays, shader, K, pose, rig.pixels, float("nan"), radius, rng) for pose in T]
    rgb, alpha, front, back = (np.stack(v) for v in zip(*views, strict=True))
    surface, normals = sample_visible_surface(rays, local, mesh.faces, points, rng)
    return {
        "rgb": rgb,
        "alpha": alpha,
        "depth_front": front,
        "depth_back": back,
        "K": np.repeat(K[None], len(T), 0).astype(np.float32),
        "T_world_camera": T.astype(np.float32),
        "points": surface,
        "normals": normals.astype(np.float16),
        "support_height": np.float32(np.nan),
        "ring": np.uint8(0),
    }


def centred(mesh: TexturedMesh, preset: str) -> TexturedMesh:
    """``mesh`` where `orbit_views` shows it with ``turned`` False."""
    return replace(mesh, vertices=mesh.vertices - object_size(mesh.vertices, orbit_preset(preset))[0])
