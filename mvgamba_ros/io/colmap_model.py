"""Sparse models of COLMAP, text and binary: cameras and posed images, read and written.

Format: https://colmap.github.io/format.html and https://colmap.github.io/cameras.html. Poses there take the world
to the camera, in OpenCV's axes; the centre of the first pixel is at (0.5, 0.5), as here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mvgamba_ros.errors import ErrorCode, ReconstructionError, short
from mvgamba_ros.geometry.se3 import inverse, matrix_to_quat, quat_to_matrix, rigid
from mvgamba_ros.io.pictures_reader import read_bytes
from mvgamba_ros.io.transforms_intrinsics import RATIONAL, bad_capture, read_camera
from mvgamba_ros.types import F64, Camera

F, FX_FY, CENTRE = ("fl_x",), ("fl_x", "fl_y"), ("cx", "cy")
PARAMETERS: dict[str, tuple[str, ...]] = {
    "SIMPLE_PINHOLE": (*F, *CENTRE),
    "PINHOLE": (*FX_FY, *CENTRE),
    "SIMPLE_RADIAL": (*F, *CENTRE, "k1"),
    "RADIAL": (*F, *CENTRE, "k1", "k2"),
    "OPENCV": (*FX_FY, *CENTRE, "k1", "k2", "p1", "p2"),
    "OPENCV_FISHEYE": (*FX_FY, *CENTRE, "k1", "k2", "k3", "k4"),
    "FULL_OPENCV": (*FX_FY, *CENTRE, *RATIONAL),
    "FOV": (*FX_FY, *CENTRE, "omega"),
    "SIMPLE_RADIAL_FISHEYE": (*F, *CENTRE, "k1"),
    "RADIAL_FISHEYE": (*F, *CENTRE, "k1", "k2"),
    "THIN_PRISM_FISHEYE": (*FX_FY, *CENTRE, "k1", "k2", "p1", "p2", "k3", "k4", "sx1", "sy1"),
}
"""Parameters of each model by the keys of a transforms.json, in order; the models in the order of their numbers."""
WRITTEN = {
    ("none", 0): "PINHOLE",
    ("plumb_bob", 0): "PINHOLE",
    ("plumb_bob", 4): "OPENCV",
    ("plumb_bob", 5): "FULL_OPENCV",
    ("rational_polynomial", 0): "PINHOLE",
    ("rational_polynomial", 8): "FULL_OPENCV",
    ("equidistant", 0): "OPENCV_FISHEYE",
    ("equidistant", 4): "OPENCV_FISHEYE",
}
"""Model by distortion model and number of coefficients."""


@dataclass(frozen=True)
class PosedImage:
    """One registered image: its path in the image folder, its camera, its pose."""

    name: str
    camera: Camera
    T_world_camera: F64


def read_model(folder: Path) -> list[PosedImage]:
    """The registered images of the model in ``folder``, in the order of their names. Raises BAD_CAPTURE for a camera
    that is not there or of a model that is not supported, and what a broken file makes of its parser."""
    binary = (folder / "images.bin").is_file()
    listed = folder / ("cameras.bin" if binary else "cameras.txt")
    cameras = dict((_binary_cameras if binary else _text_cameras)(listed))
    path = folder / ("images.bin" if binary else "images.txt")
    images = []
    for quaternion, translation, camera_id, name in (_binary_images if binary else _text_images)(path):
        if camera_id not in cameras:
            raise bad_capture(path, f"{short(name)} is of camera {camera_id}, which {listed.name} lacks")
        T_camera_world = rigid(quat_to_matrix(np.asarray(quaternion)), np.asarray(translation))
        images.append(PosedImage(name, cameras[camera_id], inverse(T_camera_world)))
    return sorted(images, key=lambda image: image.name)


def write_model(names: Sequence[str], cameras: Sequence[Camera], T_world_camera: Sequence[F64]) -> dict[str, bytes]:
    """The text files of a model without points, by their names. Raises CANNOT_WRITE where COLMAP has no model for a
    lens."""
    lines = [_camera_line(camera) for camera in cameras]
    numbers = {line: number for number, line in enumerate(dict.fromkeys(lines), start=1)}
    rows = []
    for index, (name, line, T) in enumerate(zip(names, lines, T_world_camera, strict=True), start=1):
        T_camera_world = inverse(T)
        pose = (*matrix_to_quat(T_camera_world[:3, :3]), *T_camera_world[:3, 3])
        rows.append(f"{index} {' '.join(repr(float(value)) for value in pose)} {numbers[line]} {name}\n\n")
    return {
        "cameras.txt": "".join(f"{number} {line}\n" for line, number in numbers.items()).encode(),
        "images.txt": "".join(rows).encode(),
        "points3D.txt": b"",
    }


def _camera_line(camera: Camera) -> str:
    name = WRITTEN.get((camera.distortion_model, len(camera.distortion)))
    if name is None:
        raise ReconstructionError(
            ErrorCode.CANNOT_WRITE,
            f"COLMAP has no camera model of {len(camera.distortion)} coefficients of {camera.distortion_model}: "
            "undistort the views before writing them",
        )
    K = camera.K
    values = [K[0, 0], K[1, 1], K[0, 2], K[1, 2], *camera.distortion]
    values += [0.0] * (len(PARAMETERS[name]) - len(values))
    return f"{name} {camera.width} {camera.height} " + " ".join(repr(float(value)) for value in values)


def _camera(path: Path, number: int, model: str, width: int, height: int, values: Sequence[float]) -> Camera:
    keys = PARAMETERS.get(model)
    if keys is not None and len(keys) != len(values):
        raise bad_capture(path, f"camera {number}: {model} takes {len(keys)} parameters, it has {len(values)}")
    known = {**dict(zip(keys or (), values, strict=False)), "camera_model": model, "w": width, "h": height}
    return read_camera(path, known, width, height, f"camera {number}")


def _rows(path: Path) -> Iterator[str]:
    for line in read_bytes(path).decode("utf-8-sig").splitlines():
        if not line.startswith("#"):
            yield line.strip()


def _text_cameras(path: Path) -> Iterator[tuple[int, Camera]]:
    for line in filter(None, _rows(path)):
        number, model, width, height, *values = line.split()
        yield int(number), _camera(path, int(number), model, int(width), int(height), [float(x) for x in values])


def _text_images(path: Path) -> Iterator[tuple[Sequence[float], Sequence[float], int, str]]:
    rows = _rows(path)
    for line in rows:
        if line:
            _, *pose, camera_id, name = line.split(maxsplit=9)
            values = [float(value) for value in pose]
            next(rows, "")  # the features, which may be none: an empty line
            yield values[:4], values[4:], int(camera_id), name


class _Reader:
    """Little-endian values out of bytes, one after the other."""

    def __init__(self, path: Path) -> None:
        self._content, self._at = read_bytes(path), 0

    def take(self, layout: str) -> tuple[float, ...]:
        values = struct.unpack_from("<" + layout, self._content, self._at)
        self._at += struct.calcsize("<" + layout)
        return values

    def text(self) -> str:
        end = self._content.index(b"\0", self._at)
        found = self._content[self._at : end].decode()
        self._at = end + 1
        return found

    def skip(self, count: int) -> None:
        if self._at + count > len(self._content):
            raise ValueError("it ends within a record")
        self._at += count


def _binary_cameras(path: Path) -> Iterator[tuple[int, Camera]]:
    reader = _Reader(path)
    for _ in range(int(reader.take("Q")[0])):
        number, model, width, height = (int(value) for value in reader.take("iiQQ"))
        names = list(PARAMETERS)
        if not 0 <= model < len(names):
            raise bad_capture(path, f"camera {number} is of model {model}, known are 0 to {len(names) - 1}")
        values = reader.take("d" * len(PARAMETERS[names[model]]))
        yield number, _camera(path, number, names[model], width, height, values)


def _binary_images(path: Path) -> Iterator[tuple[Sequence[float], Sequence[float], int, str]]:
    reader = _Reader(path)
    for _ in range(int(reader.take("Q")[0])):
        reader.take("I")
        pose = reader.take("7d")
        camera_id = int(reader.take("I")[0])
        name = reader.text()
        reader.skip(24 * int(reader.take("Q")[0]))
        yield pose[:4], pose[4:], camera_id, name
