"""One picture of a reconstruction: the views with their silhouettes, mesh and Gaussians from two new sides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from mvgamba_ros.geometry.camera import crop, resample, undistort
from mvgamba_ros.geometry.se3 import look_at
from mvgamba_ros.rendering.mesh_raycaster import Raycaster
from mvgamba_ros.rendering.splats import render_view
from mvgamba_ros.types import F64, U8, Bool, Camera, Reconstruction, View

WIDTH = 1280
COLUMNS = 4
MOST_VIEWS = 8
ROOM = 1.8
"""A tile shows this many times the object's width or height."""
OUTLINE = (255, 40, 160)
"""A magenta that few objects have."""
BIG = Camera(np.array([[768.0, 0.0, 320.0], [0.0, 768.0, 240.0], [0.0, 0.0, 1.0]]), WIDTH // 2, 480)
"""What the reconstruction is seen by."""


def preview(views: Sequence[View], result: Reconstruction) -> U8:
    """(H, 1280, 3) RGB: up to eight input views with outlines, the mesh shaded from two new sides, the Gaussians, if
    any, from the same, and a line of facts."""
    tiles = [_outlined(view, mask) for view, mask in zip(views[:MOST_VIEWS], result.masks, strict=False)]
    rows = []
    for start in range(0, len(tiles), COLUMNS):
        row = tiles[start : start + COLUMNS]
        row += [np.full_like(tiles[0], 255)] * (COLUMNS - len(row))
        rows.append(np.concatenate(row, axis=1))
    caster = Raycaster(result.mesh)
    sides = _new_sides(views, result)
    rows.append(np.concatenate([_written(_shaded(caster, T), "mesh") for T in sides], axis=1))
    if result.gaussians is not None:
        seen = [render_view(result.gaussians, BIG, T)[0] for T in sides]
        rows.append(np.concatenate([_written((255 * x).round().astype(np.uint8), "Gaussians") for x in seen], axis=1))
    return np.concatenate([*rows, _caption(views, result)])


def _outlined(view: View, mask: Bool) -> U8:
    """The undistorted view around the object, a quarter of the picture wide, its silhouette drawn."""
    straight = undistort(view)
    rows, columns = np.nonzero(mask)
    x, y = (columns.min() + columns.max() + 1) / 2.0, (rows.min() + rows.max() + 1) / 2.0
    half = ROOM / 2.0 * max(np.ptp(columns) + 1, 4 / 3 * (np.ptp(rows) + 1))
    half = min(half, mask.shape[1] / 2.0, mask.shape[0] / 1.5)
    x = float(np.clip(x, half, mask.shape[1] - half))
    y = float(np.clip(y, 0.75 * half, mask.shape[0] - 0.75 * half))
    width, height = WIDTH // COLUMNS, WIDTH // COLUMNS * 3 // 4
    window = crop(straight.camera, x - half, y - 0.75 * half, x + half, y + 0.75 * half, width, height)
    tile = resample(straight.image, straight.camera, window)
    contours, _ = cv2.findContours(
        resample(mask, straight.camera, window).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE
    )
    drawn: Any = cv2.drawContours(np.ascontiguousarray(tile), contours, -1, OUTLINE, 1, cv2.LINE_AA)
    return drawn


def _new_sides(views: Sequence[View], result: Reconstruction) -> list[F64]:
    """Two camera poses half way between given views, where the shape is interpolated rather than seen, and far from
    each other; beside a single view, a turn of 50 degrees either way."""
    center = result.box.T_world_box[:3, 3]
    reach = 1.5 * float(np.linalg.norm(result.box.size))
    used = np.stack([view.T_world_camera[:3, 3] - center for view in views])
    used /= np.linalg.norm(used, axis=1, keepdims=True)
    nearest = np.argsort(_degrees(used, used), axis=1)[:, 1:3]  # opposite views have no middle worth showing
    between = np.concatenate([used, *(used + used[column] for column in nearest.T)])
    between /= np.linalg.norm(between, axis=1, keepdims=True)
    newness = np.minimum(_degrees(between, used).min(axis=1), 30.0)  # beyond that, whatever is new is also unseen
    if newness.max() < 5.0:
        c, s = np.cos(np.radians(50.0)), np.sin(np.radians(50.0))
        sides = [np.array([[c, -sign * s, 0.0], [sign * s, c, 0.0], [0.0, 0.0, 1.0]]) @ used[0] for sign in (1, -1)]
    else:
        first = between[int(np.argmax(newness))]
        apart = np.minimum(_degrees(between, first[None])[:, 0], 100.0)
        sides = [first, between[int(np.argmax(newness + apart))]]
    return [look_at(center + reach * side, center) for side in sides]


def _degrees(a: F64, b: F64) -> F64:
    """(N, M) angles between unit vectors (N, 3) and (M, 3)."""
    return np.degrees(np.arccos(np.clip(a @ b.T, -1.0, 1.0)))


def _shaded(caster: Raycaster, T_world_camera: F64) -> U8:
    """Half the picture wide; lit from the camera and a little from above, on white."""
    picture = caster.render(BIG, T_world_camera)
    light = -T_world_camera[:3, 2] + np.array([0.0, 0.0, 0.5])
    light /= np.linalg.norm(light)
    shade = 0.45 + 0.75 * np.clip(picture.normals @ light, 0.0, 1.0)
    lit = (picture.color * shade[..., None]).clip(0, 255).astype(np.uint8)
    return np.where(picture.mask[..., None], lit, 255).astype(np.uint8)


def _written(picture: U8, text: str) -> U8:
    written: Any = cv2.putText(
        np.ascontiguousarray(picture), text, (12, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (20, 20, 20), 1, cv2.LINE_AA
    )
    return written


def _caption(views: Sequence[View], result: Reconstruction) -> U8:
    size = " x ".join(f"{1e3 * side:.0f}" for side in result.box.size)
    quality = result.quality
    text = (
        f"{result.method}, {len(views)} views: {size} mm, {len(result.mesh.faces)} faces; silhouettes "
        f"{quality.silhouette_iou:.3f} IoU, colour error {quality.color_error:.3f}, seen {quality.coverage:.0%}"
    )
    text += "  LOW QUALITY" if quality.low else ""
    return _written(np.full((36, WIDTH, 3), 255, np.uint8), text)
