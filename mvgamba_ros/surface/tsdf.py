"""Depth maps -> one field of distances on the visual hull's grid (a dense, two-sided TSDF).

Curless and Levoy, "A volumetric method for building complex models from range images", SIGGRAPH 1996: each map says
how far a point lies from the surface along its ray, truncated, and the maps' weighted mean is the field. Four things
differ from the usual sparse fusion (Open3D's `VoxelBlockGrid`). A map may have a second depth, where the ray leaves
the object for good. A ray that meets nothing clears all of its length. And the field ends dense and cut by the hull:
what no map looks into stays inside, so the surface closes by itself. Where a map says how sure it is of each depth,
its votes are weighed by the inverse of the variance, instead of by the angle of the surface, and reach as far as its
doubt does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mvgamba_ros.geometry.distance_field import DistanceField
from mvgamba_ros.surface.blur import blur
from mvgamba_ros.types import F32, F64

BACK_WEIGHT = 0.5
"""A last exit is inferred more often than seen: its vote counts for half, where no spread says it better."""
DOUBT = 3.0
"""A first hit of standard deviation s is heard up to so many s behind it, a last exit as far before it."""
MOST_DOUBT = 30.0
"""... and to so many truncations at most."""
SMOOTHING = 1.5
"""Standard deviation of `smooth`, voxels; chosen on held-out procedural objects, where 1 to 2 do about as well."""
MIN_COSINE = 0.15
"""Surfaces seen more obliquely than this are weighted, and their distances corrected, as if at this cosine."""


@dataclass(frozen=True)
class DepthMaps:
    """V depth maps of one size, z-depths in metres along the optical axis.

    ``front`` (V, H, W): where the ray first meets the object; infinity where it meets nothing, NaN where unknown.
    ``back`` (V, H, W) or None: where it leaves the object for good, in the same terms. ``K`` (V, 3, 3) pixels, centres
    at +0.5; ``T_world_camera`` (V, 4, 4) OpenCV optical frames. ``spread`` (V, H, W, 2) or None: standard deviations
    of front and back in metres; it goes with ``back``.
    """

    front: Tensor
    K: F64
    T_world_camera: F64
    back: Tensor | None = None
    spread: Tensor | None = None


def fuse_depths(
    maps: DepthMaps, hull: DistanceField, truncation: float | None = None, coarse_only: bool = False
) -> DistanceField:
    """The object's field on the hull's grid: metres up to ``truncation``, positive inside, nowhere above the hull's.

    ``truncation``: metres; three voxels when None. Points no map speaks of keep the hull's word. Evaluated at every
    second voxel first, then at every voxel near the surface found there. ``coarse_only``: not the latter, for a field
    that `smooth` goes over afterwards: its meshes are as good.
    """
    truncation = 3 * hull.voxel if truncation is None else truncation
    looks = [_Look.of(maps, v) for v in range(len(maps.front))]
    reach = -2.0 * hull.voxel
    # one coarse sample beyond the last voxel, so that every fine voxel lies between coarse ones
    shape = hull.values.shape
    coarse_index = [np.minimum(np.arange(0, n + 1, 2), n - 1) for n in shape]
    coarse_hull = hull.values[np.ix_(*coarse_index)]
    coarse = np.minimum(coarse_hull, truncation)
    pick = coarse_hull > reach
    corners = np.stack(np.meshgrid(*coarse_index, indexing="ij"), -1)[pick]
    coarse[pick] = _mean(looks, hull, corners, truncation, coarse[pick])
    field = _upsample(coarse, shape)
    if not coarse_only:
        near = (np.abs(field) < 2.5 * hull.voxel) & (hull.values > reach)
        index = np.argwhere(near)
        field[near] = _mean(looks, hull, index, truncation, np.minimum(hull.values[near], truncation))
    return DistanceField(np.minimum(field, hull.values), hull.origin, hull.voxel)


def smooth(shape: DistanceField, hull: DistanceField, truncation: float) -> DistanceField:
    """``shape`` without the ripple that single depths leave, still inside ``hull`` (on the same grid).

    A Gaussian over the field, cut off at ``truncation`` metres outside so that what is far away does not pull, and once
    more over what it took away, given back: alone it would shrink what bends outward.
    """
    field = blur(np.maximum(shape.values, -truncation), SMOOTHING)
    field = 2.0 * field - blur(field, SMOOTHING)
    return DistanceField(np.minimum(field, hull.values), shape.origin, shape.voxel)


def _mean(looks: list[_Look], hull: DistanceField, index: np.ndarray, truncation: float, otherwise: F32) -> F32:
    """The weighted mean of all votes at voxels ``index`` (P, 3); ``otherwise`` (P,) where there is none."""
    points = torch.from_numpy((hull.origin + hull.voxel * index).astype(np.float32))
    total, weight = torch.zeros(len(points)), torch.full((len(points),), 1e-6)
    total += torch.from_numpy(otherwise.astype(np.float32)) * 1e-6
    for look in looks:
        value, w = look.vote(points, truncation)
        total.addcmul_(value, w)
        weight += w
    return (total / weight).numpy()


def _upsample(coarse: F32, shape: tuple[int, ...]) -> F32:
    """Samples at even voxels to all voxels of ``shape``, by cubics through four of them: straight lines would cut what
    bends outward short."""
    for axis in (2, 1, 0):  # the one whose neighbours lie next to each other while there is least of it
        x = np.moveaxis(coarse, axis, 0)
        beyond = np.concatenate([x[:1], x, x[-1:]])
        both = np.empty((2 * len(x) - 1, *x.shape[1:]), np.float32)
        both[::2] = x
        both[1::2] = 0.5625 * (x[:-1] + x[1:]) - 0.0625 * (beyond[:-3] + beyond[3:])
        coarse = np.moveaxis(both[: shape[axis]], 0, axis)
    return np.ascontiguousarray(coarse)


@dataclass(frozen=True)
class _Look:
    """One map, ready to be looked up: planes (C, H, W) of depths filled where unknown, and their evidence."""

    planes: Tensor
    """front, share of the front known, share of rays that miss, cosine there; then the same of the back if given; then
    the spreads of both if given."""
    M: Tensor
    """(3, 3) and ``o`` (3,): world to homogeneous image coordinates in [-1, 1], z-depth third."""
    o: Tensor

    @classmethod
    def of(cls, maps: DepthMaps, v: int) -> _Look:
        height, width = maps.front.shape[1:]
        to_unit = np.array([[2 / width, 0, -1], [0, 2 / height, -1], [0, 0, 1]])
        T = maps.T_world_camera[v]
        M = to_unit @ maps.K[v] @ T[:3, :3].T
        planes = [_evidence(maps.front[v], maps.K[v])]
        if maps.back is not None:
            planes.append(_evidence(maps.back[v], maps.K[v]))
        if maps.spread is not None:
            planes.append((maps.spread[v] * maps.front[v].isfinite()[..., None]).permute(2, 0, 1))
        return cls(torch.cat(planes), _float(M), _float(-M @ T[:3, 3]))

    def vote(self, points: Tensor, truncation: float) -> tuple[Tensor, Tensor]:
        """Signed distance in metres and weight of this map's word on each point, (P,) each; weight 0 for none."""
        projected = points @ self.M.T + self.o
        z = projected[:, 2]
        uv = (projected[:, :2] / z.clamp(min=1e-6)[:, None])[None, None]
        smooth = F.grid_sample(self.planes[None], uv, align_corners=False)[0, :, 0]
        nearest = F.grid_sample(self.planes[None, :8:4], uv, mode="nearest", align_corners=False)[0, :, 0]
        depth, known, misses, cosine = _surface(smooth[:4], nearest[0], truncation)
        reach = self._reach(smooth, truncation)
        behind = z - depth
        # along the ray, not along the normal: a grazing ray knows nothing of what lies far behind its first hit
        heard = (behind < reach[0]) & (z > 0)
        value = (behind * cosine).clamp(-truncation, truncation)
        weight = torch.where(heard, self._trust(known, cosine, truncation / reach[0]), 0)
        if len(self.planes) > 4:
            depth, known, _, cosine = _surface(smooth[4:], nearest[1], truncation)
            before = ((depth - z) * cosine).clamp(-truncation, truncation)
            # past the front surface the back one speaks, but only near itself: a ray through a cup's two walls runs
            # through air between them; in a thin wall, whichever leaves less room
            speaks = (z > 0) & (known > 0.25) & (depth - z < reach[1]) & (~heard | (before < value))
            value = torch.where(speaks, before, value)
            trust = self._trust(known, cosine, truncation / reach[1])
            weight = torch.where(speaks, trust if self.sure else BACK_WEIGHT * trust, weight)
        # the outline runs where half the rays miss: only beyond it is the way clear
        clear = torch.where(z > 0, (2 * misses - 1).clamp(min=0), 0)
        total = weight + clear
        return (value * weight - truncation * clear) / total.clamp(min=1e-6), total

    @property
    def sure(self) -> bool:
        """Whether the map says how sure it is of each depth."""
        return len(self.planes) == 10

    def _trust(self, known: Tensor, cosine: Tensor, certainty: Tensor) -> Tensor:
        """What a depth's word counts. One seen at a slant is worth less, unless its spread has said so already."""
        return known * certainty.square() if self.sure else known * cosine.square()

    def _reach(self, smooth: Tensor, truncation: float) -> Tensor:
        """How far into the object the front and the back depth are heard, (2, P) metres."""
        if not self.sure:
            return torch.full((2, 1), truncation)
        spread = smooth[8:] / smooth[1].clamp(min=1e-6)
        return (DOUBT * spread).clamp(truncation, MOST_DOUBT * truncation)


