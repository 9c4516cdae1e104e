"""A Gaussian filter over a grid, as `scipy.ndimage.gaussian_filter` but by OpenCV, which is several times faster."""

from __future__ import annotations

import cv2
import numpy as np

from mvgamba_ros.types import F32


def gaussian_filter(values: F32, sigma: float, truncate: float = 3.0, border: int = cv2.BORDER_REFLECT) -> F32:
    """``values`` (X, Y, Z) float32 filtered by a Gaussian of ``sigma`` voxels that ends ``truncate`` sigmas from its
    middle.

    ``border``: what lies beyond the grid, in OpenCV's terms: mirrored, or zeros with ``cv2.BORDER_CONSTANT``.
    """
    radius = int(truncate * sigma + 0.5)
    kernel = cv2.getGaussianKernel(2 * radius + 1, sigma)
    slices = np.empty_like(values, order="C")
    for before, after in zip(values, slices, strict=True):
        cv2.sepFilter2D(before, -1, kernel, kernel, after, borderType=border)
    # the first axis: of a picture whose rows are the slices
    rows = cv2.sepFilter2D(slices.reshape(len(values), -1), -1, np.ones(1), kernel, borderType=border)
    return np.asarray(rows, np.float32).reshape(values.shape)
