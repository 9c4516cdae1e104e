"""The native small networks along rays (``native/ray_layers.cpp``), float32, forward only; what they compute:
`kernels.ray_layers`."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache
from math import prod

from torch import Tensor

from mvgamba_ros.kernels import native
from mvgamba_ros.kernels.epipolar_cpu import Rays, as_argument
from mvgamba_ros.kernels.ray_types import EpipolarRays, Layer, RayMLP, SourceViews

MAX_TAPS = 9
"""As far as ``native/ray_layers.cpp`` has zeros beyond the ends of a ray, of the narrowest vectors."""

_LONG, _POINTER, _FLOAT = ctypes.c_int64, ctypes.c_void_p, ctypes.c_float


class _Layer(ctypes.Structure):
    """``Layer`` of ``native/ray_layers.cpp``, field by field."""

    _fields_ = (
        *((name, _LONG) for name in ("inputs", "outputs", "taps")),
        *((name, _POINTER) for name in ("weight", "bias")),
    )


class _Layers:
    """Layers as the library takes them, ``argument``, and the memory that they point to."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        weights = [
            weight.float().reshape(*weight.shape[:2], prod(weight.shape[2:])).permute(1, 2, 0).contiguous()
            for weight, _ in layers
        ]
        biases = [bias.float().contiguous() for _, bias in layers]
        self.kept = weights, biases
        described = [
            _Layer(inputs, outputs, taps, weight.data_ptr(), bias.data_ptr())
            for weight, bias in zip(weights, biases, strict=True)
            for inputs, taps, outputs in [weight.shape]
        ]
        self.argument = (_Layer * len(layers))(*described), len(layers)


@cache
def _library(instructions: str | None) -> ctypes.CDLL:
    layers = [ctypes.POINTER(_Layer), _LONG]
    samples = [ctypes.POINTER(Rays), _POINTER, _POINTER, _LONG, _LONG, _POINTER, _POINTER, _FLOAT]
    arguments = {
        "along_rays": [*layers, _LONG, _LONG, _LONG, _POINTER, _POINTER, _POINTER],
        "aggregate_views": [*samples, *layers, _LONG, _POINTER, *layers, _POINTER, _POINTER],
    }
    return native.declare(native.library(instructions), arguments)


def along_rays(position_features: Tensor, ray_features: Tensor, mlp: RayMLP, instructions: str | None = None) -> Tensor:
    """The kernel on the CPU; see `mvgamba_ros.kernels.ray_layers.along_rays`. ``instructions``: an instruction set,
    None: the best here."""
    x, ray_features = (given.float().contiguous() for given in (position_features, ray_features))
    rays, _, positions = x.shape
    out = x.new_empty(rays, len(mlp.along[-1][0]), positions)
    packed = _Layers(mlp.along)
    _library(instructions).mvgamba_along_rays(
        *packed.argument, rays, positions, native.threads(), x.data_ptr(), ray_features.data_ptr(), out.data_ptr()
    )
    return out


def aggregate_views(
    rays: EpipolarRays,
    sources: SourceViews,
    reference_colors: Tensor,
    depths: Tensor,
    mlp: RayMLP,
    position_features: Tensor,
    ray_features: Tensor,
    instructions: str | None = None,
) -> Tensor:
    """The kernel on the CPU; see `mvgamba_ros.kernels.ray_layers.aggregate_views`. ``instructions``: an instruction
    set, None: the best here."""
    given = sources.pictures, sources.depth_maps, depths, reference_colors, position_features, ray_features
    dense = [x.float().contiguous() for x in given]  # kept until the call is over
    R, H, others, N = position_features.shape
    out = dense[0].new_empty(R, H, len(mlp.along[-1][0]), N)
    argument, _kept = as_argument(rays, sources.pictures.shape[1], N)
    view_layers, along = _Layers(mlp.view_layers), _Layers(mlp.along)
    at_pictures, at_depth_maps, at_depths, at_colors, at_positions, at_rays = (x.data_ptr() for x in dense)
    _library(instructions).mvgamba_aggregate_views(
        *(
            argument,
            at_pictures,
            at_depth_maps,
            sources.depth_maps.shape[1],
            H,
            at_depths,
            at_colors,
            sources.min_sigma,
        ),
        *(*view_layers.argument, others, at_positions),
        *(*along.argument, at_rays, out.data_ptr()),
    )
    return out
