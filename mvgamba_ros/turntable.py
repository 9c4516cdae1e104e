"""A film of a mesh that turns once about the vertical."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.se3 import look_at
from mvgamba_ros.preview import shaded
from mvgamba_ros.rendering.mesh_raycaster import Raycaster
from mvgamba_ros.types import U8, Camera, Mesh

SIDE = 384
"""Of the pictures, pixels."""
FRAMES = 72
"""Of one turn: every 5 degrees."""
RATE = 24
"""Frames a second: a turn takes three."""
ELEVATION = np.radians(20.0)
CAMERA = Camera(np.array([[SIDE * 1.2, 0.0, SIDE / 2], [0.0, SIDE * 1.2, SIDE / 2], [0.0, 0.0, 1.0]]), SIDE, SIDE)


def turntable(mesh: Mesh, frames: int = FRAMES) -> Iterator[U8]:
    """(384, 384, 3) RGB pictures of ``mesh``, shaded on white, from all around and a little above."""
    low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    centre, reach = 0.5 * (low + high), 1.5 * float(np.linalg.norm(high - low))
    caster = Raycaster(mesh)
    for index in range(frames):
        turn = 2.0 * np.pi * index / frames
        away = [np.cos(turn) * np.cos(ELEVATION), np.sin(turn) * np.cos(ELEVATION), np.sin(ELEVATION)]
        yield shaded(caster, look_at(centre + reach * np.array(away), centre), CAMERA)


def write_turntable(path: Path, mesh: Mesh) -> None:
    """`turntable` as an MP4 (MPEG-4 Part 2). Raises CANNOT_WRITE where OpenCV cannot write one."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), RATE, (SIDE, SIDE))
    try:
        if not writer.isOpened():
            raise ReconstructionError(
                ErrorCode.CANNOT_WRITE, f"{path}: this OpenCV writes no MP4; install the package opencv-python-headless"
            )
        for picture in turntable(mesh):
            writer.write(np.ascontiguousarray(picture[..., ::-1]))
    finally:
        writer.release()
