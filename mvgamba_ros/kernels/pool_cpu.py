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
    """`apply(view_features, position_features, instructions=None)`; shapes as `pool_views`, on the CPU,
    ``position_features`` float32.
    ``instructions`` as in `native.library`."""

    @staticmethod
    def forward(ctx, view_features, position_features, instructions=None):
        view_features, position_features = view_features.contiguous(), position_features.contiguous()
        views, points, channels = view_features.shape
        others = position_features.shape[1]
        out = view_features.new_empty(points, 2 * channels + others)
        sizes = views, points, channels, others, native.threads(), int(view_features.dtype == torch.bfloat16)
        _function(instructions)(*sizes, *(x.data_ptr() for x in (view_features, position_features, out)))
        ctx.save_for_backward(view_features, out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        view_features, out = ctx.saved_tensors
        channels = view_features.shape[2]
        of_mean, of_maximum, of_positions = gradient.split([channels, channels, gradient.shape[1] - 2 * channels], 1)
        is_maximum = view_features == out[:, channels : 2 * channels]
        of_views = is_maximum * (of_maximum / is_maximum.sum(0)) + of_mean / len(view_features)
        return of_views, of_positions.float(), None


@cache
def _function(instructions: str | None) -> Any:
    arguments = {"pool_views": [_LONG] * 6 + [_POINTER] * 3}
    return native.declare(native.library(instructions), arguments).mvgamba_pool_views
