"""Of a window's labels, what belongs together: one object, without specks, without holes that are prints."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from mvgamba_ros.segmentation.windows import Window, distance_from_middle
from mvgamba_ros.types import F32, Bool

SMALL = 0.01
"""A hole below this share of the silhouette is filled whatever is seen in it: left open by mistake it cuts a tunnel
through the object, filled by mistake it costs next to nothing."""
SEEN_THROUGH = -2.2
"""A hole of which more than a tenth has log-odds above this is a print in the surroundings' colours: through a true
hole nothing but the surroundings is seen."""


def one_object(labels: Bool, window: Window) -> Bool:
    """Of several blobs, pieces near each other taken as one, the one that weighs most; far from the middle less."""
    side = max(3, max(window.shape) // 20) | 1
    joined = cv2.dilate(labels.astype(np.uint8), np.ones((side, side), np.uint8))
    count, blobs = cv2.connectedComponents(joined)
    if count < 3:
        return labels
    weight = np.exp(-((2.0 * distance_from_middle(window)) ** 2)) * labels
    mass = np.bincount(blobs.ravel(), weight.ravel(), minlength=count)
    mass[0] = 0.0
    return labels & (blobs == int(mass.argmax()))


def without_specks(labels: Bool, window: Window, odds: F32) -> Bool:
    """The labels without islands that are small beside the largest, and without holes that little speaks for."""
    labels = labels.copy()
    count, blobs, stats, _ = cv2.connectedComponentsWithStats(labels.astype(np.uint8), connectivity=4)
    area = stats[:, cv2.CC_STAT_AREA]
    for blob in range(1, count):
        if area[blob] < 0.03 * area[1:].max() and not window.on[blobs == blob].any():
            labels[blobs == blob] = False
    labels = without_small_holes(labels, window.off)
    for hole in holes(labels, window.off):
        # a print taken for a hole would cut a tunnel through the object
        if np.percentile(odds[hole], 90) > SEEN_THROUGH:
            labels[hole] = True
    return labels


def holes(mask: Bool, off: Bool) -> Iterator[Bool]:
    """Each hole of ``mask`` (h, w), as (h, w), but for those with a pixel that is known to be ``off`` (h, w)."""
    count, parts, stats, _ = cv2.connectedComponentsWithStats((~mask).astype(np.uint8), connectivity=4)
    height, width = mask.shape
    for part in range(1, count):
        x, y, w, h, _ = stats[part]
        if x > 0 and y > 0 and x + w < width and y + h < height:
            hole = parts == part
            if not off[hole].any():
                yield hole


def without_small_holes(mask: Bool, off: Bool) -> Bool:
    """``mask`` with those of its `holes` filled that are smaller than `SMALL`."""
    filled, most = mask.copy(), SMALL * mask.sum()
    for hole in holes(mask, off):
        if hole.sum() < most:
            filled |= hole
    return filled
