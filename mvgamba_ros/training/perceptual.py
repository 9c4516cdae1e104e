"""The perceptual loss: LPIPS, as published, or structural similarity, which needs no weights."""

from __future__ import annotations

from torch import Tensor

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.metrics.image import lpips_network
from mvgamba_ros.metrics.structural_similarity import structural_similarity


def resolve_kind(kind: str) -> str:
    """``kind`` itself if "lpips" or "ssim"; for "auto" the first where its weights are on this machine, the second
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
        return 1 - structural_similarity(found, truth)
    a, b = (x.permute(0, 3, 1, 2) * 2 - 1 for x in (found, truth))
    distance: Tensor = lpips_network().to(found.device)(a, b)
    return distance.mean()
