"""Mamba's short convolution: causal, one filter per channel, optionally followed by SiLU; token-major."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mvgamba_ros.kernels import cuda, native
from mvgamba_ros.kernels.autocast import promote
from mvgamba_ros.kernels.conv_cpu import CausalConv1d


def causal_conv1d_reference(x: Tensor, weight: Tensor, bias: Tensor | None = None, silu: bool = False) -> Tensor:
    """`causal_conv1d` in plain torch: any device, any floating dtype."""
    taps = weight.shape[1]
    padded = F.pad(x.transpose(1, 2), (taps - 1, 0))
    y = F.conv1d(padded, weight[:, None], bias, groups=weight.shape[0]).transpose(1, 2)
    return F.silu(y) if silu else y


def causal_conv1d(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, silu: bool = False, backend: str | None = None
) -> Tensor:
    """``y[t, d] = bias[d] + sum_k weight[d, k] x[t - taps + 1 + k, d]``, with zeros before the first token.

    Args:
        x: (batch, length, width); only its last axis needs to be contiguous, else it is copied.
        weight: (width, taps), the layout of ``nn.Conv1d(groups=width)`` less its middle axis. bias: (width,).
        silu: apply ``y * sigmoid(y)``.
        backend: ``"cpu"`` (native, float32), ``"cuda"`` (the causal-conv1d package) or ``"reference"``. By default
            float32 on the CPU is native, CUDA takes the package where it works, all else is the reference.

    Inside `torch.autocast` everything becomes float32 first. Returns (batch, length, width). Raises ValueError for
    shapes, dtypes or devices that do not fit.
    """
    x, weight, bias = promote(x, weight, bias)
    if x.ndim != 3 or 0 in x.shape:
        raise ValueError(f"x must be (batch, length, width), none of them 0, got {tuple(x.shape)}")
    width = x.shape[2]
    if weight.ndim != 2 or weight.shape[0] != width or weight.shape[1] == 0:
        raise ValueError(f"weight must be ({width}, taps) for x {tuple(x.shape)}, got {tuple(weight.shape)}")
    if bias is not None and bias.shape != (width,):
        raise ValueError(f"bias must be ({width},) for x {tuple(x.shape)}, got {tuple(bias.shape)}")
    for name, other in (("weight", weight), ("bias", bias)):
        if other is not None and (other.dtype != x.dtype or other.device != x.device):
            raise ValueError(f"{name} must be {x.dtype} on {x.device} like x, got {other.dtype} on {other.device}")
    if backend is None:
        native_fits = x.device.type == "cpu" and x.dtype == torch.float32
        backend = "cpu" if native_fits else "cuda" if x.is_cuda and cuda.conv_works(str(x.device)) else "reference"
    if backend == "cpu":
        if x.device.type != "cpu" or x.dtype != torch.float32:
            raise ValueError(f"the cpu backend takes float32 tensors on the CPU, not {x.dtype} on {x.device}")
        return CausalConv1d.apply(x, weight, bias, silu, native.library())
    if backend == "cuda":
        return cuda.causal_conv1d(x, weight, bias, silu)
    if backend == "reference":
        return causal_conv1d_reference(x, weight, bias, silu)
    raise ValueError(f"unknown backend {backend!r}: choose 'cpu', 'cuda' or 'reference'")
