"""What depth maps with standard deviations tell of the error of points on a surface fused from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mvgamba_ros.config.expected_error_config import ExpectedErrorConfig
from mvgamba_ros.surface.depth_maps import DepthMaps, DepthMapView
from mvgamba_ros.types import F64, Bool

FINEST = 0.05
"""Least standard deviation of a depth, of the band: none is right to less."""


@dataclass(frozen=True)
class MapEvidence:
    """Of N points: ``sigma`` (N,), the harmonic mean of the standard deviations of the maps that tell of it, and
    ``spread`` (N,), the maps' RMS distance from it, weighted by their precision, both along the normal, metres; without
    meaning where not ``covered`` (N,), as no map tells of the point."""

    sigma: F64
    spread: F64
    covered: Bool


def map_evidence(
    points: F64, maps: Sequence[DepthMaps], band: float, config: ExpectedErrorConfig = ExpectedErrorConfig()
) -> MapEvidence:
    """Evidence of all ``maps`` at world ``points`` (N, 3).

    A map tells of a point unless the point lies further inside both of its surfaces than ``band`` metres and their
    uncertainty: then something hides it. Distances in front of them count no more than ``band``. Maps without standard
    deviations tell nothing.
    """
    at = torch.from_numpy(points.astype(np.float32))
    precision, squared, count = (torch.zeros(len(at)) for _ in range(3))
    for each in maps:
        if each.sigma is None:
            continue
        for v in range(len(each.front)):
            distance, sigma, covered = _nearest_surface(DepthMapView.of(each, v), at, band, config)
            weight = torch.where(covered, 1.0 / (sigma.square() + (FINEST * band) ** 2), 0.0)
            precision += weight
            squared += weight * distance.square()
            count += covered
    some = precision.clamp(min=1e-12)
    return MapEvidence(
        (count / some).sqrt().double().numpy(), (squared / some).sqrt().double().numpy(), (count > 0).numpy()
    )


def _nearest_surface(
    view: DepthMapView, points: Tensor, band: float, config: ExpectedErrorConfig
) -> tuple[Tensor, Tensor, Tensor]:
    """Signed distance to the nearer of the map's surfaces along that one's normal, positive inside, no less than
    ``-band``; its standard deviation; whether the map tells of the point: (N,) each."""
    projected = points @ view.M.T + view.o
    z = projected[:, 2]
    uv = (projected[:, :2] / z.clamp(min=1e-6)[:, None])[None, None]
    smooth, nearest = (
        F.grid_sample(view.planes[None], uv, mode=mode, align_corners=False)[0, :, 0]
        for mode in ("bilinear", "nearest")
    )
    layers = len(view.planes) // 5  # depth, known, misses and cosine of each, then their sigmas
    distances, sigmas = [], []
    for layer in range(layers):
        share = smooth[4 * layer + 1].clamp(min=1e-6)
        depth, cosine = smooth[4 * layer] / share, (smooth[4 * layer + 3] / share).clamp(config.min_cosine, 1.0)
        # not interpolated across an edge of the object
        depth = torch.where((depth - nearest[4 * layer]).abs() < band, depth, nearest[4 * layer])
        distances.append((z - depth) * cosine * (1.0 if layer == 0 else -1.0))
        sigmas.append(smooth[4 * layers + layer] / share * cosine)
    distance, which = torch.stack(distances).min(dim=0)
    sigma = torch.stack(sigmas).gather(0, which[None])[0]
    covered = (z > 0) & (smooth[1] > config.min_known) & (distance < band + config.sigma_reach * sigma)
    return distance.clamp(min=-band), sigma, covered
