"""Adapters to the CUDA kernels of Mamba's authors: mamba-ssm and causal-conv1d, imported when first called.

Argument names and layouts are those of state-spaces/mamba at commit 01887ed (``selective_scan_fn``) and
Dao-AILab/causal-conv1d at commit 17f4f2f (``causal_conv1d_fn``, 2 to 4 taps); a test holds the calls to them.

Both are compiled against one version of torch, CUDA and the C++ ABI, and one that is installed may still not import
(undefined symbol) or not run (no kernel image for this GPU). So whether one works is found by calling it on a few
numbers and comparing with the reference: `scan_cuda.working_scan`, `conv_works`.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor

from mvgamba_ros.kernels.probing import fault_of, first_line


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
    except (ImportError, OSError) as error:
        raise ImportError(
            f"mamba-ssm cannot be imported ({first_line(error)}): pip install mamba-ssm, or pass backend='triton' or "
            "'chunked', which need no package"
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


@cache
def conv_works(device: str) -> bool:
    """Whether `causal_conv1d` works on ``device``. Tried once a process; warns where it is installed and does not."""

    def tried() -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        x, weight = torch.arange(48.0).view(1, 6, 8).sin(), torch.arange(16.0).view(8, 2).cos()
        before = torch.cat([torch.zeros(1, 1, 8), x[:, :-1]], 1)
        got = causal_conv1d(x.to(device), weight.to(device), None, False)
        return (got,), (before * weight[:, 0] + x * weight[:, 1],)

    if "causal_conv1d" not in sys.modules and find_spec("causal_conv1d") is None:
        return False
    fault = fault_of(tried)
    if fault:
        warnings.warn(f"causal-conv1d does not work on {device}, plain torch is used ({fault})", stacklevel=2)
    return not fault


def causal_conv1d(x: Tensor, weight: Tensor, bias: Tensor | None, silu: bool) -> Tensor:
    """By the causal-conv1d package, which takes (batch, width, length) and reads token-major views as they are."""
    try:
        package = importlib.import_module("causal_conv1d")
    except (ImportError, OSError) as error:
        raise ImportError(
            f"the CUDA convolution needs causal-conv1d ({first_line(error)}): pip install causal-conv1d, "
            "or pass backend='reference'"
        ) from error
    y = package.causal_conv1d_fn(x.transpose(1, 2), weight, bias=bias, activation="silu" if silu else None)
    return y.transpose(1, 2)
