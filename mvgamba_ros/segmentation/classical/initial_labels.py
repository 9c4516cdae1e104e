"""First labels of windows, before anything is known of the object: what background and support plane leave over."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mvgamba_ros.config.segmentation_config import SegmentationConfig
from mvgamba_ros.segmentation.classical.cues import (
    background_densities,
    color_densities,
    darkened_density,
    plane_log_odds,
)
from mvgamba_ros.segmentation.classical.window_state import WindowState
from mvgamba_ros.segmentation.plane_matching import PlanePair
from mvgamba_ros.segmentation.windows import distance_from_middle
from mvgamba_ros.types import F32, Bool


def set_initial_labels(
    states: Sequence[WindowState], pairs: Sequence[Sequence[PlanePair]], searching: bool, config: SegmentationConfig
) -> None:
    """Sets ``log_odds``, ``labels`` and ``color_weight`` of the states.

    Background is what lies outside the region (where ``searching``: near the window's borders) and what matches other
    views through the support plane. ``pairs``: of `plane_matching.compare`.
    """
    initial, limit = config.initial, config.initial.max_log_odds
    color = _color_log_odds(states, pairs, searching, config)
    for _ in range(initial.passes):
        plane = plane_log_odds(states, pairs, [_probability(odds) for odds in color], config.plane)
        for state, of_color, of_plane in zip(states, color, plane, strict=True):
            total = np.clip(of_color, -limit, limit) + state.fixed + of_plane
            state.log_odds = np.where(state.window.allowed, total, initial.off_log_odds).astype(np.float32)
        new, kept = initial.damping, 1.0 - initial.damping
        color = [kept * old + new * state.log_odds for old, state in zip(color, states, strict=True)]
    if searching:
        for state in states:
            state.log_odds -= config.search.center_prior * distance_from_middle(state.window) ** 2
    for state in states:
        state.labels = (state.log_odds > 0.0) & state.window.allowed


def _color_log_odds(
    states: Sequence[WindowState], pairs: Sequence[Sequence[PlanePair]], searching: bool, config: SegmentationConfig
) -> list[F32]:
    """(h, w) each, of colours that the region has more of than the background; sets the states' ``color_weight``."""
    initial, shadow, floor = config.initial, config.shadow, config.color.floor
    outside = [_rim(state, config.search.rim) if searching else ~state.window.allowed for state in states]
    on_plane = [odds < initial.plane_log_odds for odds in plane_log_odds(states, pairs, None, config.plane)]
    background = [away | flat for away, flat in zip(outside, on_plane, strict=True)]
    shaded = darkened_density(states, background, shadow.darkest, shadow, config.color)
    of_background = background_densities(states, background, shadow.weight * shaded, config.color)
    region = [state.window.allowed & ~mask for state, mask in zip(states, background, strict=True)]
    of_region = np.mean(color_densities(states, region, config.color), axis=0)
    log_odds = []
    for state, density in zip(states, of_background, strict=True):
        ratio = np.log((of_region[state.cells] + floor) / (density[state.cells] + floor))
        odds = np.clip(initial.gain * ratio + initial.bias, -initial.max_log_odds, initial.max_log_odds)
        log_odds.append(np.where(state.window.allowed, odds, initial.off_log_odds).astype(np.float32))
    suspected = [shaded[state.cells] > shadow.suspected * shaded.max() for state in states]
    lit = sum(float(((odds > 0) & ~dark).sum()) for odds, dark in zip(log_odds, suspected, strict=True))
    if lit > shadow.lit_share * sum(float((odds > 0).sum()) for odds in log_odds):
        # the object has colours of its own, so colours of shadow are taken for shadow until more is learned
        most = shadow.suspected_log_odds
        log_odds = [
            np.where(dark, np.minimum(odds, most), odds) for odds, dark in zip(log_odds, suspected, strict=True)
        ]
        for state, dark in zip(states, suspected, strict=True):
            state.color_weight = np.where(dark, shadow.suspected_weight, 1.0).astype(np.float32)
    return log_odds


def _rim(state: WindowState, share: float) -> Bool:
    """(h, w): near the window's borders, or where the object cannot be."""
    height, width = state.window.shape
    rim = np.ones((height, width), bool)
    rows, columns = max(2, int(share * height)), max(2, int(share * width))
    rim[rows:-rows, columns:-columns] = False
    return rim | ~state.window.allowed


def _probability(log_odds: F32) -> F32:
    return (1.0 / (1.0 + np.exp(-log_odds))).astype(np.float32)
