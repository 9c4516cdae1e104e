"""Depth that a sensor measured, as maps for the TSDF: smoothed as far as its own noise asks for, with a standard
deviation for every pixel.

On a plane the inverse depth is linear in the pixel, so local planes are fitted to inverse depths, in windows of growing
size. A larger window averages more noise away and bends more: the largest is taken whose fit still agrees with those of
the smaller ones within their own noise (Lepski's rule; Goldenshluger and Nemirovski, "On spatially adaptive estimation
of nonparametric regression", 1997). What disagrees even in the smallest window is an edge, where sensors bleed from
front to back; its residual is its standard deviation, so that it hardly counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from torch import Tensor

from mvgamba_ros.config.depth_config import DepthConfig
from mvgamba_ros.geometry.distance_field import DistanceField
from mvgamba_ros.geometry.occlusion import visible
from mvgamba_ros.geometry.rays import pixel_rays
from mvgamba_ros.geometry.se3 import transform
from mvgamba_ros.parallel import each
from mvgamba_ros.surface.depth_bias import measure_bias
from mvgamba_ros.surface.depth_maps import DepthMaps
from mvgamba_ros.surface.depth_noise import DepthNoise, measure_noise
from mvgamba_ros.types import F64, Bool, View


def measured_depths(
    views: Sequence[View],
    hull: DistanceField,
    support_height: float | None = None,
    config: DepthConfig = DepthConfig(),
) -> list[DepthMaps | None]:
    """A map of each of ``views`` (undistorted, with masks): first hits inside its mask, with their sigmas; NaN where
    there is no reading, or one that lies outside the visual ``hull`` by more than its noise, or on the support plane at
    world z ``support_height``. None for a view without depth on the object.

    A map is cut out around its mask.
    """
    depths = [view.depth for view in views if view.depth is not None]
    if not depths:
        return [None] * len(views)
    noise = measure_noise(depths, config) or DepthNoise(
        config.assumed_floor, config.assumed_growth, config.assumed_blotch
    )
    bias = measure_bias(views, hull, support_height, config)
    return each(lambda view: _measured_depth(view, hull, support_height, noise, bias, config), views)


def with_measured(maps: DepthMaps, measured: Sequence[DepthMaps | None]) -> list[DepthMaps]:
    """Inferred ``maps`` (with back depths and sigmas) and the ``measured`` ones of the same views, ready to integrate.

    Where a view measured a depth, its inferred front is the mean of both by inverse variance: its back, which none
    measured, then ends a wall of the right place.
    """
    assert maps.back is not None and maps.sigma is not None
    front, back, sigma = maps.front.clone(), maps.back.clone(), maps.sigma.clone()
    for v, of_view in enumerate(measured):
        if of_view is None:
            continue
        depth, noise = _resampled(of_view, maps.K[v], (front.shape[1], front.shape[2]))
        both = depth.isfinite() & front[v].isfinite()
        weight, other = noise**-2, sigma[v, ..., 0] ** -2
        front[v] = torch.where(both, (weight * depth + other * front[v]) / (weight + other), front[v])
        back[v] = torch.where(both, torch.maximum(back[v], front[v]), back[v])
        sigma[v, ..., 0] = torch.where(both, (weight + other) ** -0.5, sigma[v, ..., 0])
    return [
        replace(maps, front=front, back=back, sigma=sigma),
        *(found for found in measured if found is not None),
    ]


def _resampled(of_view: DepthMaps, K: F64, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Front depth and sigma of a map of one view at the pixels of an image of ``size`` (rows, columns) with intrinsics
    ``K``, from the nearest pixel: NaN and 1 where that has none."""
    assert of_view.sigma is not None
    scale = of_view.K[0].diagonal()[:2] / K.diagonal()[:2]
    offset = of_view.K[0, :2, 2] - K[:2, 2] * scale
    columns = np.floor(scale[0] * (np.arange(size[1]) + 0.5) + offset[0]).astype(int)
    rows = np.floor(scale[1] * (np.arange(size[0]) + 0.5) + offset[1]).astype(int)
    height, width = of_view.front.shape[1:]
    inside = ((rows >= 0) & (rows < height))[:, None] & ((columns >= 0) & (columns < width))
    at = np.ix_(rows.clip(0, height - 1), columns.clip(0, width - 1))
    depth, sigma, shown = of_view.front[0][at], of_view.sigma[0, ..., 0][at], torch.from_numpy(inside)
    known = shown & depth.isfinite()
    return torch.where(known, depth, torch.nan), torch.where(known, sigma, 1.0)


