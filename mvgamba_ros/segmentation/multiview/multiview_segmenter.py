"""The learned segmenter: one network sees all views of a region, and labels the wanted object and other things.

With a region of interest the windows that show it are labelled together (`region_labels`) and their borders refined at
full resolution. Without one, things are searched for in the middle of all views (`region_search`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from mvgamba_ros.checks import check_prompts
from mvgamba_ros.config.segmentation_config import SegmentationConfig
from mvgamba_ros.errors import stop_if
from mvgamba_ros.geometry.boxes import axis_parallel_box
from mvgamba_ros.options import Options
from mvgamba_ros.parallel import each
from mvgamba_ros.segmentation.classical.border import refine_border
from mvgamba_ros.segmentation.classical.components import fill_small_holes, without_islands
from mvgamba_ros.segmentation.multiview import instance_network
from mvgamba_ros.segmentation.multiview.region_labels import RegionLabels, label_region
from mvgamba_ros.segmentation.multiview.region_search import RegionSearch
from mvgamba_ros.segmentation.segmenter import Silhouettes
from mvgamba_ros.segmentation.silhouette_agreement import OccupancyGrid, check_silhouettes
from mvgamba_ros.segmentation.support_plane import refine_support_height, support_height
from mvgamba_ros.types import Bool, Box, Cancelled, Progress, Prompts, View


class MultiviewSegmenter:
    """Segments undistorted, posed views by the instance network, whose weights come with the package (BAD_CHECKPOINT
    where they cannot be read). Without a region of interest the object is expected in the middle of all views."""

    name = "multiview"

    def __init__(
        self, config: SegmentationConfig = SegmentationConfig(), weights: Path = instance_network.SHIPPED
    ) -> None:
        self.config = config
        self.network = instance_network.load(weights)
        self.search = RegionSearch(self.network, config)

    @classmethod
    def from_options(cls, options: Options) -> MultiviewSegmenter:
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
        if prompts.roi is not None:
            found = label_region(self.network, views, prompts.roi, prompts, False, self.config)
        else:
            found = self.search.one(views, prompts, cancelled)
        region = found.region
        report(0.5)
        labels = [(odds > 0.0) & w.allowed for odds, w in zip(found.wanted, found.windows, strict=True)]
        grid = OccupancyGrid(found.windows, region, None, self.config.agreement)
        check_silhouettes(views, labels, grid)
        report(0.8)

        def border(index: int) -> Bool:
            stop_if(cancelled)
            window, odds = found.windows[index], found.wanted[index]
            kept = without_islands(labels[index], window, self.config.components)
            kept = fill_small_holes(kept, window.off, self.config.components)
            return refine_border(views[index], window, kept, odds, self.config)

        masks = each(border, range(len(views)))
        if progress is not None:
            progress("segment", 1.0)
        height = self._height(views, found, grid, labels, prompts)
        hidden = [
            _at_full_size(odds > 0.0, window.rect, mask.shape) & ~mask
            for odds, window, mask in zip(found.other, found.windows, masks, strict=True)
        ]
        return Silhouettes(masks, height, region, hidden if any(other.any() for other in hidden) else None)

    def find_objects(self, views: Sequence[View], prompts: Prompts, cancelled: Cancelled | None = None) -> list[Box]:
        """As `mvgamba_ros.segmentation.segmenter.ObjectFinder`."""
        check_prompts(views, prompts)
        return self.search.all(views, prompts, cancelled)

    def _height(
        self, views: Sequence[View], found: RegionLabels, grid: OccupancyGrid, labels: list[Bool], prompts: Prompts
    ) -> float | None:
        """The support plane's height as the views show it, refined around what was found."""
        height = found.height
        if prompts.support_height is not None:
            height, _ = support_height(found.windows, found.region, False, self.config)
        points = grid.agreed(labels, self.config.search.min_vote)
        if height is None or len(points) == 0:
            return height
        half = grid.cell / 2
        around = axis_parallel_box(points.min(axis=0) - half, points.max(axis=0) + half)
        return refine_support_height(views, around, height, self.config)


def _at_full_size(labels: Bool, rect: tuple[int, int, int, int], size: tuple[int, ...]) -> Bool:
    """A window's ``labels`` (h, w) in its whole picture (H, W), False outside the window."""
    x0, y0, x1, y1 = rect
    full = np.zeros(size, bool)
    full[y0:y1, x0:x1] = cv2.resize(labels.astype(np.float32), (x1 - x0, y1 - y0)) > 0.5
    return full
