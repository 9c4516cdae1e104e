"""Bounds of the object where no region of interest is given: a coarse segmentation of the middle of all views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from mvgamba_ros.config.segmentation_config import SearchConfig, SegmentationConfig
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.boxes import axis_parallel_box
from mvgamba_ros.geometry.se3 import inverse, transform
from mvgamba_ros.segmentation.classical.cues import color_densities
from mvgamba_ros.segmentation.classical.window_segmentation import segment_windows
from mvgamba_ros.segmentation.classical.window_state import Learned, SegmentedWindows, WindowState
from mvgamba_ros.segmentation.silhouette_agreement import check_silhouettes
from mvgamba_ros.segmentation.windows import clear_of_cameras, common_region, few_views, make_windows
from mvgamba_ros.types import F64, Bool, Box, Cancelled, Prompts, View


def find_region(
    learned: Learned,
    views: Sequence[View],
    prompts: Prompts,
    cancelled: Cancelled | None,
    config: SegmentationConfig,
) -> Box:
    """A region around the object that is found in the middle of all views.

    Raises BAD_ROI, EMPTY_SILHOUETTE, SILHOUETTES_DISAGREE, ROI_NOT_VISIBLE and CANCELLED as the segmenter does.
    """
    region = clear_of_cameras(common_region(views, prompts, config.windows), views, config.windows)
    views, prompts = few_views(views, prompts, region.T_world_box[:3, 3], config.search.views)
    windows = make_windows(views, region, prompts, config.windows.search_side, config.windows)
    found = segment_windows(learned, windows, region, prompts, True, cancelled, config)
    lying = _on_plane(found, config)
    if lying is not None:
        # a mat or a sheet of paper: the object is what stands on it, if anything does
        windows = [replace(w, allowed=w.allowed & ~flat) for w, flat in zip(windows, lying, strict=True)]
        standing = segment_windows(learned, windows, region, prompts, True, cancelled, config)
        small, large = (sum(s.labels.sum() for s in result.states) for result in (standing, found))
        if small < config.search.standing_share * large:
            try:
                check_silhouettes(views, [state.labels for state in standing.states], standing.grid)
                return _bounds(standing, config.search)
            except ReconstructionError:
                pass
    check_silhouettes(views, [state.labels for state in found.states], found.grid)
    return _bounds(found, config.search) if len(views) > 1 else region


def grown_region(found: SegmentedWindows, region: Box, views: Sequence[View], config: SegmentationConfig) -> Box | None:
    """A guessed ``region`` made larger where the labels in its windows end on its edge; None where they do not, or
    where no camera leaves it room."""
    search = config.search
    if max([_share_at_edge(state) for state in found.states]) < search.min_at_edge:
        return None
    low, high = -region.size / 2.0, region.size / 2.0
    points = transform(inverse(region.T_world_box), agreed_points(found, search))
    reach = 1.5 * found.grid.cell
    ends = np.ones((2, 3), bool)
    if len(points):
        ends = np.stack([points.min(axis=0) < low + reach, points.max(axis=0) > high - reach])
    if not ends.any():
        ends[:] = True
    low, high = low - ends[0] * search.growth * region.size, high + ends[1] * search.growth * region.size
    placed = region.T_world_box.copy()
    placed[:3, 3] = transform(placed, (low + high) / 2.0)
    grown = clear_of_cameras(Box(placed, high - low), views, config.windows)
    return grown if (grown.size > region.size).any() else None


def _share_at_edge(state: WindowState) -> float:
    """Share of the labels' outline, [0, 1], on the edge of the area where the object may be, not of the picture."""
    kernel = np.ones((3, 3), np.uint8)
    outline, edge = (
        mask & (cv2.erode(mask.astype(np.uint8), kernel, borderType=cv2.BORDER_REPLICATE) == 0)
        for mask in (state.labels, state.window.allowed)
    )
    near = cv2.dilate(edge.astype(np.uint8), kernel) > 0
    return int(np.count_nonzero(outline & near)) / max(int(np.count_nonzero(outline)), 1)


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
    return found.grid.agreed([state.labels for state in found.states], config.min_vote)
