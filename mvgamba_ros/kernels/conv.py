"""Mamba's short convolution: causal, one filter per channel, optionally followed by SiLU; token-major."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def causal_conv1d_reference(x: Tensor, weight: Tensor, bias: Tensor | None = None, silu: bool = False) -> Tensor:
    """`causal_conv1d` in plain torch: any device, any floating dtype."""
    taps = weight.shape[1]
    padded = F.pad(x.transpose(1, 2), (taps - 1, 0))
    y = F.conv1d(padded, weight[:, None], bias, groups=weight.shape[0]).transpose(1, 2)
    return F.silu(y) if silu else y


def causal_conv1d(x: Tensor, weight: Tensor, bias: Tensor | None = None, silu: bool = False) -> Tensor:
    """``y[t, d] = bias[d] + sum_k weight[d, k] x[t - taps + 1 + k, d]``, with zeros before the first token.

    Args:
        x: (batch, length, width). weight: (width, taps), the layout of ``nn.Conv1d(groups=width)`` less its middle
            axis. bias: (width,).
        silu: apply ``y * sigmoid(y)``.

    Returns (batch, length, width).
    """
    return causal_conv1d_reference(x, weight, bias, silu)
