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
    index = ((lab - LOW) / STEP).astype(np.int32)
    index = np.clip(index, 0, np.array(CELLS, np.int32) - 1)
    return (index[..., 0] * CELLS[1] + index[..., 1]) * CELLS[2] + index[..., 2]


def histogram(flat_cells: np.ndarray, weights: F32 | None = None) -> F32:
    """Density per cell, flat, summing to 1 (all zero without a weighted pixel)."""
    counts = np.bincount(
        flat_cells.ravel(), None if weights is None else weights.ravel(), minlength=int(np.prod(CELLS))
    ).astype(np.float32)
    smooth = gaussian_filter(counts.reshape(CELLS), SMOOTHING, mode="constant", truncate=2.5).ravel()
    return smooth / max(float(smooth.sum()), 1e-12)
