"""What a segmenter is.

A segmenter is registered under a name (`mvgamba_ros.registry`, kind ``segmenters``) by its factory, a class or
function ``factory(options: Options) -> Segmenter``. The factory may read ``segmenter``, ``sam_checkpoint``, ``device``
and ``config`` of the options, everything else there is at its default; it loads weights, and raises BAD_CHECKPOINT,
MISSING_PACKAGE or BAD_OPTION where it cannot. What it makes is kept and called once a reconstruction
(`mvgamba_ros.factories.load_segmenter`), always from one thread at a time. It may have an attribute ``provenance``, as
a reconstructor may (`mvgamba_ros.methods.protocol`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from mvgamba_ros.types import Bool, Box, Cancelled, Progress, Prompts, View


@dataclass(frozen=True)
class Silhouettes:
    """``masks``: of each view, (H, W) bool, True on the object, none of them empty. ``support_height``: world z in
    metres of the plane under the object, where it was seen while they were sought. ``region``: the box that they were
    sought in, where that was narrower than the views. ``hidden``: of each view, (H, W) bool, True where another thing
    may cover the object, nowhere on its mask; it may hold things beside and behind the object too. None: nothing
    covers it."""

    masks: list[Bool]
    support_height: float | None = None
    region: Box | None = None
    hidden: list[Bool] | None = None


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
            As many masks as views, in their order, each of its image's size; as many of ``hidden``, if there are any.

        Raises:
            ReconstructionError: EMPTY_SILHOUETTE, SILHOUETTES_DISAGREE, BAD_ROI, ROI_NOT_VISIBLE, BAD_OPTION for
                prompts that fit no view, CANCELLED. Any other exception, and a result that is not
                of this contract, is reported as a fault of the package that brings the segmenter.
        """
        ...


@runtime_checkable
class EmbeddingSegmenter(Segmenter, Protocol):
    """A segmenter whose slow part needs one view alone: the node has it done when a view is captured, while the arm
    moves on, and so takes it out of the request."""

    def embed(self, view: View) -> None:
        """Computes what is needed of ``view``, undistorted, and keeps it by the content of its image: the views of
        the request may be copies, or others."""
        ...


@runtime_checkable
class ObjectFinder(Segmenter, Protocol):
    """A segmenter that finds every object in the middle of the views, not one."""

    def find_objects(self, views: Sequence[View], prompts: Prompts, cancelled: Cancelled | None = None) -> list[Box]:
        """A box around each object in the region of interest, or in the middle of all undistorted ``views``; world,
        metres, as wide as a region of interest for it should be. Nearest to where the views look first.

        Raises as a `Segmenter` does; where nothing stands there the list is empty.
        """
        ...
