"""One picture with what is known of it, from files: depth, intrinsics, pose."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mvgamba_ros.errors import ErrorCode, ReconstructionError, boundary, shown
from mvgamba_ros.geometry.camera import check_camera
from mvgamba_ros.geometry.se3 import check_rigid, look_at
from mvgamba_ros.io.exif_turn import exif_orientation, exif_turn, turned
from mvgamba_ros.io.image_files import read_image
from mvgamba_ros.types import F32, F64, U8, Camera

LARGEST_JSON = 1_000_000
"""Bytes of a file of intrinsics or of a pose."""
DISTORTION = ("D", "d", "distortion", "k1", "k2", "k3", "p1", "p2")
"""Names that files of intrinsics have for it."""
LEVEL: F64 = look_at(np.zeros(3), np.array([1.0, 0.0, 0.0]))
"""The pose of a camera of which none is given: at the origin, level, z of the world up, aimed along its x axis."""


@dataclass(frozen=True)
class PosedPhoto:
    """``image`` (H, W, 3 or 4) uint8 RGB or RGBA; ``depth`` (H, W) metres, 0 where unknown; ``T_world_camera``
    (4, 4)."""

    image: U8
    camera: Camera | None
    T_world_camera: F64
    depth: F32 | None


def read_posed_photo(
    image: str | Path,
    depth: str | Path | None = None,
    camera: str | Path | None = None,
    pose: str | Path | None = None,
) -> PosedPhoto:
    """Reads a picture and what is given with it.

    Args:
        image: PNG, JPEG, ...; an alpha channel is kept. By EXIF it is turned where it is given alone, and where the
            size that ``camera`` states, or that of ``depth``, is that of the turned picture.
        depth: 16-bit PNG of the picture's size, millimetres along the optical axis, 0 where unknown.
        camera: JSON, ``{"K": [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]}`` in pixels, pixel centres at +0.5, of a picture
            without distortion; it may have ``width`` and ``height``, which must be the picture's.
        pose: JSON, 4x4 numbers, or ``{"T_world_camera": ...}`` of them: the optical frame's (x right, y down, z
            forward) pose in metres; None: `LEVEL`.

    Raises:
        ReconstructionError: BAD_IMAGE, BAD_CAMERA_INFO, BAD_POSE, each with the file's name.
    """
    path = Path(image)
    pixels = _pixels(path)
    pixels = (pixels >> 8).astype(np.uint8) if pixels.dtype == np.uint16 else pixels
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    pixels = _upright(path, pixels, None if depth is None else Path(depth), None if camera is None else Path(camera))
    height, width = pixels.shape[:2]
    known = None if camera is None else _camera(Path(camera), width, height)
    T = LEVEL if pose is None else _pose(Path(pose))
    metres = None
    if depth is not None:
        raw = _pixels(Path(depth))
        if raw.ndim != 2 or raw.dtype != np.uint16 or raw.shape != (height, width):
            raise ReconstructionError(
                ErrorCode.BAD_IMAGE,
                f"{depth} is {raw.shape} {raw.dtype}: depth is one 16-bit channel in millimetres, of the picture's "
                f"size {(height, width)}",
            )
        metres = (raw * np.float32(1e-3)).astype(np.float32)
    return PosedPhoto(np.ascontiguousarray(pixels), known, T, metres)


def _upright(path: Path, pixels: np.ndarray, depth: Path | None, camera: Path | None) -> np.ndarray:
    if camera is None and depth is None:
        return turned(pixels, exif_orientation(path))
    content = {} if camera is None else _json(camera, ErrorCode.BAD_CAMERA_INFO)
    stated = None
    with boundary(ErrorCode.BAD_CAMERA_INFO, camera, "give width and height in pixels"):
        if isinstance(content, dict) and {"width", "height"} <= set(content):
            stated = int(content["width"]), int(content["height"])
    if stated is None and depth is not None:
        shape = _pixels(depth).shape
        stated = shape[1], shape[0]
    try:
        return turned(pixels, exif_turn(path, (pixels.shape[1], pixels.shape[0]), stated))
    except ReconstructionError as error:
        raise ReconstructionError(ErrorCode.BAD_IMAGE, error.message) from error


def _pixels(path: Path) -> np.ndarray:
    if not path.is_file():
        raise ReconstructionError(ErrorCode.BAD_IMAGE, f"{path} is not there, or is no file")
    with boundary(ErrorCode.BAD_IMAGE, path, "replace the file, or save it anew as PNG or JPEG"):
        return read_image(path)


def _camera(path: Path, width: int, height: int) -> Camera:
    content = _json(path, ErrorCode.BAD_CAMERA_INFO)
    with boundary(ErrorCode.BAD_CAMERA_INFO, path, 'has no "K" of 3x3 numbers: {"K": [[fx, 0, cx], [0, fy, cy], ...]}'):
        K = np.asarray(content["K"], np.float64).reshape(3, 3)
        bent = [key for key in DISTORTION if np.any(np.asarray(content.get(key, 0.0), np.float64))]
        size = int(content.get("width", width)), int(content.get("height", height))
    if bent:
        raise ReconstructionError(
            ErrorCode.BAD_CAMERA_INFO,
            f"{path}: {bent[0]} {shown(content[bent[0]])} is a distortion: straighten the picture, e.g. with "
            "cv2.undistort, and its depth, and give the K of that",
        )
    if size != (width, height):
        raise ReconstructionError(
            ErrorCode.BAD_CAMERA_INFO,
            f"{path} is of pictures of {size[0]} x {size[1]}, the picture is {width} x {height}: scale K with it",
        )
    camera = Camera(K, width, height)
    check_camera(camera, str(path))
    return camera


def _pose(path: Path) -> F64:
    content = _json(path, ErrorCode.BAD_POSE)
    with boundary(ErrorCode.BAD_POSE, path, 'has no 4x4 numbers, nor {"T_world_camera": ...} of them'):
        T = np.asarray(content["T_world_camera"] if isinstance(content, dict) else content, np.float64).reshape(4, 4)
    return check_rigid(T, str(path))


def _json(path: Path, code: ErrorCode) -> Any:
    with boundary(code, path, "cannot be read as JSON"), path.open("rb") as file:
        return json.loads(file.read(LARGEST_JSON))
