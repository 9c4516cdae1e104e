"""Adapters to the CUDA kernels of Mamba's authors: mamba-ssm and causal-conv1d, imported when first called.

Argument names and layouts are those of state-spaces/mamba at commit 01887ed (``selective_scan_fn``) and
Dao-AILab/causal-conv1d at commit 17f4f2f (``causal_conv1d_fn``, 2 to 4 taps); a test holds the calls to them.
"""

from __future__ import annotations

import importlib
from importlib.util import find_spec

from torch import Tensor


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
) -> tuple[Tensor, Tensor]:
    """Output and last state by mamba-ssm, which reads each (batch, width, length) tensor with tokens contiguous."""
    try:
        interface = importlib.import_module("mamba_ssm.ops.selective_scan_interface")
    except ImportError as error:
        raise ImportError(
            f"the CUDA selective scan needs mamba-ssm ({error}): pip install mamba-ssm, or pass backend='reference'"
        ) from error
    return interface.selective_scan_fn(
        u,
        delta,
        A,
        B,
        C,
        D=D,
        z=z,
        delta_bias=delta_bias,
        delta_softplus=delta_softplus,
        return_last_state=True,
    )


def has_causal_conv1d() -> bool:
    """Whether the causal-conv1d package is installed."""
    return find_spec("causal_conv1d") is not None


def causal_conv1d(x: Tensor, weight: Tensor, bias: Tensor | None, silu: bool) -> Tensor:
    """By the causal-conv1d package, which takes (batch, width, length) and reads token-major views as they are."""
    try:
        package = importlib.import_module("causal_conv1d")
    except ImportError as error:
        raise ImportError(
            f"the CUDA convolution needs causal-conv1d ({error}): pip install causal-conv1d, "
            "or pass backend='reference'"
        ) from error
    y = package.causal_conv1d_fn(x.transpose(1, 2), weight, bias=bias, activation="silu" if silu else None)
    return y.transpose(1, 2)
