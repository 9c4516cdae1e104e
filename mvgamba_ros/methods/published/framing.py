"""The part of a view that the published network is given: as much around the object as its training cameras showed."""

from __future__ import annotations

import math

import numpy as np

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.camera import crop, resample
from mvgamba_ros.geometry.se3 import inverse
from mvgamba_ros.types import F32, F64, U8, Bool, Camera

RADIUS, FOV_DEG = 1.5, 49.1
"""Distance and field of view of the authors' cameras, for an object whose longest side is 1."""
REACH = RADIUS * math.tan(math.radians(FOV_DEG / 2))
"""Half side of the input picture at the object's centre, cube units."""


def framed_camera(camera: Camera, T_cube_camera: F64, size: int) -> Camera:
    """The square camera, ``size`` pixels a side, that shows `REACH` around the cube's centre; the whole picture of a
    camera like the authors'. ``camera`` without distortion, its pose (4, 4) in the cube. Raises BAD_POSE where the
    centre is not before it."""
    x, y, z = inverse(T_cube_camera)[:3, 3]
    if not z > 0:
        raise ReconstructionError(ErrorCode.BAD_POSE, "the object is not in front of a camera; leave this view out")
    K = camera.K
    u, v = K[0, 0] * x / z + K[0, 2], K[1, 1] * y / z + K[1, 2]
    wide, high = REACH * K[0, 0] / z, REACH * K[1, 1] / z
    return crop(camera, u - wide, v - high, u + wide, v + high, size, size)


def framed_picture(image: U8, mask: Bool, camera: Camera, framed: Camera) -> F32:
    """(3, S, S) in [0, 1]: what ``framed`` shows of an image (H, W, 3), on white beside the object's ``mask`` (H,
    W)."""
    on_white = np.where(mask[..., None], image, np.uint8(255))
    inside = np.full(mask.shape, True)
    picture = resample(on_white, camera, framed).astype(np.float32)
    known = resample(inside, camera, framed)
    picture[~known] = 255.0
    return np.ascontiguousarray(picture.transpose(2, 0, 1) / 255)
