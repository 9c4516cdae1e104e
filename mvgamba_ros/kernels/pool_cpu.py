"""The native pooling over views (``native/pool.cpp``) as a differentiable torch function, float32 and bfloat16."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from mvgamba_ros.kernels import native

_LONG, _POINTER = ctypes.c_int64, ctypes.c_void_p


class PoolViews(torch.autograd.Function):
    """`apply(told, beside, instructions=None)`; shapes as `pool_views`, on the CPU, ``beside`` float32.
    ``instructions`` as in `native.library`."""

    @staticmethod
    def forward(ctx, told, beside, instructions=None):
        told, beside = told.contiguous(), beside.contiguous()
        views, points, channels = told.shape
        others = beside.shape[1]
        out = told.new_empty(points, 2 * channels + others)
        sizes = views, points, channels, others, native.threads(), int(told.dtype == torch.bfloat16)
        _function(instructions)(*sizes, told.data_ptr(), beside.data_ptr(), out.data_ptr())
        ctx.save_for_backward(told, out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        told, out = ctx.saved_tensors
        channels = told.shape[2]
        of_mean, of_most, of_beside = gradient.split([channels, channels, gradient.shape[1] - 2 * channels], 1)
        most = told == out[:, channels : 2 * channels]
        return most * (of_most / most.sum(0)) + of_mean / len(told), of_beside.float(), None


@cache
def _function(instructions: str | None) -> Any:
    arguments = {"pool_views": [_LONG] * 6 + [_POINTER] * 3}
    return native.declare(native.library(instructions), arguments).mvgamba_pool_views
