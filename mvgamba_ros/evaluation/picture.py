"""One picture of an evaluated capture: inputs, a left-out view beside what was made of it, mesh beside truth."""

from __future__ import annotations

import cv2
import numpy as np

from mvgamba_ros.evaluation.captures import Case, Outcome
from mvgamba_ros.evaluation.novel_view import show_gaussians, show_mesh
from mvgamba_ros.geometry.se3 import look_at
from mvgamba_ros.rendering.mesh_raycaster import Raycaster
from mvgamba_ros.types import U8, Camera, Mesh

TILE = 256
COLUMNS = 4
ELEVATION, AZIMUTHS = 25.0, (40.0, 220.0)
"""Degrees: from where the two meshes are rendered."""


def comparison_picture(case: Case, outcome: Outcome) -> U8:
    """(H, 1024, 3) RGB. Rows: up to four inputs; truth, Gaussians, mesh and coloured hull from a left-out side; mesh
    and truth, shaded, from two sides."""
    inputs = [_tile(view.image, view.name) for view in outcome.inputs[:COLUMNS]]
    target = case.targets[len(case.targets) // 2]
    caster = Raycaster(outcome.result.mesh)
    novel = [_tile(_bytes(target.picture), f"left out: {target.view.name}")]
    if outcome.result.gaussians is not None:
        novel.append(_tile(_bytes(show_gaussians(outcome.result.gaussians, target)[0]), "Gaussians"))
    novel.append(_tile(_bytes(show_mesh(caster, target)[0]), "mesh"))
    novel.append(_tile(_bytes(show_mesh(Raycaster(outcome.hull.mesh), target)[0]), "coloured hull"))
    rows = [inputs, novel]
    shaded = [_tile(_shaded(caster.mesh, outcome.result.mesh, a), "mesh") for a in AZIMUTHS]
    if case.truth is not None:
        truth = [_tile(_shaded(case.truth, outcome.result.mesh, a), "truth") for a in AZIMUTHS]
        shaded = [tile for pair in zip(shaded, truth, strict=True) for tile in pair]
    return np.concatenate([_row(tiles) for tiles in [*rows, shaded]])


def _row(tiles: list[U8]) -> U8:
    blank = np.full((TILE, TILE, 3), 255, np.uint8)
    return np.concatenate((tiles + [blank] * COLUMNS)[:COLUMNS], axis=1)


def _bytes(picture: np.ndarray) -> U8:
    return (picture.clip(0, 1) * 255).round().astype(np.uint8)


def _tile(image: U8, caption: str) -> U8:
    """The whole image in a white square, with a caption."""
    scale = TILE / max(image.shape[:2])
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    tile = np.full((TILE, TILE, 3), 255, np.uint8)
    y, x = (TILE - small.shape[0]) // 2, (TILE - small.shape[1]) // 2
    tile[y : y + small.shape[0], x : x + small.shape[1]] = small
    cv2.putText(tile, caption, (6, TILE - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (255, 255, 255), 4, cv2.LINE_AA)
    cv2.putText(tile, caption, (6, TILE - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
    return tile


def _shaded(mesh: Mesh, framed: Mesh, azimuth: float) -> U8:
    """``mesh`` in grey, lit from the camera, from where the whole of ``framed`` is seen."""
    low, high = framed.vertices.min(0), framed.vertices.max(0)
    centre, radius = (low + high) / 2, float(np.linalg.norm(high - low)) / 2
    a, e = np.radians(azimuth), np.radians(ELEVATION)
    toward = np.array([np.cos(a) * np.cos(e), np.sin(a) * np.cos(e), np.sin(e)])
    K = np.array([[1.9 * TILE, 0, TILE / 2], [0, 1.9 * TILE, TILE / 2], [0, 0, 1.0]])
    seen = Raycaster(mesh).render(Camera(K, TILE, TILE), look_at(centre + 4.2 * radius * toward, centre))
    light = 60 + 170 * np.abs(seen.normals @ toward)
    return np.where(seen.mask, light, 255).astype(np.uint8)[..., None].repeat(3, -1)
