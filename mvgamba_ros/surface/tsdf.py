"""TSDF integration: depth maps -> one signed distance field on the visual hull's grid (dense, two-sided).

Curless and Levoy, "A volumetric method for building complex models from range images", SIGGRAPH 1996: each map gives a
point's truncated signed distance from the surface along its ray, and the maps' weighted mean is the field. Five things
differ from the usual sparse integration (Open3D's `VoxelBlockGrid`). A map may have a second depth, where the ray
leaves the object for good. A ray that meets nothing is free along all of its length. The field is dense and bounded by
the hull: what no map observes stays inside, so the surface closes by itself. And where a map has a standard deviation
(sigma) of each depth, its weight is the inverse of the variance, instead of the cosine's square, and its depths are
integrated as far into the object as their sigma reaches. A measured depth is weighted by both, without an upper bound,
and integrated behind its surface no further than its noise asks for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from mvgamba_ros.config.surface_config import SurfaceConfig
from mvgamba_ros.geometry.distance_field import DistanceField
from mvgamba_ros.geometry.gaussian_filter import gaussian_filter
from mvgamba_ros.geometry.torch_rays import CPU
from mvgamba_ros.surface.depth_maps import DepthMaps, DepthMapView
from mvgamba_ros.types import F32

NO_WEIGHT = 1e-6
"""Of what counts only where nothing else does."""


@dataclass(frozen=True)
class Guess:
    """A surface that no view measured: its signed distances ``values`` (nx, ny, nz) on the hull's grid, metres,
    positive inside, truncated; and its ``weight``, by which it joins depth maps, each of at most 1 unless measured."""

    values: F32
    weight: float


def integrate_depth_maps(
    maps: Sequence[DepthMaps],
    hull: DistanceField,
    truncation: float,
    coarse_only: bool = False,
    config: SurfaceConfig = SurfaceConfig(),
    guess: Guess | None = None,
    device: torch.device = CPU,
) -> DistanceField:
    """The object's TSDF on the grid of the visual ``hull``: metres up to ``truncation``, positive inside, nowhere above
    the hull's.

    ``truncation``: metres. Points that no map observes keep the hull's value. Integrated at every second voxel first,
    then at every voxel near the surface found there. ``coarse_only``: without the latter, for a field that `smooth`
    goes over afterwards: its meshes are as good. ``guess``: takes the hull's place where no map observes, and joins the
    maps by its weight. The sums over maps run on ``device``; maps and result are on the CPU.
    """
    if guess is None:
        guess = Guess(np.minimum(hull.values, truncation), NO_WEIGHT)
    views = [DepthMapView.of(those, v).on(device) for those in maps for v in range(len(those.front))]
    reach = -config.hull_margin * hull.voxel
    # one coarse sample beyond the last voxel, so that every fine voxel lies between coarse ones
    shape = hull.values.shape
    coarse_index = [np.minimum(np.arange(0, n + 1, 2), n - 1) for n in shape]
    coarse_hull = hull.values[np.ix_(*coarse_index)]
    coarse = np.minimum(coarse_hull, truncation)
    near_hull = coarse_hull > reach
    index = np.stack(np.meshgrid(*coarse_index, indexing="ij"), -1)[near_hull]
    prior = guess.values[np.ix_(*coarse_index)][near_hull]
    coarse[near_hull] = _weighted_mean(views, hull, index, truncation, prior, guess.weight, config, device)
    values = _upsample(coarse, shape)
    if not coarse_only:
        near = (np.abs(values) < config.fine_band * hull.voxel) & (hull.values > reach)
        at = np.argwhere(near)
        values[near] = _weighted_mean(views, hull, at, truncation, guess.values[near], guess.weight, config, device)
    return DistanceField(np.minimum(values, hull.values), hull.origin, hull.voxel)


def smooth(
    tsdf: DistanceField,
    hull: DistanceField,
    truncation: float,
    config: SurfaceConfig = SurfaceConfig(),
    measured: bool = False,
) -> DistanceField:
    """``tsdf`` without the ripple of single depths, still inside the visual ``hull`` (on the same grid).

    A Gaussian over the field, narrower where some of its depths were ``measured``, cut off at ``truncation`` metres
    outside so that what is far away does not pull, and once more over what it took away, given back ("twicing", Tukey
    1977): alone it would shrink what bends outward.
    """
    sigma, radius = config.measured_smoothing_sigma if measured else config.smoothing_sigma, config.kernel_radius
    values = gaussian_filter(np.maximum(tsdf.values, -truncation), sigma, radius)
    values = 2.0 * values - gaussian_filter(values, sigma, radius)
    return DistanceField(np.minimum(values, hull.values), tsdf.origin, tsdf.voxel)


def _weighted_mean(
    views: list[DepthMapView],
    hull: DistanceField,
    index: np.ndarray,
    truncation: float,
    prior: F32,
    prior_weight: float,
    config: SurfaceConfig,
    device: torch.device,
) -> F32:
    """The weighted mean of all views' signed distances at voxels ``index`` (P, 3) and of ``prior`` (P,)."""
    points = torch.from_numpy((hull.origin + hull.voxel * index).astype(np.float32)).to(device)
    weight = torch.full((len(points),), prior_weight, device=device)
    total = torch.from_numpy(prior.astype(np.float32)).to(device) * prior_weight
    for view in views:
        distance, w = view.integrate(points, truncation, config)
        total.addcmul_(distance, w)
        weight += w
    return (total / weight).cpu().numpy()


def _upsample(coarse: F32, shape: tuple[int, ...]) -> F32:
    """Samples at even voxels to all voxels of ``shape``, by cubics through four of them (Keys, 1981): straight lines
    would cut what bends outward short."""
    for axis in (2, 1, 0):  # the one whose neighbours lie next to each other while there is least of it
        x = np.moveaxis(coarse, axis, 0)
        beyond = np.concatenate([x[:1], x, x[-1:]])
        both = np.empty((2 * len(x) - 1, *x.shape[1:]), np.float32)
        both[::2] = x
        both[1::2] = 0.5625 * (x[:-1] + x[1:]) - 0.0625 * (beyond[:-3] + beyond[3:])
        coarse = np.moveaxis(both[: shape[axis]], 0, axis)
    return np.ascontiguousarray(coarse)
