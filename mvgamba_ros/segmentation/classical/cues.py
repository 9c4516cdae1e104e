"""Single cues for a pixel's log-odds of being on the object: measured depth, the support plane, colours and shadow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mvgamba_ros.config.cues_config import ColorConfig, DepthCueConfig, ShadowConfig
from mvgamba_ros.config.support_plane_config import PlaneMatchingConfig
from mvgamba_ros.geometry.se3 import inverse, transform
from mvgamba_ros.segmentation import plane_matching
from mvgamba_ros.segmentation.classical.window_state import WindowState
from mvgamba_ros.segmentation.color_model import cells, histogram
from mvgamba_ros.segmentation.plane_matching import PlanePair
from mvgamba_ros.segmentation.support_plane import depth_points
from mvgamba_ros.segmentation.windows import Window
from mvgamba_ros.types import F32, Bool, Box


def depth_log_odds(window: Window, region: Box, height: float | None, config: DepthCueConfig) -> F32:
    """(h, w) log-odds of measured depth: inside ``region`` and above the support plane, or not; 0 without a reading.

    ``height``: world z of the plane, metres; where it is None, readings inside the region are neutral.
    """
    odds = np.zeros(window.shape, np.float32)
    if window.depth is None:
        return odds
    points, measured = depth_points(window)
    in_box = transform(inverse(region.T_world_box), points.reshape(-1, 3)).reshape(points.shape)
    inside = (np.abs(in_box) <= 0.5 * region.size).all(axis=-1)
    if height is None:
        odds[measured & ~inside] = -config.log_odds
    else:
        above = inside & (points[..., 2] > height + config.noise)
        odds[measured] = np.where(above, config.log_odds, -config.log_odds)[measured]
    return odds


def plane_log_odds(
    states: Sequence[WindowState],
    pairs: Sequence[Sequence[PlanePair]],
    object_probability: Sequence[F32] | None,
    config: PlaneMatchingConfig,
) -> list[F32]:
    """`plane_matching.off_plane_log_odds`, (h, w) of each window: everywhere where ``object_probability`` is None, else
    where the object may be."""
    crops = [plane_matching.EVERYWHERE if object_probability is None else state.crop for state in states]
    return [
        plane_matching.off_plane_log_odds(of, state.window.shape, object_probability, state.plane_limit, crop, config)
        for state, of, crop in zip(states, pairs, crops, strict=True)
    ]


def color_densities(states: Sequence[WindowState], masks: Sequence[Bool], config: ColorConfig) -> list[F32]:
    """Colour histogram, flat, of each window's pixels in its mask (h, w)."""
    return [histogram(state.cells, mask.astype(np.float32), config) for state, mask in zip(states, masks, strict=True)]


def background_densities(
    states: Sequence[WindowState], background: Sequence[Bool], shadow: F32, config: ColorConfig
) -> list[F32]:
    """Density of the background's colours for each window, flat: `ColorConfig.own_share` of its own, the rest of all
    windows, plus ``shadow``, the density of the background's colours in shadow."""
    own = color_densities(states, background, config)
    shared = np.mean(own, axis=0)
    return [config.own_share * density + (1.0 - config.own_share) * shared + shadow for density in own]


def darkened_density(
    states: Sequence[WindowState], masks: Sequence[Bool], darkest: float, config: ShadowConfig, color: ColorConfig
) -> F32:
    """Density, flat, of the colours of all masked pixels under less light, down to a share of ``darkest``: lightness
    and chroma scaled down, hue kept."""
    picked = [np.flatnonzero(mask)[:: config.stride] for mask in masks]
    lit = np.concatenate(
        [state.window.lab.reshape(-1, 3).take(pixels, 0) for state, pixels in zip(states, picked, strict=True)]
    )
    shares = np.arange(darkest, config.lightest, config.step, dtype=np.float32)
    darker = lit.T[:, None] * shares[:, None]  # (3, shares, N): channel by channel, as `cells` reads them
    return histogram(cells(np.moveaxis(darker, 0, -1), color), None, color)
