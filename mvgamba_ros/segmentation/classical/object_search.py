"""Bounds of the object where no region of interest is given: a coarse segmentation of the middle of all views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mvgamba_ros.config.segmentation_config import SearchConfig, SegmentationConfig
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.boxes import axis_parallel_box
from mvgamba_ros.segmentation.classical import objectness
from mvgamba_ros.segmentation.classical.cues import color_densities
from mvgamba_ros.segmentation.classical.window_segmentation import segment_windows
from mvgamba_ros.segmentation.classical.window_state import SegmentedWindows
from mvgamba_ros.segmentation.silhouette_agreement import UNSEEN, check_silhouettes
from mvgamba_ros.segmentation.windows import common_region, make_windows
from mvgamba_ros.types import F64, Bool, Box, Cancelled, Prompts, View


def find_region(
    network: objectness.Objectness,
    views: Sequence[View],
    prompts: Prompts,
    cancelled: Cancelled | None,
    config: SegmentationConfig,
) -> Box:
    """A region around the object that is found in the middle of all views.

    Raises BAD_ROI, EMPTY_SILHOUETTE, SILHOUETTES_DISAGREE, ROI_NOT_VISIBLE and CANCELLED as the segmenter does.
    """
    region = common_region(views, prompts, config.windows)
    windows = make_windows(views, region, prompts, config.windows.search_side, config.windows)
    found = segment_windows(network, windows, region, prompts, True, cancelled, config)
    lying = _on_plane(found, config)
    if lying is not None:
        # a mat or a sheet of paper: the object is what stands on it, if anything does
        windows = [replace(w, allowed=w.allowed & ~flat) for w, flat in zip(windows, lying, strict=True)]
        standing = segment_windows(network, windows, region, prompts, True, cancelled, config)
        small, large = (sum(s.labels.sum() for s in result.states) for result in (standing, found))
        if small < config.search.standing_share * large:
            try:
                check_silhouettes(views, [state.labels for state in standing.states], standing.grid)
                return _bounds(standing, config.search)
            except ReconstructionError:
                pass
    check_silhouettes(views, [state.labels for state in found.states], found.grid)
    return _bounds(found, config.search) if len(views) > 1 else region


def _on_plane(found: SegmentedWindows, config: SegmentationConfig) -> list[Bool] | None:
    """(h, w) each, the labels that lie on the support plane, where that is nearly all of them; else None."""
    inside, alike, shares = [], [], []
    states = found.states
    for state, compared in zip(states, found.pairs, strict=True):
        if not compared:
            return None
        seen = np.sum([pair.seen for pair in compared], axis=0)
        on = np.sum([pair.lands_on(states[pair.other].labels) for pair in compared], axis=0)
        labelled = state.labels & (seen > 0)
        shares.append(float(on[labelled].sum() / max(seen[labelled].sum(), 1)))
        inside.append(labelled & (on > config.search.lying_views * seen))
        alike.append(np.sum([pair.match for pair in compared], axis=0) > config.search.lying_views * seen)
    if np.mean(shares) < config.search.lying_share:
        return None
    # by colour as well: views that expose differently do not match
    matching = [m & a for m, a in zip(inside, alike, strict=True)]
    differing = [m & ~a for m, a in zip(inside, alike, strict=True)]
    flat, other = (np.mean(color_densities(states, masks, config.color), axis=0) for masks in (matching, differing))
    return [m & (a | (flat > other)[s.cells]) for s, m, a in zip(states, inside, alike, strict=True)]


def _bounds(found: SegmentedWindows, config: SearchConfig) -> Box:
    """A box around what all silhouettes agree on, larger by ``config.growth`` on every side."""
    points, cell = agreed_points(found, config), found.grid.cell
    if len(points) == 0:
        raise ReconstructionError(
            ErrorCode.SILHOUETTES_DISAGREE,
            "the silhouettes have no common point, so the views may show different things: check poses and time "
            "stamps, that the object stood still, or give a region of interest",
        )
    low, high = points.min(axis=0), points.max(axis=0)
    grow = config.growth
    return axis_parallel_box((1 + grow) * low - grow * high - cell, (1 + grow) * high - grow * low + cell)


def agreed_points(found: SegmentedWindows, config: SearchConfig) -> F64:
    """(N, 3): centres of the grid cells that all silhouettes agree on, world, metres."""
    grid = found.grid
    votes = grid.votes([state.labels for state in found.states])
    seen = (votes != UNSEEN).sum(axis=0)
    return grid.points[(votes.min(axis=0) > config.min_vote) & (seen >= 2)]
