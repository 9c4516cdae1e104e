"""Holes of a silhouette: background that the object surrounds."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from mvgamba_ros.types import Bool

SMALL = 0.01
"""A hole below this share of the silhouette is filled whatever is seen in it: left open by mistake it cuts a tunnel
through the object, filled by mistake it costs next to nothing."""


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
