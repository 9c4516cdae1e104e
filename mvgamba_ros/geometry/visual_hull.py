"""The visual hull (shape from silhouette, space carving): the largest solid that agrees with every silhouette.

In each view the signed distance to the silhouette's outline, times metres per pixel at the point's depth, is the
distance from the point to that silhouette's cone; the smallest over the views is the hull's distance field, positive
inside. Unlike an occupancy grid it crosses zero between voxels, so its surface is far finer than they are. (Laurentini,
"The visual hull concept for silhouette-based image understanding", PAMI 1994.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mvgamba_ros.config.hull_config import HullConfig
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.boxes import axis_parallel_box
from mvgamba_ros.geometry.cones import Cone, Region, bounds_from_views, disagreement
from mvgamba_ros.geometry.distance_field import DistanceField
from mvgamba_ros.geometry.occluders import with_fronts
from mvgamba_ros.geometry.occlusion import visible
from mvgamba_ros.types import F32, F64, Box, View


def carve(
    views: Sequence[View],
    bounds: F64 | Box | None = None,
    resolution: int = 128,
    support_height: float | None = None,
    config: HullConfig = HullConfig(),
) -> DistanceField:
    """The visual hull of undistorted ``views`` with masks, world frame, metres.

    ``bounds``: a `Box`, or (2, 3) low and high corners of an axis-parallel one, that holds the object; without it
    the views bound it themselves. ``resolution``: voxels along the longest side; long and flat objects, whose box has
    few of them, get up to ``config.max_refinement`` times as many. ``support_height``: world z of the plane the object
    stands on; seen only from above, an object's hull reaches far below it otherwise.

    A silhouette that runs into the image border is taken to go on beyond it, as far as two views (or the only one) show
    the place, and a little further (`HullConfig.cut_reach`). What is hidden in a view it does not carve; the hull goes
    on there as far as half of the views, or more, show the object.

    Raises EMPTY_SILHOUETTE (a view without silhouette), SILHOUETTES_DISAGREE (nothing is inside all of them), BAD_ROI
    (bounds without volume), ROI_NOT_VISIBLE (bounds behind a camera), TOO_FEW_VIEWS (the views leave the object's
    depth open), BAD_OPTION (resolution).
    """
    if resolution < 2 * config.block:
        raise ReconstructionError(ErrorCode.BAD_OPTION, f"hull resolution {resolution}: at least {2 * config.block}")
    if len(views) == 1:  # no other view shows how the object goes on where this one's silhouette is hidden
        views = [replace(view, mask=visible(view), hidden=None) for view in views if view.mask is not None]
    cones = [Cone.of(view, index, config.min_camera_distance, config.cut_reach) for index, view in enumerate(views)]
    if not cones:
        raise ReconstructionError(ErrorCode.TOO_FEW_VIEWS, "no views: a hull needs at least one silhouette")
    region = Region.of(bounds, support_height)
    low, high = bounds_from_views(cones, region)
    for _ in range(config.tightening_rounds):  # the silhouettes' bounding boxes are wider than the silhouettes
        coarse = _dense_hull(cones, region, low, high, config.coarse_resolution)
        occupied = coarse.values > -config.coarse_reach * coarse.voxel
        if not occupied.any():
            raise disagreement()
        kept = np.argwhere(occupied)
        low = np.maximum(low, coarse.origin + coarse.voxel * (kept.min(axis=0) - 1))
        high = np.minimum(high, coarse.origin + coarse.voxel * (kept.max(axis=0) + 1))
        if any(cone.shown is not None and cone.front is None for cone in cones):
            cones = with_fronts(cones, views, axis_parallel_box(low, high), config)
    hull = _blockwise_hull(cones, region, low, high, _refined(resolution, high - low, config), config)
    if not hull.inside.any():
        raise disagreement()
    return hull


def _distances(cones: Sequence[Cone], region: Region, points: F32) -> F32:
    """Signed distance to the hull (N,) metres at points (3, N) float32: the smallest over cones and half-spaces."""
    distances = np.full(points.shape[1], np.inf, np.float32)
    cut = any(cone.cut for cone in cones)
    covered = [cone for cone in cones if cone.shown is not None]
    # of half of the views, those that nothing covers show it anyway
    needed = -(-len(cones) // 2) - (len(cones) - len(covered))
    shown_by: list[F32] = []
    most = second = np.full(points.shape[1], -np.inf, np.float32)
    for cone in cones:
        P = cone.P.astype(np.float32)
        homogeneous = P[:, :3] @ points + P[:, 3:]
        np.minimum(distances, cone.distances(homogeneous), out=distances)
        if needed > 0 and cone.shown is not None:
            shown_by.append(cone.distances(homogeneous, shown=True))
        if cut:
            shown = cone.frame_distances(homogeneous)
            most, second = np.maximum(most, shown), np.maximum(second, np.minimum(most, shown))
    if cut:
        np.minimum(distances, second if len(cones) > 1 else most, out=distances)
    if needed > 0:
        at = len(shown_by) - needed
        np.minimum(distances, np.partition(np.stack(shown_by), at, axis=0)[at], out=distances)
    A, b = region.half_spaces()
    for normal, offset in zip(A.astype(np.float32), b.astype(np.float32), strict=True):
        np.minimum(distances, offset - normal @ points, out=distances)
    return distances


def _grid_points(origin: F64, voxel: float, shape: tuple[int, int, int]) -> F32:
    """(3, nx * ny * nz) float32."""
    axes = [(origin[a] + voxel * np.arange(shape[a])).astype(np.float32) for a in range(3)]
    return np.stack(np.meshgrid(*axes, indexing="ij")).reshape(3, -1)


def _grid(low: F64, high: F64, resolution: int, multiple: int = 1) -> tuple[F64, float, tuple[int, int, int]]:
    """Origin, voxel and shape of a grid one voxel wider than the box all round; sides are multiples."""
    voxel = float((high - low).max()) / (resolution - 3)
    counts = np.ceil((high - low) / voxel).astype(int) + 3
    counts = -(-counts // multiple) * multiple
    origin = (low + high) / 2.0 - voxel * (counts - 1) / 2.0
    return origin, voxel, (int(counts[0]), int(counts[1]), int(counts[2]))


def _refined(resolution: int, sides: F64, config: HullConfig) -> int:
    """Voxels along the longest of ``sides`` (3,): ``resolution``, or more where ``config.flat_share`` allows them."""
    flatness = float(sides.max() ** 3 / sides.prod())
    return round(resolution * min(max((config.flat_share * flatness) ** (1 / 3), 1.0), config.max_refinement))


def _dense_hull(cones: Sequence[Cone], region: Region, low: F64, high: F64, resolution: int) -> DistanceField:
    origin, voxel, shape = _grid(low, high, resolution)
    values = _distances(cones, region, _grid_points(origin, voxel, shape)).reshape(shape)
    return DistanceField(values, origin, voxel)


def _blockwise_hull(
    cones: Sequence[Cone], region: Region, low: F64, high: F64, resolution: int, config: HullConfig
) -> DistanceField:
    """Evaluated at every voxel of the blocks that the surface may pass through, by the distance at their centres; the
    voxels of other blocks take the centre's value."""
    block = config.block
    origin, voxel, shape = _grid(low, high, resolution, block)
    blocks = tuple(n // block for n in shape)
    centers = _grid_points(origin + voxel * (block - 1) / 2.0, voxel * block, (blocks[0], blocks[1], blocks[2]))
    at_center = _distances(cones, region, centers)
    # from the centre to the neighbouring blocks' first voxels
    reach = voxel * (block + 1) / 2.0 * np.sqrt(3.0) * config.block_slack
    active = np.abs(at_center) < reach
    offsets = _grid_points(np.zeros(3), voxel, (block, block, block)) - np.float32(voxel * (block - 1) / 2.0)
    points = (centers[:, active][:, :, None] + offsets[:, None, :]).reshape(3, -1)
    values = np.repeat(at_center[:, None], block**3, axis=1)
    if active.any():  # none is near the surface where the silhouettes only just miss each other
        values[active] = _distances(cones, region, points).reshape(-1, block**3)
    values = values.reshape(*blocks, block, block, block).transpose(0, 3, 1, 4, 2, 5).reshape(shape)
    return DistanceField(np.ascontiguousarray(values), origin, voxel)
