"""The intrinsics of a transforms.json: the names and numbers of cameras, read and written.

Format: https://docs.nerf.studio/quickstart/data_conventions.html, COLMAP's names of camera models.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mvgamba_ros.errors import ErrorCode, ReconstructionError, short
from mvgamba_ros.geometry.camera import check_camera
from mvgamba_ros.io.camera_sizes import check_centre, resized
from mvgamba_ros.io.radial_polynomial import rational_fit
from mvgamba_ros.types import F64, Camera, DistortionModel

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
    "RADIAL_FISHEYE": ("equidistant", ("k1", "k2", "", "")),
    "SIMPLE_RADIAL_FISHEYE": ("equidistant", ("k1", "", "", "")),
}
"""camera_model: our distortion model and which keys hold its coefficients, in order ("" is always 0). The two after
FULL_OPENCV are OpenCV's models of 12 and 14 coefficients, which have no common name: a reader that does not know the
name refuses the file instead of leaving coefficients out."""

OTHER_NAMES = {"PERSPECTIVE": "OPENCV"}
"""Names of models, in capital letters, that stand for another."""
ALL_COEFFICIENTS = (*RATIONAL, *THIN_PRISM, "tau_x", "tau_y")
NARROWEST_FOCAL = 0.05
"""A focal length below this share of the width is no number of pixels. Set by hand: a fisheye of 220 degrees has
0.25."""

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
    """``value`` as a finite float, also of a number in quotes. Raises BAD_CAPTURE where it is none."""
    number: Any = value
    if isinstance(value, str) and len(value) < 50:
        try:
            number = float(value)
        except ValueError:
            number = None
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not -1e300 < number < 1e300:
        raise bad_capture(path, f'"{what}" is {short(value)}, not a number')
    return float(number)


def merged(content: Mapping[str, Any], frame: Mapping[str, Any]) -> dict[str, Any]:
    """What holds for a frame: its own values before the whole file's. The coefficients of a camera model are one whole:
    a frame with a model or coefficients of its own has none of the file's."""
    own = frame.get("camera_model")
    other_model = own is not None and own != content.get("camera_model")
    if other_model or any(key in frame for key in ALL_COEFFICIENTS):
        content = {key: value for key, value in content.items() if key not in ALL_COEFFICIENTS}
    if other_model:
        content = {key: value for key, value in content.items() if key != "is_fisheye"}
    return {**content, **frame}


def stated_size(path: Path, values: Mapping[str, Any], what: str) -> tuple[int, int] | None:
    """Width and height that the intrinsics belong to, where both are given. Raises BAD_CAPTURE."""
    if values.get("w") is None or values.get("h") is None:
        return None
    width, height = (finite_number(path, values[key], f"{what}: {key}") for key in ("w", "h"))
    if not (1 <= width < 1e6 and 1 <= height < 1e6):
        raise bad_capture(path, f'{what}: "w" and "h" are {width:g} and {height:g}: give the image\'s size in pixels')
    return int(width), int(height)


def read_camera(path: Path, values: Mapping[str, Any], width: int, height: int, what: str) -> Camera:
    """Intrinsics from the `merged` values of a frame; ``width``, ``height`` are the image's own. Those of the same
    image in another size are scaled. Raises BAD_CAPTURE."""

    def number(key: str, default: float | None = None) -> float | None:
        value = values.get(key)
        return default if value is None else finite_number(path, value, f"{what}: {key}")

    stated = stated_size(path, values, what)
    for key, actual in (("w", width), ("h", height)):
        value = number(key)
        if stated is None and value is not None and int(value) != actual:
            raise bad_capture(
                path,
                f'{what}: "{key}" is {value:g} but the image is {width} x {height}; '
                "the intrinsics belong to images of another size",
            )
    w, h = stated or (width, height)
    angle_x, angle_y = number("camera_angle_x"), number("camera_angle_y")
    for angle in (angle_x, angle_y):
        if angle is not None and not 0.0 < angle < math.pi:
            raise bad_capture(
                path, f"{what}: a camera_angle of {angle:g} is no angle of view; give radians between 0 and pi"
            )
    fl_x, fl_y = number("fl_x"), number("fl_y")
    if fl_x is None and angle_x is not None:
        fl_x = 0.5 * w / math.tan(0.5 * angle_x)
    if fl_y is None and angle_y is not None:
        fl_y = 0.5 * h / math.tan(0.5 * angle_y)
    fl_x = fl_y if fl_x is None else fl_x
    if fl_x is None:
        raise bad_capture(path, f'{what}: no focal length; give "fl_x" in pixels or "camera_angle_x" in radians')
    fl_y = fl_x if fl_y is None else fl_y
    if 0.0 < min(fl_x, fl_y) < NARROWEST_FOCAL * max(w, h):
        raise bad_capture(
            path, f"{what}: focal lengths {fl_x:g}, {fl_y:g} are too short for an image of {w} x {h}: give pixels"
        )
    cx, cy = number("cx", w / 2) or 0.0, number("cy", h / 2) or 0.0
    if 0.0 < cx <= 1.0 and 0.0 < cy <= 1.0 and min(w, h) > 2:  # as shares of the size: no lens has it in a corner
        cx, cy = cx * w, cy * h
    K = np.array([[fl_x, 0.0, cx], [0.0, fl_y, cy], [0.0, 0.0, 1.0]], dtype=np.float64)
    model, distortion = _lens(path, values, number, K, w, h, what)
    camera = Camera(K, w, h, model, distortion)
    try:
        check_camera(camera, what)
        if stated is None:
            check_centre(path, camera, what)
        return resized(camera, width, height, what)
    except ReconstructionError as error:
        raise bad_capture(path, error.message.removeprefix(f"{path}: ")) from error


def _lens(
    path: Path,
    values: Mapping[str, Any],
    number: Callable[[str, float | None], float | None],
    K: F64,
    width: int,
    height: int,
    what: str,
) -> tuple[DistortionModel, tuple[float, ...]]:
    """Distortion model and coefficients."""
    given = values.get("camera_model") or ("OPENCV_FISHEYE" if values.get("is_fisheye") else "OPENCV")
    name = OTHER_NAMES.get(given.upper(), given.upper()) if isinstance(given, str) else ""
    if name not in COEFFICIENTS:
        raise bad_capture(
            path, f"{what}: camera model {short(given)} is not one of {', '.join(COEFFICIENTS)}; undistort first"
        )
    model, keys = COEFFICIENTS[name]
    if values.get("is_fisheye") and model != "equidistant":
        raise bad_capture(
            path, f'{what}: "is_fisheye" is true but "camera_model" is {given!r}: take out the one that is wrong'
        )
    distortion = tuple(number(key, 0.0) or 0.0 for key in keys)
    beyond = [key for key in ALL_COEFFICIENTS if key not in keys and number(key, 0.0)]
    if name == "OPENCV" and beyond == ["k4"] and not {"k5", "k6"} & set(values):  # nerfstudio's and Metashape's r^8
        k1, k2, p1, p2, k3 = distortion
        fitted = rational_fit((k1, k2, k3, number("k4", 0.0) or 0.0), K, width, height)
        if fitted is not None:
            return "rational_polynomial", (*fitted[:2], p1, p2, *fitted[2:])
    if beyond:
        raise bad_capture(
            path,
            f'{what}: "{beyond[0]}" is {number(beyond[0], 0.0):g}, which the camera model {given!r} lacks: undistort '
            "first, or name the model that has it",
        )
    return (model, distortion) if any(distortion) or model != "plumb_bob" else ("none", ())


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
