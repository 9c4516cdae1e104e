"""Root-mean-square normalisation (Zhang and Sennrich, 2019)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

FUSED = hasattr(F, "rms_norm")
"""Whether torch has it as one operation (from 2.4 on)."""


def rms_norm(x: Tensor, weight: Tensor, eps: float = 1e-5) -> Tensor:
    """``x / sqrt(mean(x^2) + eps) * weight`` over the last axis; x (..., width), weight (width,)."""
    if FUSED:
        return F.rms_norm(x, weight.shape, weight, eps)
    return x * torch.rsqrt(x.square().mean(dim=-1, keepdim=True) + eps) * weight
