"""Silhouette consistency: a surface made to reach every silhouette, so that where a view sees the object, something
stands.

Depths that are a little wrong on both sides of a thin part, a handle or a rim, leave nothing of it, though all views
see it. Along the ray of each such pixel the voxels that are least outside are filled: the constraint of Cremers and
Kolev, "Multiview stereo and silhouette consistency via convex functionals over convex domains", PAMI 2011, on a grid.
Rays are filled one by one, which leaves a side that is seen edge-on crinkled; so what is filled is smoothed, and the
rays that this leaves short are filled again.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from mvgamba_ros.config.surface_config import SurfaceConfig
from mvgamba_ros.geometry.camera import projection
from mvgamba_ros.geometry.distance_field import DistanceField
from mvgamba_ros.geometry.gaussian_filter import gaussian_filter
from mvgamba_ros.geometry.occlusion import visible
from mvgamba_ros.parallel import each
from mvgamba_ros.types import F32, I64, View


def enforce_silhouettes(
    tsdf: DistanceField, hull: DistanceField, views: Sequence[View], config: SurfaceConfig = SurfaceConfig()
) -> DistanceField:
    """``tsdf`` filled, inside the visual ``hull`` only, where a silhouette of ``views`` would show through.

    ``tsdf`` and ``hull`` on the same grid; ``views`` undistorted, with masks, in the hull's frame.
    """
    within = np.flatnonzero(hull.values > 0.0)
    index = np.stack(np.unravel_index(within, hull.values.shape)).astype(np.float32)
    inside = tsdf.values.take(within)
    unexplained = each(lambda view: unexplained_rays(view, hull, index, inside, config), views)
    values, added = tsdf.values, np.zeros_like(tsdf.values)
    for _ in range(config.fill_rounds):
        added.put(within, _filling(values.take(within), unexplained, hull.voxel, config))
        values = np.minimum(values + gaussian_filter(added, config.fill_sigma, config.kernel_radius), hull.values)
    return DistanceField(values, tsdf.origin, tsdf.voxel)


def _filling(values: F32, rays: Sequence[tuple[I64, I64]], voxel: float, config: SurfaceConfig) -> F32:
    """What must be added to the distances ``values`` (N,) so that the highest along each of ``rays`` comes inside."""
    depth = config.fill_depth * voxel
    added = np.zeros_like(values)
    for which, starts in rays:
        if not len(which):
            continue
        before = values[which]
        highest = np.repeat(np.maximum.reduceat(before, starts), np.diff(starts, append=len(which)))
        fill = (highest < depth) & (before > highest - config.fill_band * voxel)
        added[which[fill]] = np.maximum(added[which[fill]], depth - highest[fill])
    return added


def unexplained_rays(
    view: View, hull: DistanceField, index: F32, values: F32, config: SurfaceConfig = SurfaceConfig()
) -> tuple[I64, I64]:
    """The voxels on rays that must meet the object, by ``view``'s silhouette, and meet no surface yet.

    ``index`` (3, N): voxels inside the visual ``hull``; ``values`` (N,): their signed distances, metres. Rays are as
    wide as an image cell, `SurfaceConfig.cell_size`. Returns positions in ``index``, ray by ray, and where each ray's
    begin.
    """
    mask = visible(view)  # where it is hidden, nothing shows that the object is there
    P = projection(view.camera, view.T_world_camera)
    from_index = np.column_stack([hull.voxel * P[:, :3], P[:, :3] @ hull.origin + P[:, 3]]).astype(np.float32)
    u, v, z = from_index[:, :3] @ index + from_index[:, 3:]
    side = max(1.0, config.cell_size * hull.voxel * view.camera.K[0, 0] / float(np.median(z)))
    height, width = mask.shape
    columns, rows = max(1, int(np.ceil(width / side))), max(1, int(np.ceil(height / side)))
    share: F32 = cv2.resize(mask.astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    ahead = z > 0
    np.copyto(z, np.inf, where=~ahead)
    x, y = u / z * np.float32(columns / width), v / z * np.float32(rows / height)
    seen = ahead & (x >= 0) & (y >= 0) & (x < columns) & (y < rows)
    cell = np.where(seen, y, 0).astype(np.int32) * columns + np.where(seen, x, 0).astype(np.int32)
    unexplained = share.ravel() > config.min_cell_coverage
    unexplained[cell[seen & (values >= config.fill_depth * hull.voxel)]] = False
    which = np.flatnonzero(seen & unexplained[cell])
    which = which[np.argsort(cell[which], kind="stable")]
    return which, np.flatnonzero(np.diff(cell[which], prepend=-1))
