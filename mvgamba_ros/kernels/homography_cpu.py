"""The native comparisons through a plane (``native/homography.cpp``); what they compute: `kernels.homography`."""

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
        "plane_sweep": [*[_LONG] * 4, *[_POINTER] * 6, _LONG, _FLOAT, _POINTER],
        "warp_by_homography": [_LONG, _LONG, *[_POINTER] * 3, _LONG, _LONG, *[_POINTER] * 4],
        "match_colors": [_LONG, _LONG, *[_POINTER] * 3, _FLOAT, _POINTER, _LONG, *[_POINTER] * 2],
    }
    return native.declare(native.library(instructions), arguments)


def plane_sweep(
    pictures: Sequence[F32],
    base_pixels: F64,
    vertical: F64,
    heights: F64,
    tolerance: float,
    min_compared: int,
    instructions: str | None = None,
) -> tuple[F64, F64]:
    """The kernel on the CPU; see `mvgamba_ros.kernels.homography.plane_sweep`. ``instructions``: an instruction set,
    None: the best here."""
    dense = [np.ascontiguousarray(picture, np.float32) for picture in pictures]
    at = np.array([picture.ctypes.data for picture in dense], np.uintp)
    tall, wide = np.array([picture.shape[:2] for picture in dense], np.int64).reshape(-1, 2).T.copy()
    base_pixels, vertical, heights = (np.ascontiguousarray(x, np.float64) for x in (base_pixels, vertical, heights))
    out = np.empty((len(heights), 2), np.float64)
    sizes = len(dense), base_pixels.shape[-1], len(heights), native.threads()
    arrays = (x.ctypes.data for x in (at, wide, tall, base_pixels, vertical, heights))
    _library(instructions).mvgamba_plane_sweep(*sizes, *arrays, min_compared, tolerance, out.ctypes.data)
    return out[:, 0], out[:, 1]


def warp_by_homography(
    shape: tuple[int, int], depth_row: F64, homography: F64, picture: F32, instructions: str | None = None
) -> tuple[F32, F32, Bool, F32]:
    """In the calling thread alone: pairs of views are compared side by side."""
    height, width = shape
    columns, rows = np.empty((2, height, width), np.float32)
    seen, warped = np.empty(shape, bool), np.empty((8, height, width), np.float32)
    depth_row, homography = (np.ascontiguousarray(x, np.float64) for x in (depth_row, homography))
    picture = np.ascontiguousarray(picture, np.float32)
    given = (x.ctypes.data for x in (depth_row, homography, picture))
    results = (x.ctypes.data for x in (columns, rows, seen, warped))
    sizes = picture.shape[1], picture.shape[0]
    _library(instructions).mvgamba_warp_by_homography(width, height, *given, *sizes, *results)
    return columns, rows, seen, warped


def match_colors(
    lab: F32,
    lower: F32,
    upper: F32,
    tolerance: float,
    offsets: Sequence[int],
    chance: F32,
    instructions: str | None = None,
) -> tuple[Bool, F32]:
    """In the calling thread alone, as `warp_by_homography`."""
    _, height, width = lab.shape
    match, highest = np.empty((height, width), bool), np.array(chance, np.float32, order="C")
    lab, lower, upper = (np.ascontiguousarray(x, np.float32) for x in (lab, lower, upper))
    places = np.array(offsets, np.int64)
    given = (x.ctypes.data for x in (lab, lower, upper))
    compared = tolerance, places.ctypes.data, len(places)
    results = (x.ctypes.data for x in (match, highest))
    _library(instructions).mvgamba_match_colors(width, height, *given, *compared, *results)
    return match, highest
