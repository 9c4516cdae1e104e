"""A fused surface made to reach every silhouette: where a view sees the object, something must stand.

Depths that are a little wrong on both sides of a thin part, a handle or a rim, leave nothing of it, though all views
see it. Along the ray of each such pixel the place that lacks least is filled: the constraint of Cremers and Kolev,
"Multiview stereo and silhouette consistency via convex functionals over convex domains", PAMI 2011, on a grid. Rays are
filled one by one, which leaves a side that is seen edge-on crinkled; so what is filled is smoothed, and the rays that
this leaves short are filled again.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from mvgamba_ros.geometry.camera import projection
from mvgamba_ros.geometry.distance_field import DistanceField
from mvgamba_ros.parallel import each
from mvgamba_ros.surface.blur import blur
from mvgamba_ros.types import F32, I64, View

LIFT = 0.375
"""How far inside the filled place comes to lie, voxels."""
BAND = 1.0
"""What lacks no more than so many voxels beyond the least along a ray is filled with it."""
COARSEST = 1.2
"""Side of the cells that rays are gathered in, voxels as the view sees them, so that no cell falls between voxels;
never finer than the view's pixels."""
COVERED = 0.3
"""Share of a cell that must be silhouette for something to stand in it; how far, the hull says. Were it all, the
surface would end short of every silhouette."""
ROUNDS = 3
SMOOTHING = 1.0
"""Standard deviation that each round's filling is smoothed with, voxels; chosen with the rounds on held-out procedural
objects, where three reach as much as one does unsmoothed, and the mean angle between faces falls from 34 to 11 degrees.
"""


def enforce_silhouettes(shape: DistanceField, hull: DistanceField, views: Sequence[View]) -> DistanceField:
    """``shape`` filled, inside ``hull`` only, where a silhouette of ``views`` would show through.

    ``shape`` and ``hull`` on the same grid; ``views`` undistorted, with masks, in the hull's frame.
    """
    within = np.flatnonzero(hull.values > 0.0)
    index = np.stack(np.unravel_index(within, hull.values.shape)).astype(np.float32)
    inside = shape.values.take(within)
    lacking = each(lambda view: unexplained_rays(view, hull, index, inside), views)
    field, added = shape.values, np.zeros_like(shape.values)
    for _ in range(ROUNDS):
        added.put(within, _filling(field.take(within), lacking, hull.voxel))
        field = np.minimum(field + blur(added, SMOOTHING), hull.values)
    return DistanceField(field, shape.origin, shape.voxel)


def _filling(field: F32, lacking: Sequence[tuple[I64, I64]], voxel: float) -> F32:
    """What must be added to ``field`` (N,) so that the place that lacks least along each ray comes inside."""
    added = np.zeros_like(field)
    for which, starts in lacking:
        if not len(which):
            continue
        before = field[which]
        least = np.repeat(np.maximum.reduceat(before, starts), np.diff(starts, append=len(which)))
        fill = (least < LIFT * voxel) & (before > least - BAND * voxel)
        added[which[fill]] = np.maximum(added[which[fill]], LIFT * voxel - least[fill])
    return added


def unexplained_rays(view: View, hull: DistanceField, index: F32, field: F32) -> tuple[I64, I64]:
    """Which of the voxels ``index`` (3, N) lie on a ray that must meet the object and meets nothing in ``field`` (N,)
    yet, ray by ray, and where each ray's begin; rays are as wide as a cell of the image."""
    assert view.mask is not None
    P = projection(view.camera, view.T_world_camera)
    from_index = np.column_stack([hull.voxel * P[:, :3], P[:, :3] @ hull.origin + P[:, 3]]).astype(np.float32)
    u, v, z = from_index[:, :3] @ index + from_index[:, 3:]
    side = max(1.0, COARSEST * hull.voxel * view.camera.K[0, 0] / float(np.median(z)))
    height, width = view.mask.shape
    columns, rows = max(1, int(np.ceil(width / side))), max(1, int(np.ceil(height / side)))
    share: F32 = cv2.resize(view.mask.astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    ahead = z > 0
    np.copyto(z, np.inf, where=~ahead)
    x, y = u / z * np.float32(columns / width), v / z * np.float32(rows / height)
    seen = ahead & (x >= 0) & (y >= 0) & (x < columns) & (y < rows)
    cell = np.where(seen, y, 0).astype(np.int32) * columns + np.where(seen, x, 0).astype(np.int32)
    lacks = share.ravel() > COVERED
    lacks[cell[seen & (field >= LIFT * hull.voxel)]] = False
    which = np.flatnonzero(seen & lacks[cell])
    which = which[np.argsort(cell[which], kind="stable")]
    return which, np.flatnonzero(np.diff(cell[which], prepend=-1))
