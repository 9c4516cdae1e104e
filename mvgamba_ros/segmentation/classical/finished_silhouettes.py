"""Silhouettes from segmented windows: checked, cleaned, their borders refined at full resolution."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from mvgamba_ros.config.segmentation_config import SegmentationConfig
from mvgamba_ros.errors import stop_if
from mvgamba_ros.geometry.boxes import axis_parallel_box
from mvgamba_ros.parallel import each
from mvgamba_ros.segmentation.classical.border import refine_border
from mvgamba_ros.segmentation.classical.components import cleaned
from mvgamba_ros.segmentation.classical.object_search import agreed_points
from mvgamba_ros.segmentation.classical.window_state import SegmentedWindows, WindowState
from mvgamba_ros.segmentation.segmenter import Silhouettes
from mvgamba_ros.segmentation.silhouette_agreement import check_silhouettes
from mvgamba_ros.segmentation.support_plane import refine_support_height, support_height
from mvgamba_ros.types import Bool, Box, Cancelled, Prompts, View


def finished(
    views: Sequence[View],
    found: SegmentedWindows,
    region: Box,
    prompts: Prompts,
    cancelled: Cancelled | None,
    config: SegmentationConfig,
) -> Silhouettes:
    """The silhouettes of ``views`` from the windows of ``region``, and the support plane's height around them.

    Raises EMPTY_SILHOUETTE, SILHOUETTES_DISAGREE and CANCELLED.
    """
    check_silhouettes(views, [state.labels for state in found.states], found.grid)

    def border(view: View, state: WindowState) -> Bool:
        stop_if(cancelled)
        labels = cleaned(state.labels, state.window, state.log_odds, config.components)
        return refine_border(view, state.window, labels, state.log_odds, config)

    masks = each(border, views, found.states)
    height, agreed = found.height, agreed_points(found, config.search)
    if prompts.support_height is not None:  # what the views show of it
        windows = [state.window for state in found.states]
        height, _ = support_height(windows, region, False, config)
    if height is not None and len(agreed):
        half = found.grid.cell / 2
        around = axis_parallel_box(agreed.min(axis=0) - half, agreed.max(axis=0) + half)
        height = refine_support_height(views, around, height, config)
    hidden = None
    if any(state.covered is not None and state.covered.any() for state in found.states):
        hidden = [_hidden(state, mask) for state, mask in zip(found.states, masks, strict=True)]
    return Silhouettes(masks, height, region, hidden)


def _hidden(state: WindowState, mask: Bool) -> Bool:
    """Where another thing may cover the object, in the whole picture (H, W), not on its ``mask``."""
    hidden = np.zeros(mask.shape, bool)
    if state.covered is not None:
        x0, y0, x1, y1 = state.window.rect
        hidden[y0:y1, x0:x1] = cv2.resize(state.covered.astype(np.float32), (x1 - x0, y1 - y0)) > 0.5
    return hidden & ~mask
