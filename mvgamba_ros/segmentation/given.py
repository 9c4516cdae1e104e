"""The views' own masks: from a simulator, a dataset, or a segmenter that runs elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mvgamba_ros.errors import ErrorCode, ReconstructionError, stop_if
from mvgamba_ros.geometry.occlusion import all_or_none, visible
from mvgamba_ros.options import Options
from mvgamba_ros.segmentation.segmenter import Silhouettes
from mvgamba_ros.types import Cancelled, Progress, Prompts, View, view_name


class GivenMasks:
    """Returns ``view.mask`` of every view, without what is ``hidden``, and that; prompts are ignored.

    Raises BAD_MASK for a view without a mask or with one of another size than its image, EMPTY_SILHOUETTE for a mask
    without a pixel on the object.
    """

    name = "masks"

    @classmethod
    def from_options(cls, options: Options) -> GivenMasks:
        """The factory that is registered; it needs nothing of ``options``."""
        return cls()

    def __call__(
        self,
        views: Sequence[View],
        prompts: Prompts,
        progress: Progress | None = None,
        cancelled: Cancelled | None = None,
    ) -> Silhouettes:
        stop_if(cancelled)
        masks = []
        for index, view in enumerate(views):
            what = view_name(view, index)
            if view.mask is None:
                raise ReconstructionError(
                    ErrorCode.BAD_MASK, f"{what} has no mask: give every view one, or segment with 'classical'"
                )
            mask = np.asarray(view.mask)
            if mask.shape != view.image.shape[:2]:
                raise ReconstructionError(
                    ErrorCode.BAD_MASK,
                    f"{what}: mask of shape {mask.shape} on an image of {view.image.shape[:2]} (height, width): "
                    "give a mask of the image's size",
                )
            mask = visible(replace(view, mask=mask.astype(bool)))
            if not mask.any():
                raise ReconstructionError(
                    ErrorCode.EMPTY_SILHOUETTE,
                    f"{what}: its mask has no pixel on the object that is not hidden; drop that view",
                )
            masks.append(mask)
        if progress is not None:
            progress("segment", 1.0)
        return Silhouettes(masks, hidden=all_or_none([view.hidden for view in views], masks))
