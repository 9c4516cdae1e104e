"""Objects whose true shape is known, and one look at each, for tests of generators."""

from __future__ import annotations

import numpy as np
import trimesh

from mvgamba_ros.geometry.rays import rays
from mvgamba_ros.geometry.se3 import look_at
from mvgamba_ros.rendering.mesh_raycaster import Raycaster
from mvgamba_ros.types import Camera, Mesh, View

PLACE = np.array([0.5, 0.1, 0.0])
"""Metres; they stand on z = 0."""


def _mesh(shape: trimesh.Trimesh) -> Mesh:
    vertices = np.asarray(shape.vertices) + PLACE
    x, y, z = (vertices - PLACE).T
    colors = np.stack([128 + 1000 * x, 128 + 1000 * y, 60 + 1500 * z], axis=1).clip(0, 255).astype(np.uint8)
    return Mesh(vertices, np.asarray(shape.faces, np.int32), colors)


def bottle() -> Mesh:
    """19 cm high, 66 mm wide."""
    profile = [[0, 0], [0.03, 0], [0.033, 0.01], [0.033, 0.12], [0.012, 0.16], [0.012, 0.19], [0, 0.19]]
    return _mesh(trimesh.creation.revolve(np.array(profile), sections=48))


def mug() -> Mesh:
    """10 cm high, 8 cm wide, walls of 4 mm, open at the top, with a handle."""
    profile = [[0, 0], [0.04, 0], [0.04, 0.1], [0.036, 0.1], [0.036, 0.006], [0, 0.006]]
    cup = trimesh.creation.revolve(np.array(profile), sections=64)
    ring = trimesh.creation.torus(0.026, 0.005, major_sections=48, minor_sections=16)
    ring.apply_transform(trimesh.transformations.rotation_matrix(np.pi / 2, [1, 0, 0]))
    ring.apply_translation([0.041, 0.0, 0.05])
    handle = ring.submesh([ring.triangles_center[:, 0] > 0.038], append=True)  # its ends lie inside the wall
    both = trimesh.util.concatenate([cup, handle])
    both.apply_transform(trimesh.transformations.rotation_matrix(1.8, [0, 0, 1]))
    return _mesh(both)


def bracket() -> Mesh:
    """An L of two slabs, 10 cm long, 9 cm high."""
    foot, back = trimesh.creation.box([0.1, 0.05, 0.03]), trimesh.creation.box([0.03, 0.05, 0.09])
    foot.apply_translation([0, 0, 0.015])
    back.apply_translation([-0.035, 0, 0.045])
    both = trimesh.util.concatenate([foot, back])
    both.apply_transform(trimesh.transformations.rotation_matrix(0.5, [0, 0, 1]))
    return _mesh(both)


def photograph(mesh: Mesh, azimuth: float = 30.0, with_depth: bool = True, elevation: float = 35.0) -> View:
    """From 45 cm and ``elevation`` degrees above, not quite aimed at it, on a white table; with its mask."""
    centre = mesh.vertices.mean(axis=0)
    turn, rise = np.radians([azimuth, elevation])
    away = np.array([np.cos(turn) * np.cos(rise), np.sin(turn) * np.cos(rise), np.sin(rise)])
    T = look_at(centre + 0.45 * away, centre + np.array([0.01, 0.02, 0.0]))
    camera = Camera(np.array([[600.0, 0, 320], [0, 600.0, 240], [0, 0, 1.0]]), 640, 480)
    seen = Raycaster(mesh).render(camera, T)
    image = np.where(seen.mask[..., None], seen.color, 255).astype(np.uint8)
    origin, directions = rays(camera, T)
    table = -origin[2] / np.minimum(directions[..., 2], -1e-6) * (directions @ T[:3, 2])
    depth = np.where(seen.mask, seen.depth, np.minimum(table, 5.0)).astype(np.float32)
    return View(image, camera, T, mask=seen.mask, depth=depth if with_depth else None)
