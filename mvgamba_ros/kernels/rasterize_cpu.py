"""The native CPU rasteriser (``native/rasterize.cpp``) as a differentiable torch function, float32."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from mvgamba_ros.kernels import native

_POINTER = ctypes.c_void_p
_LONG = ctypes.c_int64
_INT = ctypes.c_int


@cache
def _library(instructions: str | None) -> ctypes.CDLL:
    arguments: dict[str, list[Any]] = {
        "rasterize_forward": [_POINTER] * 8 + [_LONG] * 3 + [_INT] * 3 + [_POINTER] * 5,
        "rasterize_backward": [_POINTER] * 11 + [_INT] + [_POINTER] * 6,
    }
    library = native.declare(native.library(instructions), arguments)
    library.mvgamba_rasterize_free.argtypes = [_POINTER]
    library.mvgamba_rasterize_free.restype = None
    return library


class _Kept:
    """What the forward left for the backward, in native memory, freed with this object."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library
        self.handle = _POINTER()

    def __del__(self) -> None:
        if self.handle:
            self.library.mvgamba_rasterize_free(self.handle)


def rasterize_cpu(
    means: Tensor,
    quats: Tensor,
    scales: Tensor,
    opacities: Tensor,
    colors: Tensor,
    T_camera_world: Tensor,
    K: Tensor,
    width: int,
    height: int,
    background: Tensor,
    instructions: str | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Colour (B, V, H, W, 3), expected depth, median depth and alpha (B, V, H, W); inputs as ``rasterize_reference``.

    ``instructions`` names the instruction set of the library to use; None is the machine's best. Raises ImportError
    when the native kernels are not built and MemoryError when they run out of memory.
    """
    return _Rasterize.apply(
        means, quats, scales, opacities, colors, T_camera_world, K, background, width, height, _library(instructions)
    )


class _Rasterize(torch.autograd.Function):
    @staticmethod
    def forward(ctx, means, quats, scales, opacities, colors, T_camera_world, K, background, width, height, library):
        given = [means, quats, scales, opacities, colors, T_camera_world, K, background]
        inputs = [x.contiguous() for x in given]
        B, V = T_camera_world.shape[:2]
        color = means.new_empty(B, V, height, width, 3)
        depth, median, alpha = means.new_empty(3, B, V, height, width).unbind(0)
        kept = _Kept(library) if any(ctx.needs_input_grad) else None
        library.mvgamba_rasterize_forward(
            *(x.data_ptr() for x in inputs),
            *(B, V, means.shape[1]),
            *(width, height, native.threads()),
            *(x.data_ptr() for x in (color, depth, median, alpha)),
            ctypes.byref(kept.handle) if kept else None,
        )
        ctx.kept = kept
        ctx.save_for_backward(*inputs[:5], color, depth, alpha)
        ctx.mark_non_differentiable(median)
        ctx.set_materialize_grads(False)
        return color, depth, median, alpha

    @staticmethod
    @once_differentiable
    def backward(ctx, d_color, d_depth, _d_median, d_alpha):
        *inputs, color, depth, alpha = ctx.saved_tensors
        d_color = torch.zeros_like(color) if d_color is None else d_color.contiguous()
        d_depth, d_alpha = (None if x is None else x.contiguous() for x in (d_depth, d_alpha))
        d_inputs = [torch.empty_like(x) for x in inputs]
        d_T = color.new_empty(*color.shape[:2], 4, 4) if ctx.needs_input_grad[5] else None
        ctx.kept.library.mvgamba_rasterize_backward(
            ctx.kept.handle,
            *(x.data_ptr() for x in (*inputs[:4], color, depth, alpha, d_color)),
            *(None if x is None else x.data_ptr() for x in (d_depth, d_alpha)),
            native.threads(),
            *(x.data_ptr() for x in d_inputs),
            None if d_T is None else d_T.data_ptr(),
        )
        d_background = None
        if ctx.needs_input_grad[7]:
            d_background = ((1 - alpha)[..., None] * d_color).sum((-3, -2))
        return *d_inputs, d_T, None, d_background, None, None, None
