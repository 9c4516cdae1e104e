"""How well a mesh, rendered back into the views it came from, agrees with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from mvgamba_ros.metrics.image import mask_iou
from mvgamba_ros.rendering.mesh_raycaster import Raycaster, RenderedMesh
from mvgamba_ros.types import F64, Bool, View


@dataclass(frozen=True)
class Agreement:
    """Of each view, (V,): ``iou`` of its mask and the rendered mesh's, [0, 1]; ``color_error``, mean absolute RGB
    difference where both are, [0, 1], NaN where nothing is; ``outline_gap``, mean distance between the two outlines,
    pixels: what only one of the masks covers over the length of the view's outline; ``renders``: the mesh as each
    sees it."""

    iou: F64
    color_error: F64
    outline_gap: F64
    renders: list[RenderedMesh]


def compare(caster: Raycaster, views: Sequence[View]) -> Agreement:
    """Render the caster's mesh into undistorted ``views`` with masks and compare silhouettes and colours."""
    iou, color_error, gap = (np.full(len(views), np.nan) for _ in range(3))
    renders = [caster.render(view.camera, view.T_world_camera) for view in views]
    for v, (view, rendered) in enumerate(zip(views, renders, strict=True)):
        assert view.mask is not None  # the pipeline's segment stage
        iou[v] = mask_iou(rendered.mask, view.mask)
        gap[v] = np.count_nonzero(rendered.mask ^ view.mask) / max(_outline_length(view.mask), 1.0)
        both = np.flatnonzero(rendered.mask & view.mask)
        if len(both):
            difference = cv2.absdiff(view.image, rendered.color).reshape(-1, 3).take(both, axis=0)
            color_error[v] = difference.mean() / 255.0
    return Agreement(iou, color_error, gap, renders)


def _outline_length(mask: Bool) -> float:
    """Of the outline of ``mask``, pixels: steps between its pixels and others, which overestimate the length of a line
    of random direction by 4 / pi."""
    steps = np.count_nonzero(mask[1:] ^ mask[:-1]) + np.count_nonzero(mask[:, 1:] ^ mask[:, :-1])
    return steps * np.pi / 4.0
