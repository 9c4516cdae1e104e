"""The visual hull: the largest shape that agrees with every silhouette, as a field of distances in metres.

In each view the signed distance to the silhouette's outline, times metres per pixel at the point's depth, is the
distance from the point to that silhouette's cone; the smallest over the views is the field, positive inside. Unlike
an occupancy grid it crosses zero between voxels, so its surface is far finer than they are. (Laurentini, "The visual
hull concept for silhouette-based image understanding", PAMI 1994.)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.cones import Cone, Region, bounds_from_views, disagreement
from mvgamba_ros.geometry.distance_field import DistanceField
from mvgamba_ros.geometry.rays import rays
from mvgamba_ros.types import F32, F64, Box, Camera, View

BLOCK = 4
"""The fine grid is filled in blocks of this many voxels a side, and only where the surface may pass."""

FINEST = 2.0
FULL = 0.25
"""Up to `FINEST` times as many voxels as asked for lie along a long or flat object, if its box then has no more than
this share of those that a cube's would."""


def carve(
    views: Sequence[View],
    bounds: F64 | Box | None = None,
    resolution: int = 128,
    support_height: float | None = None,
) -> DistanceField:
    """The visual hull of undistorted ``views`` with masks.

    ``bounds``: a `Box`, or (2, 3) low and high corners of an axis-parallel one, that holds the object; without it
    the views bound it themselves. ``resolution``: voxels along the longest side; long and flat objects, whose box has
    few of them, get up to `FINEST` times as many. ``support_height``: world z of the
    plane the object stands on; seen only from above, an object's hull reaches far below it otherwise.

    A silhouette that runs into the image border is taken to go on beyond it.

    Raises EMPTY_SILHOUETTE (a view without silhouette), SILHOUETTES_DISAGREE (nothing is inside all of them), BAD_ROI
    (bounds without volume), ROI_NOT_VISIBLE (bounds behind a camera), TOO_FEW_VIEWS (the views leave the object's
    depth open), BAD_OPTION (resolution).
    """
    if resolution < 2 * BLOCK:
        raise ReconstructionError(ErrorCode.BAD_OPTION, f"hull resolution {resolution}: at least {2 * BLOCK}")
    cones = [Cone.of(view, index) for index, view in enumerate(views)]
    if not cones:
        raise ReconstructionError(ErrorCode.TOO_FEW_VIEWS, "no views: a hull needs at least one silhouette")
    region = Region.of(bounds, support_height)
    low, high = bounds_from_views(cones, region)
    for _ in range(2):  # the boxes of the silhouettes are wider than the silhouettes: look coarsely, then tighten
        coarse = _fill_dense(cones, region, low, high, 32)
        reach = coarse.values > -1.8 * coarse.voxel  # a voxel's diagonal: the surface may pass within
        if not (coarse.values > 0.0).any() and not reach.any():
            raise disagreement()
        kept = np.argwhere(reach)
        low = np.maximum(low, coarse.origin + coarse.voxel * (kept.min(axis=0) - 1))
        high = np.minimum(high, coarse.origin + coarse.voxel * (kept.max(axis=0) + 1))
    hull = _fill_sparse(cones, region, low, high, _finer(resolution, high - low))
    if not hull.inside.any():
        raise disagreement()
    return hull


def near_far(hull: DistanceField, camera: Camera, T_world_camera: F64) -> tuple[F32, F32]:
    """z-depth (H, W) float32 metres where each pixel's ray enters and leaves the hull; 0 and 0 off the hull.

    Sphere tracing from both ends: the field bounds how far a ray may step.
    """
    near = np.zeros((camera.height, camera.width), np.float32)
    far = np.zeros_like(near)
    origin, directions = rays(camera, T_world_camera)
    low, high = hull.bounds() + hull.voxel * np.array([[-1.0], [1.0]])
    with np.errstate(divide="ignore", invalid="ignore"):
        to_low, to_high = (low - origin) / directions, (high - origin) / directions
    enter = np.nanmax(np.minimum(to_low, to_high), axis=-1).clip(min=1e-6)
    leave = np.nanmin(np.maximum(to_low, to_high), axis=-1)
    rows, columns = np.nonzero(leave > enter)
    d, start, stop = directions[rows, columns], enter[rows, columns], leave[rows, columns]

    first = start + _march(hull, origin + d * start[:, None], d, stop - start)
    hit = np.isfinite(first)
    rows, columns, d, first, stop = rows[hit], columns[hit], d[hit], first[hit], stop[hit]
    last = stop - _march(hull, origin + d * stop[:, None], -d, stop - first)
    last = np.maximum(last, first)  # a ray that only grazes may be found from one end alone: -infinity from the other
    z_per_metre = d @ T_world_camera[:3, 2]
    near[rows, columns] = first * z_per_metre
    far[rows, columns] = last * z_per_metre
    return near, far


