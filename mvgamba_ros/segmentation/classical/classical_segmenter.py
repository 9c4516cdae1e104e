"""The default segmenter: what the robot knows, poses, the support plane, colours, agreement, and a small network.

The windows that show the region of interest are labelled (`labels`), and their borders cut once more at full
resolution. Without a region the object is looked for first, in the middle of all views and coarsely.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mvgamba_ros.checks import check_prompts
from mvgamba_ros.config.segmentation_config import SegmentationConfig
from mvgamba_ros.errors import ErrorCode, ReconstructionError, stop_if
from mvgamba_ros.geometry.boxes import axis_parallel_box
from mvgamba_ros.options import Options
from mvgamba_ros.parallel import each
from mvgamba_ros.segmentation.classical import objectness
from mvgamba_ros.segmentation.classical.border import refine
from mvgamba_ros.segmentation.classical.components import without_specks
from mvgamba_ros.segmentation.classical.labels import Labelled, State, densities, label
from mvgamba_ros.segmentation.segmenter import Silhouettes
from mvgamba_ros.segmentation.silhouette_agreement import UNSEEN, check_silhouettes
from mvgamba_ros.segmentation.support_plane import refine_support_height
from mvgamba_ros.segmentation.windows import common_region, make_windows
from mvgamba_ros.types import F64, Bool, Box, Cancelled, Progress, Prompts, View

SIDE = 224
"""Longer side of a window while labels are sought."""
SEARCH_SIDE = 160
"""The same while the object is looked for without a region of interest."""
LYING, STANDING = 0.8, 0.4
"""What is found lies on the plane where this share of its pixels is on it in the other views as well; what stands on
that is smaller than this, beside it. The rest of a plate is not."""


class ClassicalSegmenter:
    """Silhouettes from poses, support plane, colour, looks and agreement. Works on undistorted views.

    Without a region of interest the object is taken to stand in the middle of all views. Loads the network's weights,
    which come with the package, when made; BAD_CHECKPOINT where that fails.
    """

    name = "classical"

    def __init__(self, config: SegmentationConfig = SegmentationConfig()) -> None:
        self.config = config
        self.network = objectness.load()

    @classmethod
    def from_options(cls, options: Options) -> ClassicalSegmenter:
        """The factory that is registered."""
        return cls(options.config.segmentation)

    def __call__(
        self,
        views: Sequence[View],
        prompts: Prompts,
        progress: Progress | None = None,
        cancelled: Cancelled | None = None,
    ) -> Silhouettes:
        def report(fraction: float) -> None:
            stop_if(cancelled)
            if progress is not None:
                progress("segment", fraction)

        check_prompts(views, prompts)
        report(0.0)
        region = prompts.roi
        if region is None:
            region = _search(self.network, views, prompts, cancelled)
            report(0.4)
        windows = make_windows(views, region, prompts, SIDE)
        found = label(self.network, windows, region, prompts, False, cancelled)
        check_silhouettes(views, [state.labels for state in found.states], found.carving)
        report(0.8)

        def border(view: View, state: State) -> Bool:
            stop_if(cancelled)
            return refine(view, state.window, without_specks(state.labels, state.window, state.odds), state.odds)

        masks = each(border, views, found.states)
        height, agreed = found.height, _agreed(found)
        if height is not None and prompts.support_height is None and len(agreed):
            half = found.carving.cell / 2
            around = axis_parallel_box(agreed.min(axis=0) - half, agreed.max(axis=0) + half)
            height = refine_support_height(views, around, height)
        if progress is not None:
            progress("segment", 1.0)
        return Silhouettes(masks, height)


def _search(
    network: objectness.Objectness, views: Sequence[View], prompts: Prompts, cancelled: Cancelled | None
) -> Box:
    """A region around what is found in the middle of all views."""
    region = common_region(views, prompts)
    windows = make_windows(views, region, prompts, SEARCH_SIDE)
    found = label(network, windows, region, prompts, True, cancelled)
    lying = _lying(found)
    if lying is not None:
        # a mat or a sheet of paper: the object is what stands on it, if anything does
        windows = [replace(w, allowed=w.allowed & ~flat) for w, flat in zip(windows, lying, strict=True)]
        standing = label(network, windows, region, prompts, True, cancelled)
        if sum(s.labels.sum() for s in standing.states) < STANDING * sum(s.labels.sum() for s in found.states):
            try:
                check_silhouettes(views, [state.labels for state in standing.states], standing.carving)
                return _bounds(standing)
            except ReconstructionError:
                pass
    check_silhouettes(views, [state.labels for state in found.states], found.carving)
    return _bounds(found) if len(views) > 1 else region


def _lying(found: Labelled) -> list[Bool] | None:
    """(h, w) each, what of the labels lies on the plane, where that is nearly all of them; else None."""
    inside, alike, shares = [], [], []
    states = found.states
    for state, compared in zip(states, found.pairs, strict=True):
        if not compared:
            return None
        seen = np.sum([pair.seen for pair in compared], axis=0)
        on = np.sum([pair.on(states[pair.j].labels) for pair in compared], axis=0)
        labelled = state.labels & (seen > 0)
        shares.append(float(on[labelled].sum() / max(seen[labelled].sum(), 1)))
        inside.append(labelled & (on > 0.5 * seen))
        alike.append(np.sum([pair.match for pair in compared], axis=0) > 0.5 * seen)
    if np.mean(shares) < LYING:
        return None
    # by colour as well: views that expose differently do not match
    matching = [m & a for m, a in zip(inside, alike, strict=True)]
    differing = [m & ~a for m, a in zip(inside, alike, strict=True)]
    flat, other = (np.mean(densities(states, masks), axis=0) for masks in (matching, differing))
    return [m & (a | (flat > other)[s.cells]) for s, m, a in zip(states, inside, alike, strict=True)]


def _bounds(found: Labelled) -> Box:
    """A box half as large again as what all silhouettes agree on."""
    points, cell = _agreed(found), found.carving.cell
    if len(points) == 0:
        raise ReconstructionError(
            ErrorCode.SILHOUETTES_DISAGREE,
            "the silhouettes have no common point, so the views may show different things: check poses and time "
            "stamps, that the object stood still, or give a region of interest",
        )
    low, high = points.min(axis=0), points.max(axis=0)
    return axis_parallel_box(1.25 * low - 0.25 * high - cell, 1.25 * high - 0.25 * low + cell)


def _agreed(found: Labelled) -> F64:
    """(N, 3): the cells' middles that all silhouettes agree on."""
    carving = found.carving
    votes = carving.votes([state.labels for state in found.states])
    seen = (votes != UNSEEN).sum(axis=0)
    return carving.points[(votes.min(axis=0) > -0.3) & (seen >= 2)]
