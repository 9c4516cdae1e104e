"""Intrinsics that belong to pictures of another size than the one that is there."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.types import Camera

OFF_CENTRE = 0.2
"""A principal point farther from the centre than this share of a side, without a size, makes a doubtful camera. Set by
hand: lenses have it within a twentieth; that of a picture of twice or half the size is off by half and a quarter."""


def same_shape(a: tuple[int, int], b: tuple[int, int]) -> bool:
    """Whether sizes (width, height) differ by scale alone, up to the rounding of the smaller to whole pixels."""
    small, large = sorted((a, b))
    return abs(small[0] * large[1] - small[1] * large[0]) <= max(large)


def resized(camera: Camera, width: int, height: int, what: str) -> Camera:
    """``camera`` as it is for the same picture in ``width`` x ``height``. Raises BAD_CAPTURE, with ``what``, where that
    is of another shape: a crop, or turned."""
    if (camera.width, camera.height) == (width, height):
        return camera
    if min(camera.width, camera.height) <= 0 or not same_shape((camera.width, camera.height), (width, height)):
        raise ReconstructionError(
            ErrorCode.BAD_CAPTURE,
            f"{what}: the intrinsics belong to images of {camera.width} x {camera.height}, but the image is "
            f"{width} x {height}, of another shape: cropped, or turned",
        )
    K = camera.K * np.array([[width / camera.width], [height / camera.height], [1.0]])
    return Camera(K, width, height, camera.distortion_model, camera.distortion)


def check_centre(path: Path, camera: Camera, what: str) -> None:
    """Raises BAD_CAPTURE where the principal point of a camera of no stated size is far from its picture's centre."""
    cx, cy = float(camera.K[0, 2]), float(camera.K[1, 2])
    off = max(abs(cx / camera.width - 0.5), abs(cy / camera.height - 0.5))
    if off > OFF_CENTRE:
        raise ReconstructionError(
            ErrorCode.BAD_CAPTURE,
            f"{path}: {what}: the principal point ({cx:g}, {cy:g}) is far from the centre of the image of "
            f"{camera.width} x {camera.height}, as that of images of another size is: state the size that the "
            'intrinsics belong to as "w" and "h"',
        )
