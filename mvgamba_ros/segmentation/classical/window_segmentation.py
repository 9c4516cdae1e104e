"""Segmentation of windows: alternate minimum cuts and learning, over all views together, until the labels settle.

Every pixel gets log-odds of being on the object from five cues: colour (histograms of object and background, learned
over all views), texture of the support plane (`plane_matching`), what a network has learned, measured depth, and
silhouette consistency with the other views (`silhouette_agreement`). A minimum cut (`graph_cut`) turns the sum into
labels, from which colours, occlusions of the plane and silhouettes are learned anew.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from mvgamba_ros.config.segmentation_config import AgreementConfig, SegmentationConfig
from mvgamba_ros.errors import stop_if
from mvgamba_ros.geometry.raster import part_around
from mvgamba_ros.parallel import each
from mvgamba_ros.segmentation import plane_matching
from mvgamba_ros.segmentation.classical.components import largest_component
from mvgamba_ros.segmentation.classical.cues import (
    background_densities,
    darkened_density,
    depth_log_odds,
    plane_log_odds,
)
from mvgamba_ros.segmentation.classical.graph_cut import border_channels, minimum_cut
from mvgamba_ros.segmentation.classical.initial_labels import set_initial_labels
from mvgamba_ros.segmentation.classical.window_state import Learned, SegmentedWindows, WindowState
from mvgamba_ros.segmentation.color_model import cells, histogram
from mvgamba_ros.segmentation.plane_matching import PlanePair
from mvgamba_ros.segmentation.silhouette_agreement import UNSEEN, OccupancyGrid
from mvgamba_ros.segmentation.support_plane import support_height
from mvgamba_ros.segmentation.windows import Window
from mvgamba_ros.types import F32, Bool, Box, Cancelled, Prompts


def segment_windows(
    learned: Learned,
    windows: Sequence[Window],
    region: Box,
    prompts: Prompts,
    searching: bool,
    cancelled: Cancelled | None,
    config: SegmentationConfig,
    covered: Sequence[Bool] | None = None,
) -> SegmentedWindows:
    """Labels the ``windows`` of ``region``. ``searching``: the region is far larger than the object, which stands near
    its middle; so it is treated, too, where it leaves too little of the images as background. ``covered``: (h, w) of
    each window, where another thing may cover the object. Raises CANCELLED."""
    background = float(np.mean([1.0 - window.allowed.mean() for window in windows]))
    searching = searching or background < config.search.min_background
    height = prompts.support_height
    if height is None:
        height, _ = support_height(windows, region, searching, config)
    states = each(lambda window: begin_window(window, region, height, config), windows)
    floor = _grid_floor(region, height, searching, config.agreement)
    grid = OccupancyGrid(windows, region, floor, config.agreement)
    pairs: list[list[PlanePair]] = [[] for _ in windows]
    if height is not None and len(windows) > 1:
        pairs = plane_matching.compare(windows, height, searching, config.plane, config.color)
        for state, of in zip(states, pairs, strict=True):
            state.plane_limit = plane_matching.mismatch_limit(of, config.plane)
    for state, odds in zip(states, learned(windows, pairs), strict=True):
        state.fixed = state.fixed + odds
    for state, other in zip(states, covered or [], strict=covered is not None):
        state.covered = other
    set_initial_labels(states, pairs, searching, config)
    rounds = config.graph_cut.rounds
    for k in range(rounds):
        stop_if(cancelled)
        before = [state.labels for state in states]
        if k:
            learn(states, pairs, config)
        cut_windows(states, grid, k / max(rounds - 1, 1), config)
        if searching:
            for state in states:
                state.labels = largest_component(state.labels, state.window, config.components)
        if k and _have_settled(before, [state.labels for state in states], config.graph_cut.settled):
            break
    return SegmentedWindows(states, grid, pairs, height)


def _grid_floor(region: Box, height: float | None, searching: bool, config: AgreementConfig) -> float | None:
    """World z below which the grid has no cells: a little above the plane, or below it where a cell may be higher than
    the object."""
    if height is None:
        return None
    if searching:
        return height - config.search_floor * float(region.size.max()) / config.cells
    return height + config.floor_margin * float(region.size.min())


def begin_window(window: Window, region: Box, height: float | None, config: SegmentationConfig) -> WindowState:
    """The state of ``window`` before windows are compared and anything is learned: its depth cue, where it has one.
    ``height``: of the support plane, world z in metres."""
    fixed = depth_log_odds(window, region, height, config.depth)
    return WindowState(
        window=window,
        crop=part_around(window.allowed, 0),
        cells=cells(window.lab, config.color),
        borders=border_channels(window.lab),
        fixed=fixed,
        plane_limit=0.0,
        labels=window.allowed.copy(),
        color_weight=np.ones(window.shape, np.float32),
        log_odds=fixed,
        consistency=np.full(window.shape, config.agreement.min_log_odds, np.float32),
    )


def learn(states: Sequence[WindowState], pairs: Sequence[Sequence[PlanePair]], config: SegmentationConfig) -> None:
    """Sets ``log_odds`` of the states from their labels: colours of object and background, and the plane where labels
    do not hide it."""
    color, shadow, margin = config.color, config.shadow, config.graph_cut.object_margin
    kernel = np.ones((2 * margin + 1, 2 * margin + 1), np.uint8)
    # pixels that all other views' silhouettes allow are left out of the background: a dark side once taken for shadow
    # would stay one
    background = [
        (cv2.dilate(state.labels.astype(np.uint8), kernel) == 0) & (state.consistency < 0.0) for state in states
    ]
    in_shadow = shadow.weight * darkened_density(states, background, shadow.darkest, shadow, color)
    of_background = background_densities(states, background, in_shadow, color)
    own = [histogram(state.cells, state.labels * state.color_weight, color) for state in states]
    sizes = np.array([float(state.labels.sum()) + 1.0 for state in states])
    shared = np.average(own, axis=0, weights=sizes)
    lit = [state.labels & (state.color_weight == 1.0) for state in states]
    dark_sides = shadow.side_weight * darkened_density(states, lit, shadow.darkest_side, shadow, color)
    dark_sides = np.minimum(dark_sides, shadow.side_over_shadow * in_shadow)
    blur = config.plane.occlusion_blur
    occluding: list[F32] = [cv2.GaussianBlur(state.labels.astype(np.float32), (0, 0), blur) for state in states]  # type: ignore[misc]
    of_plane = plane_log_odds(states, pairs, occluding, config.plane)
    for index, state in enumerate(states):
        of_object = color.own_share * own[index] + (1.0 - color.own_share) * shared + color.novel + dark_sides
        crop = state.crop
        flat = state.cells[crop]
        ratio = np.log((of_object[flat] + color.floor) / (of_background[index][flat] + color.floor))
        total = np.clip(ratio, -color.max_log_odds, color.max_log_odds) + state.fixed[crop] + of_plane[index][crop]
        state.log_odds = np.full(state.window.shape, config.graph_cut.off_log_odds, np.float32)
        np.copyto(state.log_odds[crop], total, where=state.window.allowed[crop], casting="same_kind")


def _have_settled(before: Sequence[Bool], after: Sequence[Bool], least: float) -> bool:
    """Whether the IoU of the labels before and after, over all windows, is ``least`` or more."""
    both = sum(int(np.count_nonzero(a & b)) for a, b in zip(before, after, strict=True))
    either = sum(int(np.count_nonzero(a | b)) for a, b in zip(before, after, strict=True))
    return both >= least * either


def cut_windows(
    states: Sequence[WindowState], grid: OccupancyGrid, label_share: float, config: SegmentationConfig
) -> None:
    """Sets ``labels`` and ``consistency`` of the states by one minimum cut each, with silhouette consistency.

    A view votes with its log-odds and, by ``label_share``, [0, 1], with its labels. Labels of a view that has found
    nothing do not vote: they would take from the others what these found.
    """
    agreement = config.agreement
    beliefs = []
    for state in states:
        clipped = np.clip(state.log_odds, -agreement.max_belief, agreement.max_belief)
        smooth = cv2.GaussianBlur(clipped, (0, 0), agreement.blur)
        labelled = np.where(state.labels, agreement.label_belief, -agreement.label_belief).astype(np.float32)
        share = label_share if np.count_nonzero(state.labels) >= agreement.min_pixels else 0.0
        beliefs.append(((1 - share) * smooth + share * labelled).astype(np.float32))
    votes = _votes(states, beliefs, grid) if len(states) > 1 else None

    def cut(index: int, state: WindowState) -> None:
        total = state.log_odds
        if votes is not None:
            others = np.delete(votes, index, axis=0)
            seen = np.where(others == UNSEEN, agreement.out_of_sight_log_odds, others)
            least = seen.min(axis=0).astype(np.float32)
            state.consistency = grid.max_along_rays(index, least, agreement.min_log_odds)
            total = total + np.clip(state.consistency, agreement.min_log_odds, agreement.max_log_odds)
        window, limit = state.window, config.graph_cut.max_evidence
        state.labels = minimum_cut(total, state.borders, window.allowed, window.on, config.graph_cut.smoothness, limit)

    each(cut, range(len(states)), states)


def _votes(states: Sequence[WindowState], beliefs: Sequence[F32], grid: OccupancyGrid) -> F32:
    """(V, N): `OccupancyGrid.gather` of beliefs; a cell that another thing may cover is as good as on the object."""
    votes = grid.gather(beliefs)
    if all(state.covered is None for state in states):
        return votes
    hidden = grid.votes([np.zeros(s.window.shape, bool) if s.covered is None else s.covered for s in states])
    return np.where(hidden > 0.0, np.maximum(votes, grid.config.label_belief), votes)
