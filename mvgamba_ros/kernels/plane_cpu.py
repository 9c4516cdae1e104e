"""The native comparisons through a plane (``native/plane.cpp``); what they compute: `kernels.plane`."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache

import numpy as np

from mvgamba_ros.kernels import native
from mvgamba_ros.types import F32, F64, Bool

_LONG, _POINTER, _FLOAT = ctypes.c_int64, ctypes.c_void_p, ctypes.c_float


@cache
def _library(instructions: str | None) -> ctypes.CDLL:
    arguments = {
        "plane_agreement": [*[_LONG] * 4, *[_POINTER] * 6, _LONG, _FLOAT, _POINTER],
        "through_plane": [_LONG, _LONG, *[_POINTER] * 3, _LONG, _LONG, *[_POINTER] * 4],
        "matches": [_LONG, _LONG, *[_POINTER] * 3, _FLOAT, _POINTER, _LONG, *[_POINTER] * 2],
    }
    return native.declare(native.library(instructions), arguments)


def plane_agreement(
    pictures: Sequence[F32],
    flat: F64,
    up: F64,
    heights: F64,
    reach: float,
    least: int,
    instructions: str | None = None,
) -> tuple[F64, F64]:
    dense = [np.ascontiguousarray(picture, np.float32) for picture in pictures]
    at = np.array([picture.ctypes.data for picture in dense], np.uintp)
    tall, wide = np.array([picture.shape[:2] for picture in dense], np.int64).reshape(-1, 2).T.copy()
    flat, up, heights = (np.ascontiguousarray(x, np.float64) for x in (flat, up, heights))
    out = np.empty((len(heights), 2), np.float64)
    sizes = len(dense), flat.shape[-1], len(heights), native.threads()
    arrays = (x.ctypes.data for x in (at, wide, tall, flat, up, heights))
    _library(instructions).mvgamba_plane_agreement(*sizes, *arrays, least, reach, out.ctypes.data)
    return out[:, 0], out[:, 1]


def through_plane(
    shape: tuple[int, int], ahead: F64, to_other: F64, picture: F32, instructions: str | None = None
) -> tuple[F32, F32, Bool, F32]:
    """In the calling thread alone: pairs of views are compared side by side."""
    height, width = shape
    columns, rows = np.empty((2, height, width), np.float32)
    seen, shown = np.empty(shape, bool), np.empty((8, height, width), np.float32)
    ahead, to_other = (np.ascontiguousarray(x, np.float64) for x in (ahead, to_other))
    picture = np.ascontiguousarray(picture, np.float32)
    given = (x.ctypes.data for x in (ahead, to_other, picture))
    answers = (x.ctypes.data for x in (columns, rows, seen, shown))
    _library(instructions).mvgamba_through_plane(width, height, *given, picture.shape[1], picture.shape[0], *answers)
    return columns, rows, seen, shown


def matches(
    lab: F32,
    lower: F32,
    upper: F32,
    tolerance: float,
    steps: Sequence[int],
    chance: F32,
    instructions: str | None = None,
) -> tuple[Bool, F32]:
    """In the calling thread alone, as `through_plane`."""
    _, height, width = lab.shape
    match, most = np.empty((height, width), bool), np.array(chance, np.float32)
    lab, lower, upper = (np.ascontiguousarray(x, np.float32) for x in (lab, lower, upper))
    places = np.array(steps, np.int64)
    given = (x.ctypes.data for x in (lab, lower, upper))
    answers = (x.ctypes.data for x in (match, most))
    _library(instructions).mvgamba_matches(width, height, *given, tolerance, places.ctypes.data, len(places), *answers)
    return match, most
