"""Structural similarity of pictures as a differentiable torch function: a score and a loss."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor

SIGMA, WINDOW = 1.5, 11
"""Standard deviation of the Gaussian window and its side, pixels: the paper's."""
C1, C2 = 0.01**2, 0.03**2
"""The paper's constants for pictures in [0, 1]."""
TILE = 160
"""Most places along a side that are worked out at once: of dense products with a band, more would be mostly zeros."""


def structural_similarity(found: Tensor, truth: Tensor) -> Tensor:
    """Mean SSIM (Wang et al., "Image Quality Assessment: From Error Visibility to Structural Similarity", 2004) over
    pictures (N, H, W, 3) in [0, 1], their channels, and the places where the whole Gaussian window fits.

    Of any floating dtype; differentiable. Raises ValueError for pictures below 11 pixels a side, or of other shapes.

    >>> picture = torch.rand(1, 16, 16, 3)
    >>> float(structural_similarity(picture, picture))
    1.0
    """
    if found.shape != truth.shape or found.ndim != 4 or min(found.shape[1:3]) < WINDOW:
        raise ValueError(
            f"pictures must be (N, H, W, 3), both alike and at least {WINDOW} pixels a side, got {tuple(found.shape)} "
            f"and {tuple(truth.shape)}"
        )
    x, y = (p.permute(0, 3, 1, 2) for p in (found, truth))
    height, width = x.shape[2] - WINDOW + 1, x.shape[3] - WINDOW + 1  # places of the window
    total = x.new_zeros(())
    for top in range(0, height, TILE):
        for left in range(0, width, TILE):
            tile = np.s_[..., top : top + TILE + WINDOW - 1, left : left + TILE + WINDOW - 1]
            total = total + _map(x[tile], y[tile]).sum()
    return total / (len(x) * x.shape[1] * height * width)


def _map(x: Tensor, y: Tensor) -> Tensor:
    """(N, C, H, W) both -> the similarity at each place of the window, (N, C, H - 10, W - 10)."""
    rows, columns = _window(x.shape[2]).to(x), _window(x.shape[3]).to(x)

    def blur(p: Tensor) -> Tensor:
        return rows @ p @ columns.T

    mx, my = blur(x), blur(y)
    vx, vy, cov = blur(x * x) - mx * mx, blur(y * y) - my * my, blur(x * y) - mx * my
    return (2 * mx * my + C1) * (2 * cov + C2) / ((mx * mx + my * my + C1) * (vx + vy + C2))


@cache
def _window(size: int) -> Tensor:
    """(size - 10, size), float64: the separable window at every place where it fits, as a matrix: one product instead
    of a convolution of single channels, which is slow on a CPU."""
    radius = WINDOW // 2
    taps = torch.exp(-0.5 * (torch.arange(-radius, radius + 1, dtype=torch.float64) / SIGMA) ** 2)
    places = size - WINDOW + 1
    matrix = torch.zeros(places, size, dtype=torch.float64)
    for i in range(places):
        matrix[i, i : i + WINDOW] = taps / taps.sum()
    return matrix
