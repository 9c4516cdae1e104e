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
from mvgamba_ros.kernels.device import choose_device, ran_on
from mvgamba_ros.options import Options
from mvgamba_ros.segmentation.classical import objectness
from mvgamba_ros.segmentation.classical.finished_silhouettes import finished
from mvgamba_ros.segmentation.classical.object_search import find_region, grown_region
from mvgamba_ros.segmentation.classical.window_segmentation import segment_windows
from mvgamba_ros.segmentation.classical.window_state import SegmentedWindows
from mvgamba_ros.segmentation.segmenter import Silhouettes
from mvgamba_ros.segmentation.windows import make_windows
from mvgamba_ros.types import Box, Cancelled, Progress, Prompts, View


class ClassicalSegmenter:
    """Segments undistorted, posed views without a trained segmenter for everything.

    Without a region of interest the object is expected in the middle of all views. The objectness network's weights,
    which come with the package, are loaded when it is constructed, on a device of `choose_device`; BAD_CHECKPOINT where
    that fails.
    """

    name = "classical"

    def __init__(self, config: SegmentationConfig = SegmentationConfig(), device: str = "auto") -> None:
        self.config = config
        chosen, _ = choose_device(device)
        self.provenance = ran_on(chosen, scans=False)
        self.learned = objectness.learned(objectness.load().to(chosen), config.objectness)

    @classmethod
    def from_options(cls, options: Options) -> ClassicalSegmenter:
        """The factory that is registered."""
        return cls(options.config.segmentation, options.device)

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
            region = find_region(self.learned, views, prompts, cancelled, self.config)
            growths = self.config.search.max_growths if len(views) > 1 else 0
            report(0.4)
        found = self._segment(views, region, prompts, cancelled)
        for _ in range(growths):
            larger = grown_region(found, region, views, self.config)
            if larger is None:
                break
            region, found = larger, self._segment(views, larger, prompts, cancelled)
        report(0.8)
        result = finished(views, found, region, prompts, cancelled, self.config)
        if progress is not None:
            progress("segment", 1.0)
        return result

    def _segment(
        self, views: Sequence[View], region: Box, prompts: Prompts, cancelled: Cancelled | None
    ) -> SegmentedWindows:
        windows = make_windows(views, region, prompts, self.config.windows.side, self.config.windows)
        return segment_windows(self.learned, windows, region, prompts, False, cancelled, self.config)
