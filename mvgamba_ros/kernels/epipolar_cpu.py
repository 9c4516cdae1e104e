"""The native CPU sampling along rays (``native/epipolar.cpp``), float32; what it computes: `kernels.epipolar`."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

from torch import Tensor

from mvgamba_ros.kernels import native
from mvgamba_ros.kernels.ray_types import NUM_VIEW_FEATURES, EpipolarRays, SourceViews

MAX_STEPS = 64
"""As in ``native/epipolar.cpp``."""

_POINTER = ctypes.c_void_p
_LONG = ctypes.c_int64
_FLOAT = ctypes.c_float


class Rays(ctypes.Structure):
    """``Rays`` of ``native/epipolar.h``, field by field."""

    _fields_ = (
        *((name, _LONG) for name in ("views", "view", "size", "rays", "positions", "threads")),
        *((name, _POINTER) for name in ("M", "o", "origin", "directions")),
    )


@cache
def _library(instructions: str | None) -> ctypes.CDLL:
    rays = ctypes.POINTER(Rays)
    arguments = {
        "silhouette_interval": [rays, _POINTER, _FLOAT, _FLOAT, _POINTER, _POINTER, _POINTER, _POINTER],
        "photometric_cost": [rays, *[_POINTER] * 5],
        "sample_source_views": [rays, _POINTER, _POINTER, _LONG, _POINTER, _POINTER, _FLOAT, _POINTER],
    }
    return native.declare(native.library(instructions), arguments)


def as_argument(rays: EpipolarRays, size: int, positions: int) -> tuple[Rays, list[Tensor]]:
    """``rays`` as the library takes them, and what they point to, which must be kept until the call is over."""
    dense = [x.float().contiguous() for x in (rays.M, rays.o, rays.origin, rays.directions)]
    sizes = len(rays.M), rays.view, size, len(rays.directions), positions, native.threads()
    return Rays(*sizes, *(x.data_ptr() for x in dense)), dense


def _call(name: str, instructions: str | None, rays: EpipolarRays, size: int, positions: int, *given: Any) -> None:
    """The native function ``name``. Tensors go to it by address, copied first where they are not contiguous; those that
    it writes to must be."""
    argument, _kept = as_argument(rays, size, positions)
    dense = [x.contiguous() if isinstance(x, Tensor) else x for x in given]  # kept until the call is over
    arguments = [x.data_ptr() if isinstance(x, Tensor) else x for x in dense]
    getattr(_library(instructions), f"mvgamba_{name}")(argument, *arguments)


def silhouette_interval(
    rays: EpipolarRays,
    alpha: Tensor,
    floor: float,
    softness: float,
    begins: Tensor,
    ends: Tensor,
    steps: int,
    instructions: str | None = None,
) -> tuple[Tensor, Tensor]:
    """The kernel on the CPU; see `mvgamba_ros.kernels.epipolar.silhouette_interval`. ``instructions``: an instruction
    set, None: the best here."""
    if not 2 <= steps <= MAX_STEPS:
        raise ValueError(f"steps must be 2 to {MAX_STEPS}, got {steps}")
    near, far = begins.new_empty(2, len(begins))
    given = alpha, floor, softness, begins, ends, near, far
    _call("silhouette_interval", instructions, rays, alpha.shape[1], steps, *given)
    return near, far


def photometric_cost(
    rays: EpipolarRays,
    colors: Tensor,
    near: Tensor,
    far: Tensor,
    reference_colors: Tensor,
    bins: int,
    instructions: str | None = None,
) -> Tensor:
    """The kernel on the CPU; see `mvgamba_ros.kernels.epipolar.photometric_cost`. ``instructions``: an instruction set,
    None: the best here."""
    out = near.new_empty(len(near), 2, bins)
    _call("photometric_cost", instructions, rays, colors.shape[1], bins, colors, near, far, reference_colors, out)
    return out


def sample_source_views(
    rays: EpipolarRays,
    sources: SourceViews,
    reference_colors: Tensor,
    depths: Tensor,
    instructions: str | None = None,
) -> Tensor:
    """The kernel on the CPU; see `mvgamba_ros.kernels.epipolar.sample_source_views`. ``instructions``: an instruction
    set, None: the best here."""
    pictures, depth_maps = sources.pictures, sources.depth_maps
    out = depths.new_empty(len(pictures) - 1, *depths.shape, NUM_VIEW_FEATURES)
    given = pictures, depth_maps, depth_maps.shape[1], depths, reference_colors, sources.min_sigma, out
    _call("sample_source_views", instructions, rays, pictures.shape[1], depths.shape[1], *given)
    return out
