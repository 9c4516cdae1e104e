"""A fused surface made to reach every silhouette: where a view sees the object, something must stand.

Depths that are a little wrong on both sides of a thin part, a handle or a rim, leave nothing of it, though all views
see it. Along the ray of each such pixel the place that lacks least is filled: the constraint of Cremers and Kolev,
"Multiview stereo and silhouette consistency via convex functionals over convex domains", PAMI 2011, on a grid, once.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from mvgamba_ros.geometry.camera import project
from mvgamba_ros.geometry.hull import VisualHull
from mvgamba_ros.types import F32, F64, View

LIFT = 0.5
"""How far inside the filled place comes to lie, voxels."""
BAND = 1.0
"""What lacks no more than so many voxels beyond the least along a ray is filled with it."""
COARSEST = 1.2
"""Side of the cells that rays are gathered in, voxels as the view sees them, so that no cell falls between voxels;
never finer than the view's pixels."""
COVERED = 0.99
"""Share of a cell that must be silhouette: its border is left to the hull."""


def reach_silhouettes(shape: VisualHull, hull: VisualHull, views: Sequence[View]) -> VisualHull:
    """``shape`` filled, inside ``hull`` only, where a silhouette of ``views`` would show through.

    ``shape`` and ``hull`` on the same grid; ``views`` undistorted, with masks, in the hull's frame.
    """
    index = np.nonzero(hull.field > 0.0)
    points = hull.origin + hull.voxel * np.stack(index, axis=1)
    before = shape.field[index]
    after = before.copy()
    for view in views:
        cell, covered = _cells(view, points, hull.voxel)
        inside = cell >= 0
        best = np.full(len(covered), -np.inf, np.float32)
        np.maximum.at(best, cell[inside], before[inside])
        lacks = covered & (best < LIFT * hull.voxel)
        least = best[cell]
        fill = inside & lacks[cell] & (before > least - BAND * hull.voxel)
        after[fill] = np.maximum(after[fill], (before - least)[fill] + LIFT * hull.voxel)
    field = shape.field.copy()
    field[index] = np.minimum(after, hull.field[index])
    return VisualHull(field, shape.origin, shape.voxel)


def _cells(view: View, points: F64, voxel: float) -> tuple[np.ndarray, np.ndarray]:
    """The cell of the image that each of ``points`` (N, 3) is seen in, (N,), -1 beyond it; and per cell whether it is
    all silhouette."""
    assert view.mask is not None
    pixels, z = project(view.camera, view.T_world_camera, points)
    side = max(1.0, COARSEST * voxel * view.camera.K[0, 0] / float(np.median(z)))
    height, width = view.mask.shape
    columns, rows = max(1, int(np.ceil(width / side))), max(1, int(np.ceil(height / side)))
    share: F32 = cv2.resize(view.mask.astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    at = np.floor(pixels * [columns / width, rows / height])
    seen = (z > 0) & (at >= 0).all(axis=1) & (at < [columns, rows]).all(axis=1)
    at = np.where(seen[:, None], at, 0).astype(np.int64)
    return np.where(seen, at[:, 1] * columns + at[:, 0], -1), share.ravel() > COVERED
