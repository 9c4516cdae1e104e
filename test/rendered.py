"""A known object on a table, or two, seen by known cameras: what the node's tests reconstruct."""

from __future__ import annotations

import numpy as np

from mvgamba_ros.geometry.boxes import scaled_box
from mvgamba_ros.geometry.camera import resample
from mvgamba_ros.geometry.rays import rays
from mvgamba_ros.geometry.se3 import look_at
from mvgamba_ros.segmentation.multiview.region_labels import RegionLabels, Thing
from mvgamba_ros.segmentation.windows import make_windows
from mvgamba_ros.types import Box, Camera, Prompts, View

CENTER = np.array([0.45, 0.05, 0.045])  # metres, base_link; it stands on z = 0
SIZE = np.array([0.07, 0.06, 0.09])  # full axes of an upright ellipsoid
PAIR = CENTER + np.array([[-0.03, -0.075, 0.0], [0.03, 0.075, 0.0]])
"""Centres of two of them, equally far from where `orbit` looks."""


def orbit(count: int, distance: float = 0.4) -> list[np.ndarray]:
    """``T_world_camera`` all around the object, alternating between two elevations."""
    poses = []
    for i in range(count):
        azimuth, elevation = 2 * np.pi * i / count + 0.3, np.radians((25.0, 50.0)[i % 2])
        away = [np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)]
        poses.append(look_at(CENTER + distance * np.array(away), CENTER))
    return poses


def render(T: np.ndarray, width: int = 320, height: int = 240, centers: np.ndarray = CENTER[None]) -> View:
    """Ellipsoids, red with dark stripes, on a finely grained grey table; with their mask and depth."""
    camera = Camera(np.array([[420.0, 0, width / 2], [0, 420.0, height / 2], [0, 0, 1]]), width, height)
    origin, directions = rays(camera, T)
    along = -origin[2] / np.minimum(directions[..., 2], -1e-6)
    mask, above = np.zeros((height, width), bool), np.zeros((height, width))
    for center in centers:
        o, d = (origin - center) / (SIZE / 2), directions / (SIZE / 2)
        a, b, c = (d * d).sum(-1), (d * o).sum(-1), (o * o).sum() - 1.0
        root = b * b - a * c
        reached = (-b - np.sqrt(np.maximum(root, 0.0))) / a
        hit = (root > 0) & ~(mask & (along < reached))
        mask, along = mask | hit, np.where(hit, reached, along)
        above = np.where(hit, (origin + along[..., None] * directions)[..., 2] - center[2], above)
    points = origin + along[..., None] * directions
    grain = np.random.default_rng(0).integers(-12, 12, (512, 512))
    cell = np.floor(points[..., :2] / 0.004).astype(int) % 512
    table = np.repeat(150 + grain[cell[..., 0], cell[..., 1]][..., None], 3, axis=-1)
    stripes = np.where(np.sin(points[..., 2] * 400.0) > 0.6, 0.35, 1.0)[..., None] * [215.0, 45.0, 35.0]
    light = (0.65 + 0.35 * np.clip(above / SIZE[2] * 2, -1, 1))[..., None]
    image = np.where(mask[..., None], stripes * light, table).clip(0, 255).astype(np.uint8)
    depth = (along * (directions @ T[:3, 2])).astype(np.float32)
    return View(image=image, camera=camera, T_world_camera=T, mask=mask, depth=depth)


def views(count: int = 6) -> list[View]:
    return [render(T) for T in orbit(count)]


def pair_views(count: int = 6) -> list[View]:
    """Of the two ellipsoids at `PAIR`."""
    return [render(T, centers=PAIR) for T in orbit(count, 0.55)]


def regions(scale: float = 1.4) -> list[Box]:
    """A region of interest for each of `PAIR`."""
    return [scaled_box(center - SIZE / 2, center + SIZE / 2, scale) for center in PAIR]


def labels_of(
    views: list[View], region: Box, things: tuple[Thing, ...] = (), height: float | None = 0.0
) -> RegionLabels:
    """What a network without faults would say of the views' masks."""
    windows = make_windows(views, region, Prompts(roi=region), 160)
    masks = [resample(np.asarray(v.mask, np.float32), v.camera, w.camera) for v, w in zip(views, windows, strict=True)]
    odds = [(8.0 * mask - 4.0).astype(np.float32) for mask in masks]
    return RegionLabels(region, windows, odds, odds, [-np.abs(o) for o in odds], list(things), height)
