"""What is stored of a window while it is segmented."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mvgamba_ros.segmentation.plane_matching import Crop, PlanePair
from mvgamba_ros.segmentation.silhouette_agreement import OccupancyGrid
from mvgamba_ros.segmentation.windows import Window
from mvgamba_ros.types import F32, Bool

Learned = Callable[[Sequence[Window], Sequence[Sequence[PlanePair]]], list[F32]]
"""A network's weighted log-odds (h, w) that each window's pixels are on the object, from the windows and their
comparisons through the support plane."""


@dataclass
class WindowState:
    """The state of one window (h, w) between two cuts; arrays are of its size. Log-odds are natural, positive on the
    object."""

    window: Window
    crop: Crop
    """Rows and columns around the area where the object may be."""
    cells: np.ndarray
    """Flat histogram cells of the window's colours, see `color_model.cells`."""
    borders: np.ndarray
    """(h, w, 2) uint8 channels along whose steps a cut is cheap, see `graph_cut.border_channels`."""
    fixed: F32
    """Log-odds that no round changes: depth and a network's."""
    plane_limit: float
    """Largest log-odds that a mismatch through the support plane gives, see `plane_matching.mismatch_limit`."""
    labels: Bool
    color_weight: F32
    """Weight of each pixel when the object's colours are learned; below 1 where it may be shadow."""
    log_odds: F32
    """Of the window's own cues, without the other views' silhouettes."""
    consistency: F32
    """Log-odds that the other views' silhouettes allow the object on the pixel's ray."""
    covered: Bool | None = None
    """Where another thing may cover the object: the window does not vote there against it. None: nowhere."""


@dataclass(frozen=True)
class SegmentedWindows:
    """Windows with their labels, the ``grid`` on which their silhouettes agree, each window's comparisons with others
    through the support plane (none where there is no plane), and the plane's ``height``, world z in metres."""

    states: list[WindowState]
    grid: OccupancyGrid
    pairs: list[list[PlanePair]]
    height: float | None
