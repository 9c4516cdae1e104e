"""Scores of a picture against the true one: PSNR, SSIM, LPIPS where its weights are on this machine; IoU of masks."""

from __future__ import annotations

import warnings
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.types import F32, Bool

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

LPIPS_BACKBONE = "vgg16-397923af.pth"
"""torchvision's VGG-16, which LPIPS compares by; searched in torch's cache, never fetched."""


def mask_iou(found: Bool, truth: Bool) -> float:
    """Intersection over union of two masks (H, W), [0, 1]; 0 where both are empty."""
    return int(np.count_nonzero(found & truth)) / max(int(np.count_nonzero(found | truth)), 1)


def mean_mask_iou(found: Tensor, truth: Tensor) -> float:
    """Mean over a batch of the intersection over union of masks (N, H, W), torch bool; 0 for a pair of empty ones."""
    both, either = (found & truth).sum((1, 2)), (found | truth).sum((1, 2))
    return float((both / either.clamp(min=1)).mean())


def psnr(found: F32, truth: F32) -> float:
    """Peak signal-to-noise ratio in dB of (H, W, 3) pictures in [0, 1]; 100 where they are the same."""
    error = float(np.mean((found.astype(np.float64) - truth) ** 2))
    return float(-10 * np.log10(max(error, 1e-10)))


def ssim(found: F32, truth: F32) -> float:
    """`structural_similarity` of (H, W, 3) pictures in [0, 1], at least 11 pixels a side, in float64."""
    import torch

    from mvgamba_ros.metrics.structural_similarity import structural_similarity

    a, b = (torch.from_numpy(x.astype(np.float64))[None] for x in (found, truth))
    return float(structural_similarity(a, b))


@cache
def lpips_network() -> Module:
    """LPIPS (Zhang et al., 2018, VGG), which compares (N, 3, H, W) pictures in [-1, 1]. Raises BAD_OPTION where its
    package or its weights are missing, saying how to get them."""
    import torch

    backbone = Path(torch.hub.get_dir()) / "checkpoints" / LPIPS_BACKBONE
    if not backbone.is_file():
        raise ReconstructionError(
            ErrorCode.BAD_OPTION,
            f"LPIPS needs {backbone}, which is not there; "
            "python -c \"import lpips; lpips.LPIPS(net='vgg')\" fetches it, with the packages of the extra `lpips`",
        )
    try:
        import lpips
    except (ImportError, RuntimeError) as error:  # the second where torchvision was built for another torch
        raise ReconstructionError(
            ErrorCode.BAD_OPTION, f"LPIPS needs the packages of the extra `lpips`, which don't import here: {error}"
        ) from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it calls torchvision by names that go out of use
        network: Module = lpips.LPIPS(net="vgg", verbose=False).eval()
    return network.requires_grad_(False)


def lpips(found: F32, truth: F32) -> float:
    """LPIPS of (H, W, 3) pictures in [0, 1]: 0 where they are the same. Raises as `lpips_network`."""
    import torch

    a, b = (torch.from_numpy(x.astype(np.float32)).permute(2, 0, 1)[None] * 2 - 1 for x in (found, truth))
    with torch.no_grad():
        return float(lpips_network()(a, b))
