"""How unlike pictures look, as a loss: LPIPS, as published, or structural similarity, which needs no weights."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.metrics.image import lpips_network


def settle(kind: str) -> str:
    """The ``kind`` asked for, "lpips" or "ssim"; of "auto" the first where its weights are on this machine, the second
    where not. Raises BAD_OPTION for any other, and for "lpips" without its weights."""
    if kind not in ("auto", "lpips", "ssim"):
        raise ReconstructionError(ErrorCode.BAD_OPTION, f"perceptual: '{kind}'; choose auto, lpips or ssim")
    if kind == "lpips":
        lpips_network()
    if kind != "auto":
        return kind
    try:
        lpips_network()
    except ReconstructionError:
        return "ssim"
    return "lpips"


def perceptual_loss(found: Tensor, truth: Tensor, kind: str) -> Tensor:
    """Mean over pictures (N, H, W, 3) in [0, 1] of LPIPS or, several times cheaper, of 1 - SSIM: ``kind`` is "lpips" or
    "ssim"."""
    if kind == "ssim":
        return 1 - ssim(found, truth)
    a, b = (x.permute(0, 3, 1, 2) * 2 - 1 for x in (found, truth))
    distance: Tensor = lpips_network().to(found.device)(a, b)
    return distance.mean()


def ssim(found: Tensor, truth: Tensor) -> Tensor:
    """Mean structural similarity (Wang et al., 2004; Gaussian window of 11 pixels, sigma 1.5) of (N, H, W, 3) pictures
    in [0, 1], at least 11 pixels a side, over the places where the whole window fits."""
    x, y = (p.permute(0, 3, 1, 2) for p in (found, truth))
    rows, columns = _window(x.shape[2]).to(x), _window(x.shape[3]).to(x)

    def blur(p: Tensor) -> Tensor:
        return rows @ p @ columns.T

    mx, my = blur(x), blur(y)
    vx, vy, cov = blur(x * x) - mx * mx, blur(y * y) - my * my, blur(x * y) - mx * my
    c1, c2 = 0.01**2, 0.03**2
    similar = (2 * mx * my + c1) * (2 * cov + c2) / ((mx * mx + my * my + c1) * (vx + vy + c2))
    return similar.mean()


@cache
def _window(size: int) -> Tensor:
    """(size - 10, size): the separable window at every place where it fits, as a matrix: one product instead of a
    convolution of single channels, which is slow on a CPU."""
    taps = torch.exp(-0.5 * (torch.arange(-5.0, 6.0) / 1.5) ** 2)
    matrix = torch.zeros(size - 10, size)
    for i in range(size - 10):
        matrix[i, i : i + 11] = taps / taps.sum()
    return matrix