def _measured_depth(
    view: View,
    hull: DistanceField,
    support_height: float | None,
    noise: DepthNoise,
    bias: float,
    config: DepthConfig,
) -> DepthMaps | None:
    if view.depth is None:
        return None
    mask = visible(view)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    depth = view.depth[part].astype(np.float64)
    known = mask[part] & np.isfinite(depth) & (depth > 0.0)
    depth[~known] = 1.0
    sigma = noise.sigma(depth)
    rays = pixel_rays(view.camera, part)
    points = transform(view.T_world_camera, rays * depth[..., None])
    known[known] = hull.sample(points[known]) > -(config.outside_sigmas * sigma[known] + hull.voxel)
    if not known.any():
        return None
    smoothed, sigma = smoothed_depth(depth, known, noise, config)
    if support_height is not None:
        height = rays @ view.T_world_camera[2, :3] * smoothed + view.T_world_camera[2, 3] - support_height
        known &= height > config.outside_sigmas * sigma
    sigma = np.sqrt(sigma**2 + bias**2 + (config.min_sigma * hull.voxel) ** 2)
    K = view.camera.K.copy()
    K[:2, 2] -= [columns[0], rows[0]]
    front, deviation = (torch.from_numpy(np.where(known, x, np.nan)).float()[None] for x in (smoothed, sigma))
    return DepthMaps(front, K[None], view.T_world_camera[None], sigma=deviation[..., None].nan_to_num(), measured=True)


def smoothed_depth(depth: F64, known: Bool, noise: DepthNoise, config: DepthConfig = DepthConfig()) -> tuple[F64, F64]:
    """Smoothed ``depth`` (H, W) and its standard deviation (H, W), metres, from the ``known`` (H, W) pixels; elsewhere
    without meaning."""
    raw = noise.sigma(depth)
    inverse = np.where(known, 1.0 / depth, 0.0)
    unit = raw / depth**2  # of the inverse depth
    best, best_sigma = inverse, unit
    undecided = known.copy()
    for side in config.windows:
        fit = _PlaneFit.of(inverse, known, side)
        sigma = unit * np.sqrt(np.minimum(noise.blotch * fit.leverage, 1.0))
        if side == config.windows[0]:
            undecided &= fit.residual < config.edge_sigmas * unit
            edge = known & ~undecided
            best_sigma = np.where(edge, fit.residual, best_sigma)
        else:
            undecided &= fit.residual < config.smooth_sigmas * unit
        undecided &= np.abs(fit.value - best) < config.agreement_sigmas * best_sigma
        best = np.where(undecided, fit.value, best)
        best_sigma = np.where(undecided, sigma, best_sigma)
    return 1.0 / np.where(known, best, 1.0), best_sigma * depth**2


@dataclass(frozen=True)
class _PlaneFit:
    """Least-squares planes in square windows around every pixel, (H, W) each: ``value`` at the pixel, RMS ``residual``,
    and ``leverage``, the variance of the value for readings of variance 1 without correlation."""

    value: F64
    residual: F64
    leverage: F64

    @classmethod
    def of(cls, image: F64, known: Bool, side: int) -> _PlaneFit:
        """Of the ``known`` pixels of ``image``; without meaning where a window has too few for a plane."""
        height, width = image.shape
        y, x = np.mgrid[:height, :width].astype(np.float64)
        m = known.astype(np.float64)
        v = np.where(known, image, 0.0)

        def total(values: F64) -> F64:
            return np.asarray(cv2.boxFilter(values, -1, (side, side), normalize=False, borderType=cv2.BORDER_CONSTANT))

        n = np.maximum(total(m), 1.0)
        mx, my, mv = total(m * x) / n, total(m * y) / n, total(v) / n
        xx, yy = total(m * x * x) / n - mx * mx + 1e-3, total(m * y * y) / n - my * my + 1e-3
        xy, xv, yv = total(m * x * y) / n - mx * my, total(x * v) / n - mx * mv, total(y * v) / n - my * mv
        vv = total(v * v) / n - mv * mv
        det = np.maximum(xx * yy - xy * xy, 1e-9)
        b, c = (yy * xv - xy * yv) / det, (xx * yv - xy * xv) / det
        dx, dy = x - mx, y - my
        residual = np.sqrt(np.maximum(vv - b * xv - c * yv, 0.0) * n / np.maximum(n - 3.0, 1.0))
        leverage = (1.0 + (yy * dx * dx - 2.0 * xy * dx * dy + xx * dy * dy) / det) / n
        return cls(mv + b * dx + c * dy, residual, leverage)
