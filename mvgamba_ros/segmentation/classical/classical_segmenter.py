"""The default segmenter: colour models, support plane, objectness and silhouette consistency, joined by graph cuts.

The windows that show the region of interest are segmented together (`window_segmentation`), and their borders refined
at full resolution (`border`). Without a region the object is first searched for in the middle of all views
(`object_search`).
"""

from __future__ import annotations

from collections.abc import Sequence

from mvgamba_ros.checks import check_prompts
from mvgamba_ros.config.segmentation_config import SegmentationConfig
from mvgamba_ros.errors import stop_if
from mvgamba_ros.geometry.boxes import axis_parallel_box
from mvgamba_ros.options import Options
from mvgamba_ros.parallel import each
from mvgamba_ros.segmentation.classical import objectness
from mvgamba_ros.segmentation.classical.border import refine_border
from mvgamba_ros.segmentation.classical.components import cleaned
from mvgamba_ros.segmentation.classical.object_search import agreed_points, find_region, grown_region
from mvgamba_ros.segmentation.classical.window_segmentation import segment_windows
from mvgamba_ros.segmentation.classical.window_state import SegmentedWindows, WindowState
from mvgamba_ros.segmentation.segmenter import Silhouettes
from mvgamba_ros.segmentation.silhouette_agreement import check_silhouettes
from mvgamba_ros.segmentation.support_plane import refine_support_height, support_height
from mvgamba_ros.segmentation.windows import make_windows
from mvgamba_ros.types import Bool, Box, Cancelled, Progress, Prompts, View


class ClassicalSegmenter:
    """Segments undistorted, posed views without a trained segmenter for everything.

    Without a region of interest the object is expected in the middle of all views. The objectness network's weights,
    which come with the package, are loaded when it is constructed; BAD_CHECKPOINT where that fails.
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
        region, growths = prompts.roi, 0
        if region is None:
            region = find_region(self.network, views, prompts, cancelled, self.config)
            growths = self.config.search.max_growths if len(views) > 1 else 0
            report(0.4)
        found = self._segment(views, region, prompts, cancelled)
        for _ in range(growths):
            larger = grown_region(found, region, views, self.config)
            if larger is None:
                break
            region, found = larger, self._segment(views, larger, prompts, cancelled)
        check_silhouettes(views, [state.labels for state in found.states], found.grid)
        report(0.8)

        def border(view: View, state: WindowState) -> Bool:
            stop_if(cancelled)
            labels = cleaned(state.labels, state.window, state.log_odds, self.config.components)
            return refine_border(view, state.window, labels, state.log_odds, self.config)

        masks = each(border, views, found.states)
        height, agreed = found.height, agreed_points(found, self.config.search)
        if prompts.support_height is not None:  # what the views show of it
            windows = [state.window for state in found.states]
            height, _ = support_height(windows, region, False, self.config)
        if height is not None and len(agreed):
            half = found.grid.cell / 2
            around = axis_parallel_box(agreed.min(axis=0) - half, agreed.max(axis=0) + half)
            height = refine_support_height(views, around, height, self.config)
        if progress is not None:
            progress("segment", 1.0)
        return Silhouettes(masks, height, region)

    def _segment(
        self, views: Sequence[View], region: Box, prompts: Prompts, cancelled: Cancelled | None
    ) -> SegmentedWindows:
        windows = make_windows(views, region, prompts, self.config.windows.side, self.config.windows)
        return segment_windows(self.network, windows, region, prompts, False, cancelled, self.config)
