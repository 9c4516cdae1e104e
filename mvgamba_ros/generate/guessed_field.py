"""An aligned shape as a guess for TSDF integration, joined to the depth that was measured in front of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from mvgamba_ros.config.surface_config import SurfaceConfig
from mvgamba_ros.generate.alignment_config import AlignmentConfig
from mvgamba_ros.generate.canonical_cameras import RADIUS, square_camera
from mvgamba_ros.geometry.camera import projection
from mvgamba_ros.geometry.distance_field import DistanceField
from mvgamba_ros.geometry.se3 import look_at
from mvgamba_ros.rendering.mesh_raycaster import Raycaster
from mvgamba_ros.surface.depth_maps import DepthMaps
from mvgamba_ros.surface.tsdf import Guess, integrate_depth_maps
from mvgamba_ros.types import F32, F64, Camera, Mesh

ALL_AROUND: F64 = np.array(
    [[x, y, z] for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1) if (x, y, z) != (0, 0, 0)], np.float64
)
"""(26, 3) directions that an aligned shape's depth is rendered from: the sides, edges and corners of a cube."""


def guessed_field(
    aligned: Mesh,
    hull: DistanceField,
    measured: Sequence[DepthMaps],
    surface: SurfaceConfig,
    config: AlignmentConfig = AlignmentConfig(),
) -> Guess:
    """An ``aligned`` shape on the ``hull``'s grid, by its depth from all around: it need not be closed, and what lies
    inside of it does not matter. Its weight is the inverse of its variance, as that of depth maps is.

    Where it begins a little behind a ``measured`` surface, the gap is filled: the measured surface is that of the same
    body, and would be a thin shell before it.
    """
    low, high = aligned.vertices.min(axis=0), aligned.vertices.max(axis=0)
    centre, half = 0.5 * (low + high), 0.5 * float((high - low).max())
    caster, camera = Raycaster(aligned), square_camera(config.guess_side)
    reach = 1.2 * RADIUS * np.sqrt(3.0) * half  # the corners of its box stay in the pictures
    poses = np.stack([look_at(centre + reach * d / np.linalg.norm(d), centre) for d in ALL_AROUND])
    depths = np.stack([caster.render(camera, T).depth for T in poses])
    front = torch.from_numpy(np.where(depths > 0.0, depths, np.inf).astype(np.float32))
    truncation = surface.truncation * hull.voxel
    maps = DepthMaps(front, np.stack([camera.K] * len(poses)), poses)
    values = integrate_depth_maps([maps], hull, truncation, coarse_only=True, config=surface).values
    reach = surface.sigma_reach * config.guess_sigma * 2.0 * half
    for of_view in measured:
        for v in range(len(of_view.front)):
            values = _joined(values, hull, caster, of_view, v, reach, truncation)
    return Guess(values, min(1.0, (truncation / reach) ** 2))


def _joined(
    values: F32, hull: DistanceField, caster: Raycaster, maps: DepthMaps, v: int, reach: float, truncation: float
) -> F32:
    """``values`` without a gap of less than ``reach`` metres between a measured surface and the shape behind it."""
    front = maps.front[v].double().numpy()
    height, width = front.shape
    camera, T = Camera(maps.K[v], width, height), maps.T_world_camera[v]
    shape = caster.render(camera, T).depth.astype(np.float64)
    gap = np.isfinite(front) & (shape > front) & (shape < front + reach)
    inside = np.argwhere(hull.inside)
    P = projection(camera, T)
    u, w, z = P[:, :3] @ (hull.origin + hull.voxel * inside).T + P[:, 3:]
    x, y = np.floor(u / z).astype(int), np.floor(w / z).astype(int)
    there = (z > 0.0) & (x >= 0) & (y >= 0) & (x < width) & (y < height)
    inside, x, y, z = inside[there], x[there], y[there], z[there]
    at = tuple(inside.T)
    behind = z - front[y, x]
    filled = gap[y, x] & (behind > 0.0) & ((z < shape[y, x]) | (values[at] > 0.0))
    joined = values.copy()
    joined[at] = np.where(filled, np.maximum(values[at], np.minimum(behind, truncation)), values[at])
    return joined
