"""The intrinsics of a transforms.json: the names and numbers of cameras, read and written.

Format: https://docs.nerf.studio/quickstart/data_conventions.html, COLMAP's names of camera models.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mvgamba_ros.errors import ErrorCode, ReconstructionError, short
from mvgamba_ros.geometry.camera import check_camera
from mvgamba_ros.types import Camera, DistortionModel

RATIONAL, THIN_PRISM = ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6"), ("s1", "s2", "s3", "s4")

COEFFICIENTS: dict[str, tuple[DistortionModel, tuple[str, ...]]] = {
    "PINHOLE": ("none", ()),
    "SIMPLE_PINHOLE": ("none", ()),
    "SIMPLE_RADIAL": ("plumb_bob", ("k1", "", "", "", "")),
    "RADIAL": ("plumb_bob", ("k1", "k2", "", "", "")),
    "OPENCV": ("plumb_bob", ("k1", "k2", "p1", "p2", "k3")),
    "FULL_OPENCV": ("rational_polynomial", RATIONAL),
    "FULL_OPENCV_THIN_PRISM": ("rational_polynomial", (*RATIONAL, *THIN_PRISM)),
    "FULL_OPENCV_TILTED": ("rational_polynomial", (*RATIONAL, *THIN_PRISM, "tau_x", "tau_y")),
    "OPENCV_FISHEYE": ("equidistant", ("k1", "k2", "k3", "k4")),
}
"""camera_model: our distortion model and which keys hold its coefficients, in order ("" is always 0). The last but one
and two are OpenCV's models of 12 and 14 coefficients, which have no common name: a reader that does not know the name
refuses the file instead of leaving coefficients out."""

MODEL_NAMES: dict[tuple[DistortionModel, int], str] = {
    ("none", 0): "PINHOLE",
    ("plumb_bob", 0): "PINHOLE",
    ("plumb_bob", 4): "OPENCV",
    ("plumb_bob", 5): "OPENCV",
    ("rational_polynomial", 0): "PINHOLE",
    ("rational_polynomial", 8): "FULL_OPENCV",
    ("rational_polynomial", 12): "FULL_OPENCV_THIN_PRISM",
    ("rational_polynomial", 14): "FULL_OPENCV_TILTED",
    ("equidistant", 0): "OPENCV_FISHEYE",
    ("equidistant", 4): "OPENCV_FISHEYE",
}
"""camera_model by distortion model and number of coefficients."""


def bad_capture(path: Path, message: str) -> ReconstructionError:
    """BAD_CAPTURE of a file."""
    return ReconstructionError(ErrorCode.BAD_CAPTURE, f"{path}: {message}")


def finite_number(path: Path, value: Any, what: str) -> float:
    """``value`` as a finite float. Raises BAD_CAPTURE where it is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not -1e300 < value < 1e300:
        raise bad_capture(path, f'"{what}" is {short(value)}, not a number')
    return float(value)


def read_camera(path: Path, values: Mapping[str, Any], width: int, height: int, what: str) -> Camera:
    """Intrinsics from the frame, else the whole file; ``width``, ``height`` are the image's own."""

    def number(key: str, default: float | None = None) -> float | None:
        value = values.get(key)
        return default if value is None else finite_number(path, value, f"{what}: {key}")

    for key, actual in (("w", width), ("h", height)):
        stated = number(key)
        if stated is not None and int(stated) != actual:
            raise bad_capture(
                path,
                f'{what}: "{key}" is {stated:g} but the image is {width} x {height}; '
                "the intrinsics belong to images of another size",
            )
    angle_x, angle_y = number("camera_angle_x"), number("camera_angle_y")
    for angle in (angle_x, angle_y):
        if angle is not None and not 0.0 < angle < math.pi:
            raise bad_capture(
                path, f"{what}: a camera_angle of {angle:g} is no angle of view; give radians between 0 and pi"
            )
    fl_x, fl_y = number("fl_x"), number("fl_y")
    if fl_x is None and angle_x is not None:
        fl_x = 0.5 * width / math.tan(0.5 * angle_x)
    if fl_y is None and angle_y is not None:
        fl_y = 0.5 * height / math.tan(0.5 * angle_y)
    fl_x = fl_y if fl_x is None else fl_x
    if fl_x is None:
        raise bad_capture(path, f'{what}: no focal length; give "fl_x" in pixels or "camera_angle_x" in radians')
    fl_y = fl_x if fl_y is None else fl_y

    name = values.get("camera_model") or ("OPENCV_FISHEYE" if values.get("is_fisheye") else "OPENCV")
    if not isinstance(name, str) or name not in COEFFICIENTS:
        raise bad_capture(
            path, f"{what}: camera model {short(name)} is not one of {', '.join(COEFFICIENTS)}; undistort first"
        )
    if values.get("is_fisheye") and name != "OPENCV_FISHEYE":
        raise bad_capture(
            path, f'{what}: "is_fisheye" is true but "camera_model" is {name!r}: take out the one that is wrong'
        )
    model, keys = COEFFICIENTS[name]
    if model == "plumb_bob" and number("k4", 0.0):
        raise bad_capture(
            path, f'{what}: "k4" is {number("k4"):g}, which the camera model {name!r} lacks: undistort first'
        )
    distortion = tuple(number(key, 0.0) or 0.0 for key in keys)
    if not any(distortion) and model == "plumb_bob":
        model, distortion = "none", ()
    K = np.array(
        [[fl_x, 0.0, number("cx", width / 2)], [0.0, fl_y, number("cy", height / 2)], [0.0, 0.0, 1.0]], dtype=np.float64
    )
    camera = Camera(K, width, height, model, distortion)
    try:
        check_camera(camera, what)
    except ReconstructionError as error:
        raise bad_capture(path, error.message) from error
    return camera


def intrinsics(camera: Camera) -> dict[str, Any]:
    """The keys of a frame that hold a camera. Raises CANNOT_WRITE where the format has no name for its lens."""
    name = MODEL_NAMES.get((camera.distortion_model, len(camera.distortion)))
    if name is None:
        raise ReconstructionError(
            ErrorCode.CANNOT_WRITE,
            f"{len(camera.distortion)} coefficients of {camera.distortion_model} do not fit transforms.json; undistort "
            "the view before writing it",
        )
    keys = COEFFICIENTS[name][1]
    return {
        "camera_model": name,
        "fl_x": float(camera.K[0, 0]),
        "fl_y": float(camera.K[1, 1]),
        "cx": float(camera.K[0, 2]),
        "cy": float(camera.K[1, 2]),
        "w": camera.width,
        "h": camera.height,
        **{key: float(value) for key, value in zip(keys, camera.distortion, strict=False)},
        **({"is_fisheye": True} if camera.distortion_model == "equidistant" else {}),
    }
