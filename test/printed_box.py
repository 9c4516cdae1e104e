"""A box with print on its sides, finer than any mesh's vertices, seen by known cameras."""

from __future__ import annotations

import cv2
import numpy as np

from mvgamba_ros.geometry.rays import rays
from mvgamba_ros.geometry.se3 import look_at
from mvgamba_ros.types import Camera, Mesh, View

SIZE = np.array([0.10, 0.06, 0.14])  # metres; it stands on z = 0
CENTER = np.array([0.4, 0.1, 0.07])
WORDS = ("MUESLI", "net 500 g", "OATS", "best before")
CAMERA = Camera(np.array([[420.0, 0.0, 160.0], [0.0, 420.0, 120.0], [0.0, 0.0, 1.0]]), 320, 240)
PIXELS = 1600.0
"""Of the print, a metre."""


def prints() -> list[np.ndarray]:
    """The pictures on the sides -x, +x, -y, +y, top and bottom, as seen from outside."""
    pictures = []
    for index in range(6):
        wide, high = _sides(index)
        picture = np.full((round(high * PIXELS), round(wide * PIXELS), 3), (235, 225, 205), np.uint8)
        picture[: len(picture) // 4] = (170, 40 + 30 * index, 60)
        for line in range(5):
            at = (6, 26 + 38 * line)
            cv2.putText(picture, WORDS[(index + line) % 4], at, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (20, 30, 70), 2)
        pictures.append(picture)
    return pictures


def _sides(index: int) -> tuple[float, float]:
    axis = index // 2
    return float(SIZE[(1, 0, 0)[axis]]), float(SIZE[(2, 2, 1)[axis]])


def color_at(points: np.ndarray, index: int, pictures: list[np.ndarray]) -> np.ndarray:
    """Colours (N, 3) float of points (N, 3) on side ``index``."""
    axis = index // 2
    local = (points - CENTER) / SIZE + 0.5
    x, y = local[:, (1, 0, 0)[axis]], local[:, (2, 2, 1)[axis]]
    picture = pictures[index]
    column = (x * picture.shape[1] - 0.5).astype(np.float32)[:, None]
    row = ((1.0 - y) * picture.shape[0] - 0.5).astype(np.float32)[:, None]
    mapped = [
        cv2.remap(picture, column[i : i + 9000], row[i : i + 9000], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for i in range(0, len(x), 9000)
    ]
    return np.concatenate(mapped)[:, 0].astype(np.float64)


def render(T: np.ndarray, exposure: float = 1.0) -> View:
    origin, directions = rays(CAMERA, T)
    pictures, flat = prints(), directions.reshape(-1, 3)
    with np.errstate(divide="ignore"):
        near, far = ((CENTER + sign * SIZE / 2 - origin) / flat for sign in (-1, 1))
    enter, leave = np.minimum(near, far), np.maximum(near, far)
    along, axis = enter.max(axis=1), enter.argmax(axis=1)
    hit = along < leave.min(axis=1)
    image = np.full((len(flat), 3), 120.0)
    points = origin + along[:, None] * flat
    for index in range(6):
        on = hit & (axis == index // 2) & ((flat[np.arange(len(flat)), axis] < 0) == bool(index % 2))
        if on.any():
            image[on] = exposure * color_at(points[on], index, pictures)
    shape = (CAMERA.height, CAMERA.width)
    return View(image.clip(0, 255).reshape(*shape, 3).round().astype(np.uint8), CAMERA, T, mask=hit.reshape(shape))


def poses(count: int = 6, distance: float = 0.35) -> list[np.ndarray]:
    """All around, a little above; the bottom is seen by none."""
    turns = 2.0 * np.pi * (np.arange(count) + 0.3) / count
    away = [np.array([np.cos(turn) * 0.87, np.sin(turn) * 0.87, 0.5]) for turn in turns]
    return [look_at(CENTER + distance * side, CENTER) for side in away]


def mesh(cuts: int = 4) -> Mesh:
    """The box, each side of 2 * cuts^2 triangles, grey."""
    import trimesh

    box = trimesh.creation.box(SIZE).subdivide().subdivide() if cuts == 4 else trimesh.creation.box(SIZE)
    vertices = np.asarray(box.vertices, np.float64) + CENTER
    return Mesh(vertices, np.asarray(box.faces, np.int32), np.full((len(vertices), 3), 128, np.uint8))
