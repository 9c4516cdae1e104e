"""The kernels that compare views, timed beside their references: tables of `benchmarks.kernels`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from benchmarks.timing import beside_reference
from mvgamba_ros.kernels.epipolar import photometric_cost, sample_source_views, silhouette_interval
from mvgamba_ros.kernels.homography import match_colors, plane_sweep, warp_by_homography
from mvgamba_ros.kernels.pool import pool_views
from mvgamba_ros.kernels.ray_layers import aggregate_views, along_rays
from mvgamba_ros.kernels.ray_types import NUM_VIEW_FEATURES, EpipolarRays, Layer, RayMLP, SourceViews


def epipolar_table(repeats: int) -> None:
    """What the shipped network samples in the source views for one view of four, and its small networks along the rays:
    crops of 128 pixels, 64 x 64 rays, a third of them on the object."""
    views, size, grid, rays = 4, 128, 64, 1300
    turns = torch.linspace(0, 6.28 * (views - 1) / views, views)
    zero, one = torch.zeros(views), torch.ones(views)
    rows = [[turns.cos(), turns.sin(), zero], [zero, zero, one], [-turns.sin(), turns.cos(), zero]]
    M = 3.0 * torch.stack([torch.stack(row, -1) for row in rows], 1)
    o = torch.tensor([0.0, 0.0, 4.0]).expand(views, 3)
    M[:, 2] /= 3.0
    origin = -torch.linalg.solve(M[0], o[0])
    pixels = torch.cat([1.6 * torch.rand(rays, 2) - 0.8, torch.ones(rays, 1)], 1)
    lines = EpipolarRays(0, M, o, origin, torch.linalg.solve(M[0], pixels.T).T)
    begins, ends = torch.full((rays,), 3.2), torch.full((rays,), 4.8)
    sources = SourceViews(torch.rand(views, size, size, 5), torch.rand(views, grid, grid, 5), 0.02)
    alpha, colors = sources.pictures[..., 4], torch.rand(views, grid, grid, 4)
    depths, own = 3.5 + torch.rand(rays, 32), torch.rand(rays, 4)
    features, position = torch.rand(views - 1, rays * 32, 16), torch.rand(rays * 32, 6)
    half = features.bfloat16()
    depth_head = RayMLP(*layers((16, 7)), layers((16, 16, 3), (2, 16, 3)))
    cascade_head = RayMLP(
        *layers((16, 38)), layers((16, 16, 3), (16, 16, 3), (1, 16, 3)), layers((16, NUM_VIEW_FEATURES), (16, 16))
    )
    at_bins, of_rays = torch.rand(rays, 7, 16), torch.rand(rays, 2, 16)
    hypotheses, at_hypotheses = depths.unflatten(1, (2, 16)), torch.rand(rays, 2, 6, 16)
    calls: dict[str, Callable[[str], object]] = {
        "silhouette_interval": lambda b: silhouette_interval(lines, alpha, -1.0, 0.02, begins, ends, 40, backend=b),
        "photometric_cost": lambda b: photometric_cost(lines, colors, begins, ends, own[:, :3], 16, backend=b),
        "sample_source_views": lambda b: sample_source_views(lines, sources, own, depths, backend=b),
        "pool_views, float32": lambda b: pool_views(features, position, backend=b),
        "pool_views, bfloat16": lambda b: pool_views(half, position, backend=b),
        "along_rays": lambda b: along_rays(at_bins, of_rays[:, 0], depth_head, backend=b),
        "aggregate_views": lambda b: aggregate_views(
            lines, sources, own, hypotheses, cascade_head, at_hypotheses, of_rays, backend=b
        ),
    }
    beside_reference(f"{rays} rays of one view and {views - 1} others, {size} pixels a side", calls, "torch", repeats)


def layers(*sizes: tuple[int, ...]) -> tuple[Layer, ...]:
    """Random ones of weights (outputs, inputs) or (outputs, inputs, taps)."""
    return tuple((0.2 * torch.randn(*size), torch.randn(size[0])) for size in sizes)


def homography_table(repeats: int) -> None:
    """What the segmenter compares through the support plane: four windows of 224 pixels a side, 64 heights."""
    g = np.random.default_rng(0)
    side, points = 224, 2304
    waves = np.sin(0.1 * np.arange(side))[:, None, None] * np.cos(0.1 * np.arange(side))[None, :, None]
    picture = (50 + 40 * waves + g.normal(0, 2, (side, side, 8))).astype(np.float32)
    seen = [np.ascontiguousarray(np.dstack([picture[..., :3], picture[..., :1] > 0])) for _ in range(4)]
    base_pixels = np.stack([np.concatenate([g.uniform(0, side, (2, points)), np.ones((1, points))]) for _ in range(4)])
    vertical, heights = g.uniform(-9, 9, (4, 3)) * [1, 1, 0], np.linspace(-1, 1, 64)
    depth_row, homography = np.array([0.0, 0.0, 1.0]), np.array([[1, 0.05, 3], [-0.04, 1, 2], [1e-4, 0, 1]])
    warped = warp_by_homography((side, side), depth_row, homography, picture)[3]
    lab, chance = np.ascontiguousarray(picture[..., :3].transpose(2, 0, 1)), np.zeros((side, side), np.float32)
    calls: dict[str, Callable[[str], object]] = {
        "plane_sweep": lambda b: plane_sweep(seen, base_pixels, vertical, heights, 10.0, 34, backend=b),
        "warp_by_homography": lambda b: warp_by_homography((side, side), depth_row, homography, picture, backend=b),
        "match_colors": lambda b: match_colors(lab, warped[:3], warped[3:6], 7.0, (6, 20), chance, backend=b),
    }
    beside_reference(f"four windows of {side} pixels a side", calls, "OpenCV and numpy", repeats)
