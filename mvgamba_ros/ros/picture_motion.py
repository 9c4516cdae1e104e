"""Whether two pictures of one camera were taken from one place: what TF says of the camera, checked by what it saw.

Block by block the correlation of the two pictures is compared with that of the first with itself moved by two pixels of
a small copy, so noise, exposure and the scene's texture cancel out.
"""

from __future__ import annotations

import cv2
import numpy as np

from mvgamba_ros.types import F32, U8

SIDE = 320
"""Longer side of the small copies, pixels: two pixels of a 640 x 480 picture are one of them."""
BLOCK = 16
"""Side of a block, pixels of the small copies."""
PIXELS = 2
"""Motion that counts, pixels of the small copies: 4 of a 640 x 480 picture."""
MOVED_SHARE = 0.5
"""Pictures in which a larger share of the texture has moved are from two places: 0 to 0.4 is of those of a still camera
under noise and JPEG, or with a third of the picture moving; 0.6 of one that moved by 6 pixels of 640; 0.9 and more from
another side."""
FROZEN_SHARE = 0.15
"""Pictures in which less of the texture has moved are one picture twice. Before a camera that stands, as before a
turntable, more of it moves with the object."""


def moved_share(before: U8, now: U8) -> float:
    """The share of the texture of ``before`` (H, W, 3) that is not within about `PIXELS` of its place in ``now``,
    [0, 1]; NaN where there is none. Blocks count by their contrast."""
    a, b = _small(before), _small(now)
    contrast, same = _correlation(a, b)
    turned = [np.roll(a, step, axis) for step, axis in ((PIXELS, 0), (-PIXELS, 0), (PIXELS, 1), (-PIXELS, 1))]
    beside = np.mean([_correlation(a, moved)[1] for moved in turned], axis=0)
    total = float(contrast.sum())
    return float((contrast * (same < beside)).sum()) / total if total > 0.0 else float("nan")


def _small(image: U8) -> F32:
    scale = min(1.0, SIDE / max(image.shape[:2]))
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype(np.float32)


def _correlation(a: F32, b: F32) -> tuple[F32, F32]:
    """Of each block the standard deviation in ``a``, and the correlation of ``a`` and ``b``."""

    def mean(x: F32) -> F32:
        size = max(1, round(x.shape[1] / BLOCK)), max(1, round(x.shape[0] / BLOCK))
        return cv2.resize(x, size, interpolation=cv2.INTER_AREA).astype(np.float32)

    mean_a, mean_b = mean(a), mean(b)
    variance_a = np.maximum(mean(a * a) - mean_a**2, 0.0)
    variance_b = np.maximum(mean(b * b) - mean_b**2, 0.0)
    covariance = mean(a * b) - mean_a * mean_b
    return np.sqrt(variance_a), covariance / np.sqrt(np.maximum(variance_a * variance_b, 1e-6))
