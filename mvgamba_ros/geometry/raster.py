"""Masks: their bounding boxes, and the distance transform inside them."""

from __future__ import annotations

import cv2
import numpy as np

from mvgamba_ros.types import F32, Bool


def part_around(mask: Bool, margin: int) -> tuple[slice, slice]:
    """Rows and columns of the bounding box of what is True in ``mask`` (H, W), grown by ``margin`` on every side but
    not beyond the image; the whole image where nothing is True."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return np.s_[:, :]
    (top, bottom), (left, right) = ((int(line[0]), int(line[-1]) + 1) for line in (rows, columns))
    return np.s_[max(top - margin, 0) : bottom + margin, max(left - margin, 0) : right + margin]


def depth_inside(mask: Bool, kind: int = 5) -> F32:
    """Distance transform (H, W): from each True pixel's centre to that of the nearest False one, in pixels; 0 where
    False.

    ``kind``: OpenCV's mask size, of which ``cv2.DIST_MASK_PRECISE`` is exact. What is beyond the image counts for
    nothing; a mask without a False pixel has none, and gives large values.
    """
    # a ring of False pixels around what is True holds every nearest one
    part = part_around(mask, 1)
    depth = np.zeros(mask.shape, np.float32)
    depth[part] = cv2.distanceTransform(mask[part].astype(np.uint8), cv2.DIST_L2, kind)
    return depth


def signed_distance(mask: Bool) -> F32:
    """Distance (H, W) in pixels from each pixel's centre to the outline of ``mask`` (H, W), which runs between pixels'
    centres; positive inside. At most 1e4: a mask that is True everywhere has no outline."""
    inside, outside = depth_inside(mask, cv2.DIST_MASK_PRECISE), depth_inside(~mask, cv2.DIST_MASK_PRECISE)
    return np.clip(np.where(mask, inside - 0.5, 0.5 - outside), -1e4, 1e4).astype(np.float32)
