"""A Gaussian over a field on a grid, as `scipy.ndimage.gaussian_filter`'s but in single precision and by OpenCV, which
is several times faster."""

from __future__ import annotations

import cv2
import numpy as np

from mvgamba_ros.types import F32

TRUNCATE = 3.0
"""The kernel ends so many standard deviations from its middle."""


def blur(field: F32, sigma: float) -> F32:
    """``field`` (X, Y, Z) smoothed with standard deviation ``sigma``, voxels, mirrored at its borders."""
    radius = int(TRUNCATE * sigma + 0.5)
    kernel = cv2.getGaussianKernel(2 * radius + 1, sigma)
    slices = np.empty_like(field, order="C")
    for before, after in zip(field, slices, strict=True):
        cv2.sepFilter2D(before, -1, kernel, kernel, after, borderType=cv2.BORDER_REFLECT)
    # the first axis: of a picture whose rows are the slices
    rows = cv2.sepFilter2D(slices.reshape(len(field), -1), -1, np.ones(1), kernel, borderType=cv2.BORDER_REFLECT)
    return np.asarray(rows, np.float32).reshape(field.shape)
