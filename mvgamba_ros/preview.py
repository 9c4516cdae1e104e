"""One picture of a reconstruction: the views with their silhouettes, mesh and Gaussians from two new sides, and what of
the mesh was seen and how far it is expected to be off."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np

from mvgamba_ros.geometry.camera import crop, resample, undistort
from mvgamba_ros.geometry.se3 import look_at
from mvgamba_ros.geometry.world_origin import far_origin, move_result, move_views
from mvgamba_ros.reconstruction import Reconstruction
from mvgamba_ros.rendering.mesh_raycaster import Raycaster
from mvgamba_ros.types import F32, F64, U8, Bool, Camera, View

WIDTH = 1280
COLUMNS = 4
MOST_VIEWS = 8
ROOM = 1.8
"""A tile shows this many times the object's width or height."""
OUTLINE = (255, 40, 160)
"""A magenta that few objects have."""
BIG = Camera(np.array([[768.0, 0.0, 320.0], [0.0, 768.0, 240.0], [0.0, 0.0, 1.0]]), WIDTH // 2, 480)
"""What the reconstruction is seen by."""
SMALL = Camera(np.array([[330.0, 0.0, 160.0], [0.0, 330.0, 140.0], [0.0, 0.0, 1.0]]), WIDTH // 4, 256)
"""The same, for a tile a quarter of the picture wide with a line of text above."""
SIGHT = np.array([[245, 130, 20], [196, 214, 230], [120, 168, 205], [45, 105, 165]], np.uint8)
"""Guessed, in an orange that stands out; seen by one view, by two, by three or more."""
SIGHT_NAMES = ("guessed", "seen by 1 view", "2 views", "3 or more")


def preview(views: Sequence[View], result: Reconstruction) -> U8:
    """(H, 1280, 3) RGB: up to eight input views with outlines; the mesh shaded from two new sides, the Gaussians, if
    any, from the same; which parts were seen and how far they are expected to be off, from the first of these sides and
    from where most of the guessed surface shows; a line of facts."""
    origin = far_origin(views)
    if origin is not None:
        views, result = move_views(views, -origin), move_result(result, -origin)
    tiles = [outlined(view, mask) for view, mask in zip(views[:MOST_VIEWS], result.masks, strict=False)]
    for index in () if result.poses is None else result.poses.left_out:
        if index < len(tiles):
            tiles[index] = _written(tiles[index] // 2 + 128, "left out")
    rows = []
    for start in range(0, len(tiles), COLUMNS):
        row = tiles[start : start + COLUMNS]
        row += [np.full_like(tiles[0], 255)] * (COLUMNS - len(row))
        rows.append(np.concatenate(row, axis=1))
    caster = Raycaster(result.mesh)
    sides = _new_sides(views, result)
    rows.append(np.concatenate([_written(shaded(caster, T), "mesh") for T in sides], axis=1))
    if result.gaussians is not None:
        from mvgamba_ros.rendering.splats import render_view  # torch, which grasps' pictures need not wait for

        seen = [render_view(result.gaussians, BIG, T)[0] for T in sides]
        rows.append(np.concatenate([_written((255 * x).round().astype(np.uint8), "Gaussians") for x in seen], axis=1))
    if result.mesh.seen is not None and result.mesh.expected_error_mm is not None:
        rows += _trust(result, [sides[0], _guessed_side(result)])
    return np.concatenate([*rows, _caption(result)])


def outlined(view: View, mask: Bool) -> U8:
    """The undistorted view around the object, a quarter of the picture wide, its silhouette drawn; all of a view in
    which none was found."""
    straight = undistort(view)
    rows, columns = np.nonzero(mask if mask.any() else ~mask)
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


def shaded(caster: Raycaster, T_world_camera: F64, camera: Camera = BIG, ambient: float = 0.45) -> U8:
    """As large as the camera's picture; lit from the camera and a little from above, on white."""
    picture = caster.render(camera, T_world_camera)
    light = -T_world_camera[:3, 2] + np.array([0.0, 0.0, 0.5])
    light /= np.linalg.norm(light)
    shade = ambient + (1.2 - ambient) * np.clip(picture.normals @ light, 0.0, 1.0)
    lit = (picture.color * shade[..., None]).clip(0, 255).astype(np.uint8)
    return np.where(picture.mask[..., None], lit, 255).astype(np.uint8)


def _trust(result: Reconstruction, sides: Sequence[F64]) -> list[U8]:
    """A row of four tiles, the vertices by how many views saw them and by their expected error, each from both
    ``sides``; and a strip with what the colours mean."""
    mesh = result.mesh
    assert mesh.seen is not None and mesh.expected_error_mm is not None
    top = round_up(float(np.quantile(mesh.expected_error_mm, 0.95)))
    by_sight = SIGHT[np.minimum(mesh.seen, len(SIGHT) - 1)]
    by_error = colormap(mesh.expected_error_mm / top)
    tiles = [
        _written(shaded(Raycaster(replace(mesh, colors=colors)), T, SMALL, ambient=0.75), text, 0.45)
        for colors, what in ((by_sight, "seen or guessed"), (by_error, "expected error"))
        for T, text in zip(sides, (what, f"{what}, where most is guessed"), strict=True)
    ]
    strip = np.full((40, WIDTH, 3), 255, np.uint8)
    for k, (color, name) in enumerate(zip(SIGHT, SIGHT_NAMES, strict=True)):
        x = 12 + 155 * k
        strip[8:24, x : x + 22] = color
        strip = _written(strip, name, 0.45, (x + 28, 21))
    bar = slice(WIDTH // 2 + 60, WIDTH - 60)
    strip[8:20, bar] = colormap(np.linspace(0.0, 1.0, bar.stop - bar.start))
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        x = round(bar.start + share * (bar.stop - bar.start))
        more = " or more mm" if share == 1.0 else ""
        strip = _written(strip, f"{share * top:g}{more}", 0.4, (x - 8 - 4 * len(more), 35))
    return [np.concatenate(tiles, axis=1), strip]


def colormap(shares: F64 | F32) -> U8:
    """Colours (N, 3) of ``shares`` (N,), from 0 dark blue to 1 yellow."""
    levels = (255.0 * np.clip(np.asarray(shares, np.float64), 0.0, 1.0)).round().astype(np.uint8)
    colors: U8 = np.asarray(cv2.applyColorMap(levels[:, None], cv2.COLORMAP_VIRIDIS), np.uint8)[:, 0, ::-1]
    return colors


def round_up(value: float) -> float:
    """``value``, rounded up to 1, 2, 3, 5 or 10 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(max(value, 1e-3)))
    return next(step * power for step in (1.0, 2.0, 3.0, 5.0, 10.0) if step * power >= value * (1.0 - 1e-9))


def _guessed_side(result: Reconstruction) -> F64:
    """The camera pose, of many all around, that has the largest area of faces without a seen corner turned to it."""
    mesh = result.mesh
    assert mesh.seen is not None
    a, b, c = (mesh.vertices[mesh.faces[:, k]] for k in range(3))
    guessed = (mesh.seen[mesh.faces] == 0).all(axis=1)
    areas = np.cross(b - a, c - a)[guessed]
    z = np.linspace(-0.97, 0.97, 100)  # a Fibonacci sphere
    turn, r = np.arange(100) * np.pi * (3.0 - np.sqrt(5.0)), np.sqrt(1.0 - z**2)
    directions = np.stack([r * np.cos(turn), r * np.sin(turn), z], axis=1)
    side = directions[int(np.maximum(areas @ directions.T, 0.0).sum(axis=0).argmax())]
    center = result.box.T_world_box[:3, 3]
    return look_at(center + 1.5 * float(np.linalg.norm(result.box.size)) * side, center)


def _written(picture: U8, text: str, scale: float = 0.55, at: tuple[int, int] = (12, 24)) -> U8:
    written: Any = cv2.putText(
        np.ascontiguousarray(picture), text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, (20, 20, 20), 1, cv2.LINE_AA
    )
    return written


def _caption(result: Reconstruction) -> U8:
    size = " x ".join(f"{1e3 * side:.0f}" for side in result.box.size)
    quality = result.quality
    text = (
        f"{result.method}, {result.view_count} views: {size} mm, {len(result.mesh.faces)} faces; silhouettes "
        f"{quality.silhouette_iou:.3f} IoU, colour error {quality.color_error:.3f}, seen {quality.coverage:.0%}, "
        f"expected error {quality.expected_error_mm:.1f} mm"
    )
    text += "  LOW QUALITY" if quality.low else ""
    return _written(np.full((36, WIDTH, 3), 255, np.uint8), text)
