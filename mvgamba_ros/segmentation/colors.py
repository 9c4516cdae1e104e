"""Colour models: smoothed histograms over CIE L*a*b*, learned from weighted pixels in one look-up each."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from mvgamba_ros.types import F32

STEP = np.array([5.0, 5.0, 5.0], np.float32)
"""Size of a histogram cell in L*, a*, b*."""
LOW = np.array([0.0, -90.0, -90.0], np.float32)
CELLS = (21, 37, 37)
FLOOR = 3e-5
"""Density of a colour never seen: about an even share of a histogram cell."""
SMOOTHING = 0.8
"""Standard deviation of the smoothing, cells."""


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
    ).astype(np.float32)
    smooth = gaussian_filter(counts.reshape(CELLS), SMOOTHING, mode="constant", truncate=2.5).ravel()
    return smooth / max(float(smooth.sum()), 1e-12)
