"""The learned segmenter: one network sees all views of a region, and labels the wanted object and other things.

With a region of interest the windows that show it are labelled together (`region_labels`). Those labels are a cue of
the cuts that `classical` makes, at a higher resolution, and say where another thing covers the object. Without a
region, things are searched for in the middle of all views (`region_search`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from mvgamba_ros.checks import check_prompts
from mvgamba_ros.config.segmentation_config import SegmentationConfig
from mvgamba_ros.errors import stop_if
from mvgamba_ros.kernels.device import choose_device, ran_on
from mvgamba_ros.options import Options
from mvgamba_ros.segmentation.classical import objectness
from mvgamba_ros.segmentation.classical.finished_silhouettes import finished
from mvgamba_ros.segmentation.classical.object_search import grown_region
from mvgamba_ros.segmentation.classical.window_segmentation import segment_windows
from mvgamba_ros.segmentation.classical.window_state import SegmentedWindows
from mvgamba_ros.segmentation.multiview import instance_network
from mvgamba_ros.segmentation.multiview.region_labels import RegionLabels, label_region
from mvgamba_ros.segmentation.multiview.region_search import RegionSearch
from mvgamba_ros.segmentation.plane_matching import PlanePair
from mvgamba_ros.segmentation.segmenter import Silhouettes
from mvgamba_ros.segmentation.windows import Window, make_windows
from mvgamba_ros.types import F32, Box, Cancelled, Progress, Prompts, View


class MultiviewSegmenter:
    """Segments undistorted, posed views by the instance network, whose weights come with the package (BAD_CHECKPOINT
    where they cannot be read), on a device of `choose_device`. Without a region of interest the object is expected in
    the middle of all views."""

    name = "multiview"

    def __init__(
        self,
        config: SegmentationConfig = SegmentationConfig(),
        weights: Path = instance_network.SHIPPED,
        device: str = "auto",
    ) -> None:
        self.config = config
        chosen, _ = choose_device(device)
        self.provenance = ran_on(chosen, scans=False)
        self.network = instance_network.load(weights).to(chosen)
        self.objectness = objectness.learned(objectness.load().to(chosen), config.objectness)
        self.search = RegionSearch(self.network, config)

    @classmethod
    def from_options(cls, options: Options) -> MultiviewSegmenter:
        """The factory that is registered."""
        return cls(options.config.segmentation, device=options.device)

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
        report(0.5)
        segmented = self._cut(views, found, prompts, cancelled)
        for _ in range(self.config.search.max_growths if prompts.roi is None and len(views) > 1 else 0):
            larger = grown_region(segmented, found.region, views, self.config)
            if larger is None:
                break
            known = replace(prompts, support_height=found.height)
            found = label_region(self.network, views, larger, known, False, self.config)
            segmented = self._cut(views, found, prompts, cancelled)
        report(0.8)
        result = finished(views, segmented, found.region, prompts, cancelled, self.config)
        if progress is not None:
            progress("segment", 1.0)
        return result

    def _cut(
        self, views: Sequence[View], found: RegionLabels, prompts: Prompts, cancelled: Cancelled | None
    ) -> SegmentedWindows:
        """Labels at a higher resolution than the network's: its log-odds are a cue beside colours, plane and depth."""
        config, instances = self.config, self.config.instances
        windows = make_windows(views, found.region, prompts, config.windows.side, config.windows)

        def at(odds: F32, window: Window) -> F32:
            return cv2.resize(odds, window.shape[::-1])  # type: ignore[return-value]

        evidence, covered = [], []
        for wanted, other, window in zip(found.wanted, found.other, windows, strict=True):
            another = instances.other_weight * at(other, window)
            covered.append(at(other, window) > 0.0)
            own = np.clip(instances.weight * at(wanted, window), -instances.max_against, instances.max_for)
            evidence.append(own - np.clip(another, 0.0, instances.max_against))

        def learned(seen: Sequence[Window], pairs: Sequence[Sequence[PlanePair]]) -> list[F32]:
            return [odds + of_all for odds, of_all in zip(self.objectness(seen, pairs), evidence, strict=True)]

        prompts = replace(prompts, support_height=found.height)
        return segment_windows(
            learned,
            windows,
            found.region,
            prompts,
            False,
            cancelled,
            config,
            covered,
        )

    def find_objects(self, views: Sequence[View], prompts: Prompts, cancelled: Cancelled | None = None) -> list[Box]:
        """As `mvgamba_ros.segmentation.segmenter.ObjectFinder`."""
        check_prompts(views, prompts)
        return self.search.all(views, prompts, cancelled)
