"""Colour models: smoothed histograms over CIE L*a*b*, learned from weighted pixels in one look-up each."""

from __future__ import annotations

import cv2
import numpy as np

from mvgamba_ros.types import F32

STEP = np.array([5.0, 5.0, 5.0], np.float32)
"""Size of a histogram cell in L*, a*, b*."""
LOW = np.array([0.0, -90.0, -90.0], np.float32)
CELLS = (21, 37, 37)
FLOOR = 3e-5
"""Density of a colour never seen: about an even share of a histogram cell."""
SMOOTHING, RADIUS = 0.8, 2
"""Standard deviation of the smoothing, and how far it reaches, cells."""


def cells(lab: F32) -> np.ndarray:
    """The histogram cell of each colour (..., 3), as flat indices (...)."""
    flat = np.zeros(lab.shape[:-1], np.int32)
    for channel, count in enumerate(CELLS):  # one by one: numpy is slow over a last axis of three
        index = ((lab[..., channel] - LOW[channel]) / STEP[channel]).astype(np.int32)
        np.clip(index, 0, count - 1, out=index)
        flat *= count
        flat += index
    return flat


def histogram(flat_cells: np.ndarray, weights: F32 | None = None) -> F32:
    """Density per cell, flat, summing to 1 (all zero without a weighted pixel)."""
    counts = np.bincount(
        flat_cells.ravel(), None if weights is None else weights.ravel(), minlength=int(np.prod(CELLS))
    )
    smooth = _smooth(counts.reshape(CELLS).astype(np.float32)).ravel()
    return smooth / max(float(smooth.sum()), 1e-12)


def _smooth(counts: F32) -> F32:
    """As `scipy.ndimage.gaussian_filter` with zeros around, several times faster: two pictures, not three axes."""
    kernel = cv2.getGaussianKernel(2 * RADIUS + 1, SMOOTHING)
    lightness, a, b = counts.shape
    # planes of equal lightness below each other, zeros between them
    planes = np.pad(counts, ((0, 0), (0, RADIUS), (0, 0))).reshape(-1, b)
    smooth = cv2.sepFilter2D(planes, -1, kernel, kernel, borderType=cv2.BORDER_CONSTANT)
    across = smooth.reshape(lightness, -1)
    smooth = cv2.sepFilter2D(across, -1, np.ones(1), kernel, borderType=cv2.BORDER_CONSTANT)
    return np.ascontiguousarray(smooth.reshape(lightness, a + RADIUS, b)[:, :a], np.float32)
