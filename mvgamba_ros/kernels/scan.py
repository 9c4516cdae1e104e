"""The selective state space scan of Mamba-1 (Gu and Dao, 2023): one call, several backends."""

from __future__ import annotations

from typing import Literal, get_args, overload

import torch
from torch import Tensor

from mvgamba_ros.kernels import native
from mvgamba_ros.kernels.autocast import promote
from mvgamba_ros.kernels.scan_chunked import selective_scan_chunked
from mvgamba_ros.kernels.scan_cpu import SelectiveScan
from mvgamba_ros.kernels.scan_cuda import scan_triton, selective_scan_cuda
from mvgamba_ros.kernels.scan_reference import selective_scan_reference

Backend = Literal["reference", "cpu", "cuda", "triton", "chunked"]


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
        backend: ``"cpu"`` (native, float32), ``"cuda"`` (what works there, `scan_cuda.working_scan`: mamba-ssm, our
            Triton kernels, or chunks in torch), ``"triton"`` (float32 arithmetic, on CUDA), ``"chunked"`` (torch, any
            device) or ``"reference"`` (plain torch, slow). By default the device chooses: ``"cuda"``, or on another
            ``"chunked"``; tensors on the CPU that are not float32 go to the reference.

    Any strides are right. On the CPU, tensors whose channels lie next to each other in memory, that is
    ``x.transpose(1, 2)`` of a (batch, length, width) tensor, are read as they are and others are copied first; the
    output and the gradients are laid out that way too. Inside `torch.autocast` everything becomes float32 first, as in
    mamba-ssm: a state kept over thousands of steps needs it.

    Returns (batch, width, length), differentiable in all tensors. Raises ValueError for a shape, dtype or device that
    does not fit, ImportError where the backend is not built or not installed, RuntimeError where none works on a CUDA
    device.
    """
    u, delta, A, B, C, D, z, delta_bias = promote(u, delta, A, B, C, D, z, delta_bias)
    _check(u, delta, A, B, C, D, z, delta_bias)
    if backend is None:
        backend = _suited(u)
    given = u, delta, A, B, C, D, z, delta_bias, delta_softplus
    if backend == "cpu":
        if u.device.type != "cpu" or u.dtype != torch.float32:
            raise ValueError(f"the cpu backend takes float32 tensors on the CPU, not {u.dtype} on {u.device}")
        y, last_state = SelectiveScan.apply(*given, return_last_state, native.library())
    elif backend in ("reference", "chunked"):
        y, last_state = (selective_scan_reference if backend == "reference" else selective_scan_chunked)(*given)
        last_state = last_state.detach()
    elif backend in ("cuda", "triton"):
        if not u.is_cuda:
            raise ValueError(f"the {backend} backend takes tensors on a CUDA device, not on {u.device}")
        y, last_state = (selective_scan_cuda if backend == "cuda" else scan_triton)(*given)
    else:
        raise ValueError(f"unknown backend {backend!r}: choose {', '.join(map(repr, sorted(get_args(Backend))))}")
    return (y, last_state) if return_last_state else y


def _suited(u: Tensor) -> Backend:
    kind = u.device.type
    if kind == "cpu":
        return "cpu" if u.dtype == torch.float32 else "reference"
    return "cuda" if kind == "cuda" else "chunked"


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
