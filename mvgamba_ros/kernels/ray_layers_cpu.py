"""The native small networks along rays (``native/ray_layers.cpp``), float32, forward only; what they compute:
`kernels.ray_layers`."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from torch import Tensor

from mvgamba_ros.kernels import native
from mvgamba_ros.kernels.sightlines_cpu import Rays, as_argument

if TYPE_CHECKING:
    from mvgamba_ros.kernels.ray_types import Layer, Sightlines

MOST_TAPS = 9
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
        weights = [weight.float().view(*weight.shape[:2], -1).permute(1, 2, 0).contiguous() for weight, _ in layers]
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
    asked = [ctypes.POINTER(Rays), _POINTER, _POINTER, _LONG, _LONG, _POINTER, _POINTER, _FLOAT]
    arguments = {
        "along_rays": [*layers, _LONG, _LONG, _LONG, _POINTER, _POINTER, _POINTER],
        "aggregate_views": [*asked, *layers, _LONG, _POINTER, *layers, _POINTER, _POINTER],
    }
    return native.declare(native.library(instructions), arguments)


def along_rays(x: Tensor, of_rays: Tensor, layers: Sequence[Layer], instructions: str | None = None) -> Tensor:
    x, of_rays = (given.float().contiguous() for given in (x, of_rays))
    rays, _, positions = x.shape
    out = x.new_empty(rays, len(layers[-1][0]), positions)
    packed = _Layers(layers)
    _library(instructions).mvgamba_along_rays(
        *packed.argument, rays, positions, native.threads(), x.data_ptr(), of_rays.data_ptr(), out.data_ptr()
    )
    return out


def aggregate_views(
    rays: Sightlines,
    pictures: Tensor,
    found: Tensor,
    depths: Tensor,
    own: Tensor,
    least_doubt: float,
    of_views: Sequence[Layer],
    beside: Tensor,
    of_rays: Tensor,
    layers: Sequence[Layer],
    instructions: str | None = None,
) -> Tensor:
    given = (pictures, found, depths, own, beside, of_rays)
    pictures, found, depths, own, beside, of_rays = (x.float().contiguous() for x in given)
    R, H, others, N = beside.shape
    out = beside.new_empty(R, H, len(layers[-1][0]), N)
    asked, _kept = as_argument(rays, pictures.shape[1], N)
    packed_of_views, packed = _Layers(of_views), _Layers(layers)
    _library(instructions).mvgamba_aggregate_views(
        *(asked, pictures.data_ptr(), found.data_ptr(), found.shape[1], H, depths.data_ptr(), own.data_ptr()),
        *(least_doubt, *packed_of_views.argument, others, beside.data_ptr()),
        *(*packed.argument, of_rays.data_ptr(), out.data_ptr()),
    )
    return out
