"""What a segmenter is.

A segmenter is registered under a name (`mvgamba_ros.registry`, kind ``segmenters``) by its factory, a class or
function ``factory(options: Options) -> Segmenter``. The factory may read ``segmenter``, ``sam_checkpoint``, ``device``
and ``config`` of the options, everything else there is at its default; it loads weights, and raises BAD_CHECKPOINT,
MISSING_PACKAGE or BAD_OPTION where it cannot. What it answers is kept and called once a reconstruction
(`mvgamba_ros.factories.load_segmenter`), always from one thread at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.types import Bool, Cancelled, Progress, Prompts, View


@dataclass(frozen=True)
class Silhouettes:
    """``masks``: of each view, (H, W) bool, True on the object, none of them empty. ``support_height``: world z in
    metres of the plane under the object, where it was seen while they were sought."""

    masks: list[Bool]
    support_height: float | None = None


class Segmenter(Protocol):
    """Finds the object in each of several views."""

    @property
    def name(self) -> str:
        """The name it is registered under."""
        ...

    def __call__(
        self,
        views: Sequence[View],
        prompts: Prompts,
        progress: Progress | None = None,
        cancelled: Cancelled | None = None,
    ) -> Silhouettes:
        """The silhouette of the object in every view.

        Args:
            views: At least one, undistorted (``camera.distortion_model`` "none"), ``image`` (H, W, 3) uint8 RGB,
                ``T_world_camera`` (4, 4) rigid, of OpenCV optical frames, metres; ``depth`` where it was measured.
            prompts: What is known of where the object is, in the world frame and in pixels of ``views``; may be
                empty, the object is then in the middle of all views.
            progress: Called as ``progress(stage, fraction)``, the fraction of this segmenter's own work in [0, 1].
            cancelled: Polled between heavy steps with `mvgamba_ros.errors.stop_if`.

        Returns:
            As many masks as views, in their order, each of its image's size.

        Raises:
            ReconstructionError: EMPTY_SILHOUETTE, SILHOUETTES_DISAGREE, BAD_ROI, ROI_NOT_VISIBLE, BAD_OPTION for
                prompts that fit no view, CANCELLED. Any other exception is reported as a bug.
        """
        ...


def view_label(views: Sequence[View], index: int) -> str:
    """How messages call a view: its number in the request and its name, where it has one."""
    name = views[index].name
    return f"view {index} ({name})" if name else f"view {index}"


def check_cancelled(cancelled: Cancelled | None) -> None:
    """Raises CANCELLED once the caller wants no more."""
    if cancelled is not None and cancelled():
        raise ReconstructionError(ErrorCode.CANCELLED, "segmentation cancelled on request")


def check_prompts(views: Sequence[View], prompts: Prompts) -> None:
    """Raises BAD_OPTION for pixel boxes or points of views that are not there or that lie off the image, BAD_ROI for
    a region of interest without volume."""
    if prompts.roi is not None:
        size = np.asarray(prompts.roi.size, dtype=np.float64)
        if size.shape != (3,) or not np.isfinite(size).all() or not (size > 0.0).all():
            raise ReconstructionError(
                ErrorCode.BAD_ROI, f"region of interest size {size.tolist()} m: each of 3 sides must be positive"
            )
        if not np.isfinite(prompts.roi.T_world_box).all():
            raise ReconstructionError(ErrorCode.BAD_ROI, "region of interest pose has a value that is not finite")
    for what, keys in (("pixel box", prompts.pixel_boxes), ("point prompt", prompts.points)):
        for index in keys:
            if not 0 <= index < len(views):
                raise ReconstructionError(
                    ErrorCode.BAD_OPTION, f"{what} for view {index}, but the views are 0 to {len(views) - 1}"
                )
    for index, (x0, y0, x1, y1) in prompts.pixel_boxes.items():
        height, width = views[index].image.shape[:2]
        if not (max(x0, 0) + 2 <= min(x1, width) and max(y0, 0) + 2 <= min(y1, height)):
            raise ReconstructionError(
                ErrorCode.BAD_OPTION,
                f"pixel box ({x0:g}, {y0:g}, {x1:g}, {y1:g}) of {view_label(views, index)} covers less than 2 x 2 "
                f"pixels of the {width} x {height} image: give x0 < x1 and y0 < y1 inside it",
            )
    for index, points in prompts.points.items():
        height, width = views[index].image.shape[:2]
        rows = np.asarray(points, dtype=np.float64)
        if rows.ndim != 2 or rows.shape[1] != 3:
            raise ReconstructionError(
                ErrorCode.BAD_OPTION,
                f"points of {view_label(views, index)} have shape {rows.shape}: give (N, 3) rows of x, y, label",
            )
        outside = (rows[:, 0] < 0) | (rows[:, 0] >= width) | (rows[:, 1] < 0) | (rows[:, 1] >= height)
        if outside.any() or not np.isin(rows[:, 2], (0, 1)).all():
            raise ReconstructionError(
                ErrorCode.BAD_OPTION,
                f"points of {view_label(views, index)}: {rows.tolist()} must lie inside the {width} x {height} image "
                "and have label 1 (on the object) or 0 (off it)",
            )
