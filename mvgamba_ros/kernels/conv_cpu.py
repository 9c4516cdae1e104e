"""The native CPU causal convolution (``native/conv.cpp``) as a differentiable torch function, float32."""

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


class _Args(ctypes.Structure):
    """``ConvArgs`` of ``native/conv.cpp``, field by field."""

    _fields_ = (
        *((name, _LONG) for name in ("batch", "length", "width", "taps", "silu", "threads")),
        ("x", _POINTER),
        *((name, _LONG) for name in ("x_batch", "x_token")),
        *((name, _POINTER) for name in ("weight", "bias", "y", "dy")),
        *((name, _LONG) for name in ("dy_batch", "dy_token")),
        *((name, _POINTER) for name in ("dx", "dweight", "dbias")),
    )


@cache
def _function(library: ctypes.CDLL, name: str) -> Any:
    return getattr(native.declare(library, {name: [ctypes.POINTER(_Args)]}), f"mvgamba_{name}")


def _rows(x: Tensor) -> Tensor:
    """(batch, length, width) with channels next to each other in memory; a copy only where they are not."""
    return x if x.stride(2) == 1 or x.shape[2] == 1 else x.contiguous()


class CausalConv1d(torch.autograd.Function):
    """`apply(x, weight, bias, silu, library)`; shapes as `causal_conv1d`, all float32 on the CPU."""

    @staticmethod
    def forward(ctx, x, weight, bias, silu, library):
        x = _rows(x)
        by_tap = weight.t().contiguous()
        bias = None if bias is None else bias.contiguous()
        y = x.new_empty(x.shape)
        args = _arguments(x, by_tap, bias, silu)
        args.y = y.data_ptr()
        _function(library, "conv_forward")(ctypes.byref(args))
        ctx.save_for_backward(x, by_tap, bias)
        ctx.silu, ctx.library = silu, library
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, dy):
        x, by_tap, bias = ctx.saved_tensors
        dy = _rows(dy)
        args = _arguments(x, by_tap, bias, ctx.silu)
        dx = x.new_empty(x.shape)
        dweight = x.new_empty(args.threads, *by_tap.shape)
        dbias = x.new_empty(args.threads, x.shape[2])
        args.dy, args.dy_batch, args.dy_token = dy.data_ptr(), dy.stride(0), dy.stride(1)
        args.dx, args.dweight, args.dbias = dx.data_ptr(), dweight.data_ptr(), dbias.data_ptr()
        _function(ctx.library, "conv_backward")(ctypes.byref(args))
        return dx, dweight.sum(0).t(), None if bias is None else dbias.sum(0), None, None


def _arguments(x: Tensor, by_tap: Tensor, bias: Tensor | None, silu: bool) -> _Args:
    batch, length, width = x.shape
    args = _Args(batch, length, width, by_tap.shape[0], int(silu), native.threads())
    args.x, args.x_batch, args.x_token = x.data_ptr(), x.stride(0), x.stride(1)
    args.weight = by_tap.data_ptr()
    if bias is not None:
        args.bias = bias.data_ptr()
    return args
