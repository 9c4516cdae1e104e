"""Colour models: smoothed histograms over CIE L*a*b*, learned from weighted pixels."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from mvgamba_ros.config.cues_config import ColorConfig
from mvgamba_ros.geometry.gaussian_filter import gaussian_filter
from mvgamba_ros.types import F32, U8


def to_lab(rgb: U8) -> F32:
    """CIE L*a*b* (H, W, 3) of an image (H, W, 3): L* in [0, 100], white point D65."""
    lab: Any = cv2.cvtColor(rgb.astype(np.float32) / 255.0, cv2.COLOR_RGB2LAB)
    return lab


def shape(config: ColorConfig) -> tuple[int, int, int]:
    """Cells of a histogram along L*, a*, b*."""
    chroma = int(2.0 * config.max_chroma / config.cell) + 1
    return int(100.0 / config.cell) + 1, chroma, chroma


def cells(lab: F32, config: ColorConfig) -> np.ndarray:
    """The histogram cell of each colour (..., 3), as flat indices (...)."""
    flat = np.zeros(lab.shape[:-1], np.int32)
    low, step = (np.float32(0.0), *2 * [np.float32(-config.max_chroma)]), np.float32(config.cell)
    for channel, count in enumerate(shape(config)):  # one by one: numpy is slow over a last axis of three
        index = ((lab[..., channel] - low[channel]) / step).astype(np.int32)
        np.clip(index, 0, count - 1, out=index)
        flat *= count
        flat += index
    return flat


def histogram(flat_cells: np.ndarray, weights: F32 | None, config: ColorConfig) -> F32:
    """Density per cell, flat, summing to 1 (all zero without a weighted pixel)."""
    size = shape(config)
    counts = np.bincount(flat_cells.ravel(), None if weights is None else weights.ravel(), minlength=int(np.prod(size)))
    density, truncate = counts.reshape(size).astype(np.float32), config.blur_radius / config.blur
    smooth = gaussian_filter(density, config.blur, truncate, cv2.BORDER_CONSTANT).ravel()
    return smooth / max(float(smooth.sum()), 1e-12)
