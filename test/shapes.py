"""Known shapes and the views that see them, for the core's tests."""

from __future__ import annotations

import numpy as np

from mvgamba_ros.geometry.se3 import look_at
from mvgamba_ros.rendering.mesh_raycaster import Raycaster
from mvgamba_ros.types import F64, Camera, Mesh, View


def camera(width: int = 320, height: int = 240, focal: float = 300.0) -> Camera:
    return Camera(np.array([[focal, 0.0, width / 2], [0.0, focal, height / 2], [0.0, 0.0, 1.0]]), width, height)


def cuboid(low: F64 | list[float], high: F64 | list[float], color: tuple[int, int, int] = (200, 60, 40)) -> Mesh:
    """An axis-parallel cuboid, faces outward."""
    corner = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], dtype=np.float64)
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    faces = np.array([f for a, b, c, d in quads for f in ((a, b, c), (a, c, d))], dtype=np.int32)
    low, high = np.asarray(low), np.asarray(high)
    return Mesh(low + corner * (high - low), faces, np.tile(np.array(color, np.uint8), (8, 1)))


def see(mesh: Mesh, eyes: list[list[float]], target: list[float], cam: Camera | None = None) -> list[View]:
    """Views of the mesh on black, with masks and depth."""
    cam = cam or camera()
    views = []
    for eye in eyes:
        T = look_at(np.array(eye), np.array(target))
        picture = Raycaster(mesh).render(cam, T)
        views.append(View(picture.color, cam, T, mask=picture.mask, depth=picture.depth, name=f"from {eye}"))
    return views


FOUR_SIDES = [[0.5, 0.0, 0.0], [0.0, 0.5, 0.0], [-0.5, 0.0, 0.0], [0.0, -0.5, 0.0]]
