"""The native CPU selective scan (``native/scan.h``) as a differentiable torch function, float32."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from mvgamba_ros.kernels import native

_LONG = ctypes.c_int64
_POINTER = ctypes.c_void_p


class _Tokens(ctypes.Structure):
    _fields_ = (("data", _POINTER), ("batch", _LONG), ("token", _LONG))


class _States(ctypes.Structure):
    _fields_ = (("data", _POINTER), ("batch", _LONG), ("token", _LONG), ("state", _LONG))


class _Args(ctypes.Structure):
    """``ScanArgs`` of ``native/scan.h``, field by field."""

    _fields_ = (
        *((name, _LONG) for name in ("batch", "length", "width", "states", "threads", "softplus")),
        *((name, _Tokens) for name in ("u", "delta", "z")),
        *((name, _States) for name in ("B", "C")),
        *((name, _POINTER) for name in ("A", "D", "delta_bias", "checkpoints", "y", "last_state")),
        ("dy", _Tokens),
        *((name, _POINTER) for name in ("du", "ddelta", "dz", "dA", "dD", "ddelta_bias", "dB", "dC")),
    )


@cache
def _declared(library: ctypes.CDLL) -> ctypes.CDLL:
    args, count = ctypes.POINTER(_Args), ctypes.POINTER(_LONG)
    arguments: dict[str, list[Any]] = {
        "scan_forward": [args],
        "scan_backward": [args],
        "scan_checkpoint_floats": [args, count],
        "scan_threads": [args, count],
    }
    return native.declare(library, arguments)


def _tokens(x: Tensor) -> _Tokens:
    return _Tokens(x.data_ptr(), x.stride(0), x.stride(2))


def _states(x: Tensor) -> _States:
    return _States(x.data_ptr(), x.stride(0), x.stride(2), x.stride(1))


def _token_major(x: Tensor) -> Tensor:
    """(batch, width, length) with channels next to each other in memory; a copy only where they are not."""
    return x if x.stride(1) == 1 or x.shape[1] == 1 else x.transpose(1, 2).contiguous().transpose(1, 2)


def _empty_token_major(like: Tensor) -> Tensor:
    batch, width, length = like.shape
    return like.new_empty(batch, length, width).transpose(1, 2)


class SelectiveScan(torch.autograd.Function):
    """`apply(u, delta, A, B, C, D, z, delta_bias, delta_softplus, return_last_state, library)` -> output, last state.

    Shapes as `selective_scan`, all float32 on the CPU. ``library`` is a `native.library()`. The output is a
    (batch, width, length) view of token-major memory. The last state carries no gradient; None where it is not wanted.
    """

    @staticmethod
    def forward(ctx, u, delta, A, B, C, D, z, delta_bias, delta_softplus, return_last_state, library):
        library = _declared(library)
        u, delta = _token_major(u), _token_major(delta)
        z = None if z is None else _token_major(z)
        A = A.contiguous()
        D = None if D is None else D.contiguous()
        delta_bias = None if delta_bias is None else delta_bias.contiguous()
        y = _empty_token_major(u)
        args = _arguments(u, delta, A, B, C, D, z, delta_bias, delta_softplus)
        args.y = y.data_ptr()
        last_state = None
        if return_last_state:
            last_state = u.new_empty(*u.shape[:2], A.shape[1])
            args.last_state = last_state.data_ptr()
            ctx.mark_non_differentiable(last_state)
        checkpoints = None
        if any(ctx.needs_input_grad):
            floats = _LONG()
            library.mvgamba_scan_checkpoint_floats(ctypes.byref(args), ctypes.byref(floats))
            checkpoints = u.new_empty(floats.value)
            args.checkpoints = checkpoints.data_ptr()
        library.mvgamba_scan_forward(ctypes.byref(args))

        ctx.save_for_backward(u, delta, A, B, C, D, z, delta_bias, checkpoints)
        ctx.delta_softplus, ctx.library = delta_softplus, library
        ctx.set_materialize_grads(False)
        return y, last_state

    @staticmethod
    @once_differentiable
    def backward(ctx, dy, _):
        if dy is None:
            return (None,) * 11
        u, delta, A, B, C, D, z, delta_bias, checkpoints = ctx.saved_tensors
        dy = _token_major(dy)
        batch, width, length = u.shape
        du, ddelta = _empty_token_major(u), _empty_token_major(u)
        dz = None if z is None else _empty_token_major(u)
        dA, dD, ddelta_bias = torch.empty_like(A), u.new_empty(width), u.new_empty(width)

        args = _arguments(u, delta, A, B, C, D, z, delta_bias, ctx.delta_softplus)
        args.checkpoints, args.dy = checkpoints.data_ptr(), _tokens(dy)
        # each thread adds up B's and C's gradients over its own channels
        threads = _LONG()
        ctx.library.mvgamba_scan_threads(ctypes.byref(args), ctypes.byref(threads))
        args.threads = threads.value
        dB, dC = u.new_empty(2, threads.value, batch, length, A.shape[1])
        args.du, args.ddelta, args.dz = du.data_ptr(), ddelta.data_ptr(), None if dz is None else dz.data_ptr()
        args.dA, args.dD, args.ddelta_bias = dA.data_ptr(), dD.data_ptr(), ddelta_bias.data_ptr()
        args.dB, args.dC = dB.data_ptr(), dC.data_ptr()
        ctx.library.mvgamba_scan_backward(ctypes.byref(args))

        return (
            du,
            ddelta,
            dA,
            dB.sum(0).transpose(1, 2),
            dC.sum(0).transpose(1, 2),
            None if D is None else dD,
            dz,
            None if delta_bias is None else ddelta_bias,
            None,
            None,
            None,
        )


def _arguments(u, delta, A, B, C, D, z, delta_bias, delta_softplus) -> _Args:
    batch, width, length = u.shape
    args = _Args(batch, length, width, A.shape[1], native.threads(), int(delta_softplus))
    args.u, args.delta, args.B, args.C = _tokens(u), _tokens(delta), _states(B), _states(C)
    args.A = A.data_ptr()
    if z is not None:
        args.z = _tokens(z)
    if D is not None:
        args.D = D.data_ptr()
    if delta_bias is not None:
        args.delta_bias = delta_bias.data_ptr()
    return args