def _surface(smooth: Tensor, nearest: Tensor, truncation: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Depth, share known, share that misses, cosine. Depth is interpolated, but never across an edge of the object."""
    share = smooth[1].clamp(min=1e-6)
    depth = smooth[0] / share
    depth = torch.where((depth - nearest).abs() < truncation, depth, nearest)
    return depth, smooth[1], smooth[2], (smooth[3] / share).clamp(MIN_COSINE, 1)


def _evidence(depth: Tensor, K: F64) -> Tensor:
    """(4, H, W): depth and cosine (0 where not finite), and which rays are known and which miss."""
    depth = depth.float()
    known = depth.isfinite()
    filled = torch.where(known, depth, 0)
    return torch.stack([filled, known.float(), depth.isposinf().float(), torch.where(known, _cosine(depth, K), 0)])


def _cosine(depth: Tensor, K: F64) -> Tensor:
    """|cos| between each pixel's ray and the surface, from the depth's differences; 0 beside a ray that misses."""
    height, width = depth.shape
    x = (torch.arange(width) + 0.5 - K[0, 2]).float()
    y = (torch.arange(height) + 0.5 - K[1, 2]).float()[:, None]

    def slope(d: Tensor) -> Tensor:
        """Along the last axis, the larger of the two one-sided differences: what lies at an edge is doubtful."""
        step = F.pad(d[:, 1:] - d[:, :-1], (1, 1)).nan_to_num(0.0, posinf=torch.inf, neginf=-torch.inf)
        before, after = step[:, :-1], step[:, 1:]
        return torch.where(before.abs() > after.abs(), before, after)

    along_x, along_y = slope(depth), slope(depth.T).T
    # the normal of z(x, y), in pixels, times the ray (x / fx, y / fy, 1) is -z
    across = (K[0, 0] * along_x) ** 2 + (K[1, 1] * along_y) ** 2 + (depth + x * along_x + y * along_y) ** 2
    ray = (x / K[0, 0]) ** 2 + (y / K[1, 1]) ** 2 + 1
    return (depth * torch.rsqrt(across * ray)).nan_to_num(0.0, 0.0, 0.0)  # an edge against nothing: inf


def _float(array: F64) -> Tensor:
    return torch.from_numpy(np.asarray(array, dtype=np.float32))
