"""Silhouettes that other things partly cover: what shows the object, what may, and the object's colours without them.

A view's ``mask`` is its silhouette and ``hidden`` what else may cover the object. Until the silhouette is completed
(`mvgamba_ros.surface.amodal_silhouettes`) the two have no pixel in common.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from mvgamba_ros.types import U8, Bool, View

GAP = 2
"""Between two labels as many pixels are their border's, which no segmenter draws exactly; not a setting."""


def visible(view: View) -> Bool:
    """(H, W): where the view with a mask shows the object itself: its mask less what is hidden."""
    assert view.mask is not None
    return view.mask if view.hidden is None else view.mask & ~view.hidden


def all_or_none(hidden: Sequence[Bool | None], masks: Sequence[Bool]) -> list[Bool] | None:
    """What is ``hidden`` in every view, of the size of its mask, nothing where that is None; None where all are."""
    if all(one is None for one in hidden):
        return None
    return [np.zeros_like(mask) if one is None else one for one, mask in zip(hidden, masks, strict=True)]


def is_covered(view: View) -> bool:
    """Whether anything may cover the object in the view."""
    return view.hidden is not None and bool(view.hidden.any())


def possible(view: View) -> Bool:
    """(H, W): where the object of the view with a mask may be: what is visible, and what is hidden and meets it.

    The picture of one object is connected, so where nothing covers it between, it does not go on.
    """
    shown = visible(view)
    if view.hidden is None or not view.hidden.any():
        return shown
    _, labels = cv2.connectedComponents(view.hidden.astype(np.uint8), connectivity=8)
    near = np.zeros(int(labels.max()) + 1, np.bool_)
    near[labels[grown(shown, GAP) & view.hidden]] = True
    return shown | near[labels] & view.hidden


def beside_hidden(view: View) -> Bool:
    """(H, W): what is hidden and a few pixels around, where an outline is not the object's own; nowhere without any."""
    if view.hidden is None:
        return np.zeros(view.image.shape[:2], np.bool_)
    return grown(view.hidden, GAP)


def grown(mask: Bool, margin: int) -> Bool:
    """``mask`` (H, W) with ``margin`` pixels around, along rows and columns."""
    kernel = np.ones((2 * margin + 1, 2 * margin + 1), np.uint8)
    return cv2.dilate(mask.astype(np.uint8), kernel) > 0


def uncovered_image(view: View, margin: int) -> U8:
    """(H, W, 3): the view's picture, where its silhouette is hidden of the colour of the nearest pixel that shows the
    object, ``margin`` pixels from what does not, as colours mix there; the picture itself where nothing is hidden."""
    assert view.mask is not None
    if view.hidden is None or not (view.mask & view.hidden).any():
        return view.image
    shown = visible(view)
    inner = ~grown(~shown, margin)
    source = inner if inner.any() else shown
    if not source.any():
        return view.image
    _, labels = cv2.distanceTransformWithLabels(
        (~source).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    colors = np.zeros((int(labels.max()) + 1, 3), np.uint8)
    colors[labels[source]] = view.image[source]
    covered = view.mask & ~shown
    image = view.image.copy()
    image[covered] = colors[labels[covered]]
    return image
