"""One picture of several reconstructed objects: the views with each object's silhouette in its colour and number, and
all meshes together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import cv2
import numpy as np

from mvgamba_ros.geometry.boxes import box_corners
from mvgamba_ros.geometry.camera import project, undistort
from mvgamba_ros.geometry.se3 import look_at
from mvgamba_ros.geometry.world_origin import far_origin, move_box, move_result, move_views
from mvgamba_ros.preview import BIG, COLUMNS, MOST_VIEWS, WIDTH, shaded
from mvgamba_ros.rendering.mesh_raycaster import Raycaster
from mvgamba_ros.scene_objects import SceneObject
from mvgamba_ros.types import F64, U8, Box, Mesh, View

TINT = 0.4
"""How much of a silhouette is its object's colour."""
TURNS = (-50.0, 50.0)
"""Degrees about the vertical, from where the views were taken: the two sides that the meshes are shown from."""
SLOPE = np.radians(35.0)
"""And so much from above."""
ROOM = 1.4
"""The meshes are seen from so many times the diagonal of what they stand on."""


def scene_picture(views: Sequence[View], objects: Sequence[SceneObject]) -> U8:
    """(H, 1280, 3) RGB: up to eight views in which each object is tinted in its colour and numbered from 1, one that
    failed as its region's outline; below, the meshes that there are, from two sides, with the same numbers."""
    origin = far_origin(views)
    if origin is not None:
        views, objects = move_views(views, -origin), [_moved(item, -origin) for item in objects]
    tiles = [_tile(view, index, objects) for index, view in enumerate(views[:MOST_VIEWS])]
    height = max(tile.shape[0] for tile in tiles)
    tiles = [np.pad(tile, ((0, height - len(tile)), (0, 0), (0, 0)), constant_values=255) for tile in tiles]
    blank = np.full_like(tiles[0], 255)
    rows = []
    for start in range(0, len(tiles), COLUMNS):
        row = tiles[start : start + COLUMNS]
        rows.append(np.concatenate([*row, *[blank] * (COLUMNS - len(row))], axis=1))
    if any(item.result is not None for item in objects):
        rows.append(np.concatenate(_meshes(views, objects), axis=1))
    return np.concatenate(rows)


def object_color(number: int) -> tuple[int, int, int]:
    """RGB of the object ``number``, from 0: neighbours in number are far apart in hue."""
    hue = round(179.0 * ((0.5 + 0.61803 * number) % 1.0))
    red, green, blue = cv2.cvtColor(np.array([[[hue, 200, 235]]], np.uint8), cv2.COLOR_HSV2RGB)[0, 0].tolist()
    return red, green, blue


def _moved(item: SceneObject, by: F64) -> SceneObject:
    region = None if item.region is None else move_box(item.region, by)
    return replace(item, region=region, result=None if item.result is None else move_result(item.result, by))


def _tile(view: View, index: int, objects: Sequence[SceneObject]) -> U8:
    """The whole undistorted view, a quarter of the picture wide."""
    straight = undistort(view)
    scale = WIDTH // COLUMNS / straight.image.shape[1]
    picture = straight.image.copy()
    for number, item in enumerate(objects):
        mask = item.mask(index)
        if mask is not None:
            picture[mask] = (1.0 - TINT) * picture[mask] + TINT * np.array(object_color(number))
    tile: Any = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    for number, item in enumerate(objects):
        mask = item.mask(index)
        if mask is not None and mask.any():
            small: Any = cv2.resize(mask.astype(np.uint8), tile.shape[1::-1], interpolation=cv2.INTER_AREA)
            contours, _ = cv2.findContours(small, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(tile, contours, -1, object_color(number), 1, cv2.LINE_AA)
            _, _, _, (x, y) = cv2.minMaxLoc(cv2.distanceTransform(np.pad(small, 1), cv2.DIST_L2, 3))
            _number(tile, number, (x, y))
        elif item.result is None and item.region is not None:
            _outline(tile, straight, item.region, number, scale)
    return np.asarray(tile, np.uint8)


def _outline(tile: Any, view: View, region: Box, number: int, scale: float) -> None:
    """The twelve edges of a box that all lies before the camera, and its number."""
    corners, depth = project(view.camera, view.T_world_camera, box_corners(region))
    if not (depth > 0.0).all():
        return
    at = (scale * corners).round().astype(int).clip(-10_000, 10_000)
    for a, b in combinations(range(8), 2):
        if (a ^ b).bit_count() == 1:  # corners are numbered by the bits of their sides
            cv2.line(tile, at[a].tolist(), at[b].tolist(), object_color(number), 1, cv2.LINE_AA)
    _number(tile, number, tuple(at.mean(axis=0).round().astype(int).tolist()))


def _number(tile: Any, number: int, at: Sequence[int]) -> None:
    """The object's number, from 1, centred at pixel ``at``."""
    text = str(number + 1)
    (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.5, 1)
    place = (int(at[0] - width / 2), int(at[1] + height / 2))
    for color, weight in (((255, 255, 255), 4), ((20, 20, 20), 1)):
        cv2.putText(tile, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, color, weight, cv2.LINE_AA)


def _meshes(views: Sequence[View], objects: Sequence[SceneObject]) -> list[U8]:
    """All meshes from two sides, half of the picture wide each."""
    results = {number: item.result for number, item in enumerate(objects) if item.result is not None}
    counts = np.cumsum([0, *(len(result.mesh.vertices) for result in results.values())])
    mesh = Mesh(
        np.concatenate([result.mesh.vertices for result in results.values()]),
        np.concatenate(
            [result.mesh.faces + np.int32(count) for result, count in zip(results.values(), counts, strict=False)]
        ),
        np.concatenate([result.mesh.colors for result in results.values()]),
    )
    low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    centre, caster = (low + high) / 2.0, Raycaster(mesh)
    toward = np.mean([view.T_world_camera[:3, 3] for view in views], axis=0) - centre
    tiles = []
    for turn in TURNS:
        azimuth = np.arctan2(toward[1], toward[0]) + np.radians(turn)
        side = np.array([np.cos(azimuth) * np.cos(SLOPE), np.sin(azimuth) * np.cos(SLOPE), np.sin(SLOPE)])
        T = look_at(centre + (ROOM * float(np.linalg.norm(high - low)) + 0.1) * side, centre)
        tile: Any = np.ascontiguousarray(shaded(caster, T))
        for number, result in results.items():
            (at,), _ = project(BIG, T, result.box.T_world_box[None, :3, 3])
            _number(tile, number, at.round().astype(int).tolist())
        tiles.append(np.asarray(tile, np.uint8))
    return tiles