def _march(hull: DistanceField, origins: F64, directions: F64, lengths: F64) -> F64:
    """Distance (N,) along each ray to where it first enters the hull; infinity where it does not in its length."""
    t, previous_t = np.zeros(len(origins)), np.zeros(len(origins))
    previous = np.full(len(t), -np.inf, np.float32)
    found = np.full(len(t), np.inf)
    active = np.arange(len(t))
    while len(active):
        value = hull.sample(origins[active] + directions[active] * t[active, None])
        inside = value > 0.0
        entered = active[inside]
        v0, v1 = previous[entered], value[inside]
        back = np.where(np.isfinite(v0), v1 / (v1 - v0), 0.0)  # the zero between the two samples
        found[entered] = t[entered] - back * (t[entered] - previous_t[entered])
        active, value = active[~inside], value[~inside]
        previous[active], previous_t[active] = value, t[active]
        t[active] += np.maximum(-0.6 * value, 0.5 * hull.voxel)  # 0.6: the field is measured askew, see DistanceField
        active = active[t[active] < lengths[active]]
    return found


def _field(cones: Sequence[Cone], region: Region, points: F32) -> F32:
    """The hull's field (N,) at points (3, N) float32: the smallest of all distances."""
    field = np.full(points.shape[1], np.inf, np.float32)
    for cone in cones:
        P = cone.P.astype(np.float32)
        np.minimum(field, cone.field(P[:, :3] @ points + P[:, 3:]), out=field)
    A, b = region.half_spaces()
    for normal, offset in zip(A.astype(np.float32), b.astype(np.float32), strict=True):
        np.minimum(field, offset - normal @ points, out=field)
    return field


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


def _finer(resolution: int, sides: F64) -> int:
    """``resolution``, or as many voxels along the longest of ``sides`` (3,) as `FULL` of a cube's number allows."""
    flat = float(sides.max() ** 3 / sides.prod())
    return round(resolution * min(max((FULL * flat) ** (1 / 3), 1.0), FINEST))


def _fill_dense(cones: Sequence[Cone], region: Region, low: F64, high: F64, resolution: int) -> DistanceField:
    origin, voxel, shape = _grid(low, high, resolution)
    field = _field(cones, region, _grid_points(origin, voxel, shape)).reshape(shape)
    return DistanceField(field, origin, voxel)


def _fill_sparse(cones: Sequence[Cone], region: Region, low: F64, high: F64, resolution: int) -> DistanceField:
    """Each block's centre tells whether the surface may pass through it; other blocks take the centre's value."""
    origin, voxel, shape = _grid(low, high, resolution, BLOCK)
    blocks = tuple(n // BLOCK for n in shape)
    centers = _grid_points(origin + voxel * (BLOCK - 1) / 2.0, voxel * BLOCK, (blocks[0], blocks[1], blocks[2]))
    at_center = _field(cones, region, centers)
    # from the centre to the neighbouring blocks' first voxels, with room for how fast a skew field may change
    reach = voxel * (BLOCK + 1) / 2.0 * np.sqrt(3.0) * 1.5
    active = np.abs(at_center) < reach
    offsets = _grid_points(np.zeros(3), voxel, (BLOCK, BLOCK, BLOCK)) - np.float32(voxel * (BLOCK - 1) / 2.0)
    points = (centers[:, active][:, :, None] + offsets[:, None, :]).reshape(3, -1)
    values = np.repeat(at_center[:, None], BLOCK**3, axis=1)
    values[active] = _field(cones, region, points).reshape(-1, BLOCK**3)
    field = values.reshape(*blocks, BLOCK, BLOCK, BLOCK).transpose(0, 3, 1, 4, 2, 5).reshape(shape)
    return DistanceField(np.ascontiguousarray(field), origin, voxel)
