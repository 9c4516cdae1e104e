"""The selective state space scan of Mamba-1 (Gu and Dao, 2023): one call, three backends."""

from __future__ import annotations

from typing import Literal, overload

import torch
from torch import Tensor

from mvgamba_ros.kernels import cuda, native
from mvgamba_ros.kernels.autocast import promote
from mvgamba_ros.kernels.scan_cpu import SelectiveScan
from mvgamba_ros.kernels.scan_reference import selective_scan_reference

Backend = Literal["reference", "cpu", "cuda"]


@overload
def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = ...,
    z: Tensor | None = ...,
    delta_bias: Tensor | None = ...,
    delta_softplus: bool = ...,
    return_last_state: Literal[False] = ...,
    backend: Backend | None = ...,
) -> Tensor: ...
@overload
def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = ...,
    z: Tensor | None = ...,
    delta_bias: Tensor | None = ...,
    delta_softplus: bool = ...,
    *,
    return_last_state: Literal[True],
    backend: Backend | None = ...,
) -> tuple[Tensor, Tensor]: ...
def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    return_last_state: bool = False,
    backend: Backend | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    """``h_t = exp(dt_t A) h_(t-1) + dt_t u_t B_t``, ``y_t = (C_t . h_t + D u_t) * silu(z_t)``, from h = 0.

    The arguments and semantics of mamba-ssm's ``selective_scan_fn`` with real ``A`` and ``B``, ``C`` that vary by
    token in one group.

    Args:
        u, delta, z: (batch, width, length). ``dt = softplus(delta + delta_bias)`` (without the softplus if
            ``delta_softplus`` is False).
        A: (width, states). B, C: (batch, states, length). D, delta_bias: (width,).
        return_last_state: also return h after the last token, (batch, width, states), without a gradient.
        backend: ``"cpu"`` (native, float32), ``"cuda"`` (mamba-ssm) or ``"reference"`` (plain torch, slow). By default
            the device chooses, and tensors on the CPU that are not float32 go to the reference.

    Any strides are right. On the CPU, tensors whose channels lie next to each other in memory, that is
    ``x.transpose(1, 2)`` of a (batch, length, width) tensor, are read as they are and others are copied first; the
    output and the gradients are laid out that way too. Inside `torch.autocast` everything becomes float32 first, as in
    mamba-ssm: a state kept over thousands of steps needs it.

    Returns (batch, width, length), differentiable in all tensors. Raises ValueError for a shape, dtype or device that
    does not fit, ImportError where the backend is not built or not installed.
    """
    u, delta, A, B, C, D, z, delta_bias = promote(u, delta, A, B, C, D, z, delta_bias)
    _check(u, delta, A, B, C, D, z, delta_bias)
    if backend is None:
        backend = "cuda" if u.is_cuda else "cpu" if u.device.type == "cpu" and u.dtype == torch.float32 else "reference"
    if backend == "cpu":
        if u.device.type != "cpu" or u.dtype != torch.float32:
            raise ValueError(f"the cpu backend takes float32 tensors on the CPU, not {u.dtype} on {u.device}")
        y, last_state = SelectiveScan.apply(
            u, delta, A, B, C, D, z, delta_bias, delta_softplus, return_last_state, native.library()
        )
    elif backend == "reference":
        y, last_state = selective_scan_reference(u, delta, A, B, C, D, z, delta_bias, delta_softplus)
        last_state = last_state.detach()
    elif backend == "cuda":
        if not u.is_cuda:
            raise ValueError(f"the cuda backend takes tensors on a CUDA device, not on {u.device}")
        y, last_state = cuda.selective_scan(u, delta, A, B, C, D, z, delta_bias, delta_softplus)
    else:
        raise ValueError(f"unknown backend {backend!r}: choose 'cpu', 'cuda' or 'reference'")
    return (y, last_state) if return_last_state else y


def _check(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    delta_bias: Tensor | None,
) -> None:
    if u.ndim != 3 or 0 in u.shape:
        raise ValueError(f"u must be (batch, width, length), none of them 0, got {tuple(u.shape)}")
    if A.ndim != 2 or 0 in A.shape:
        raise ValueError(f"A must be (width, states), got {tuple(A.shape)}")
    batch, width, length = u.shape
    states = A.shape[1]
    expected = {
        "delta": (delta, (batch, width, length)),
        "A": (A, (width, states)),
        "B": (B, (batch, states, length)),
        "C": (C, (batch, states, length)),
        "D": (D, (width,)),
        "z": (z, (batch, width, length)),
        "delta_bias": (delta_bias, (width,)),
    }
    for name, (x, shape) in expected.items():
        if x is None:
            continue
        if x.shape != shape:
            raise ValueError(
                f"{name} must be {shape} for u {tuple(u.shape)} and A {tuple(A.shape)}, got {tuple(x.shape)}"
            )
        if x.dtype != u.dtype or x.device != u.device:
            raise ValueError(f"{name} must be {u.dtype} on {u.device} like u, got {x.dtype} on {x.device}")
    if not u.is_floating_point():
        raise ValueError(f"u must be a real floating-point tensor, got {u.dtype}")
