"""A grid of cells over a region, where each view shows each of them, and which of them each pixel's ray passes: what
joins the views in the instance network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mvgamba_ros.geometry.camera import project
from mvgamba_ros.geometry.rays import rays
from mvgamba_ros.geometry.se3 import inverse, transform
from mvgamba_ros.types import F64, Box, Camera

CELLS = (16, 24, 24)
"""Cells along the region's z, y and x axis: each axis is divided evenly, whatever its length."""
STEPS = 24
"""Places along each ray at which the cells are read, evenly from where it enters the region to where it leaves."""
STRIDE = 4
"""Pixels of the network's input to one pixel of the maps that cells are read from and written to."""
KNOWN = 8
"""Values known of every cell without any picture, see `known_of_cells`."""


@dataclass(frozen=True)
class RegionCells:
    """The N cells of a region as V views show them on maps of P pixels; for several regions one after the other.

    Args:
        pixels: (V, N) int64, the pixel of view v that shows the cell, counted through all maps (v * (P + 1) + pixel);
            the one after a map's last where it does not show it.
        rays: (R,) int64, the pixels, counted through all maps (v * P + pixel), whose ray passes the region.
        passed: (R, STEPS) int64, the cells that each passes, front to back; N before and behind the region.
        known: (N, KNOWN) float32.
    """

    pixels: Tensor
    rays: Tensor
    passed: Tensor
    known: Tensor


def region_cells(
    cameras: Sequence[Camera], poses: Sequence[F64], region: Box, height: float | None, side: int
) -> RegionCells:
    """The cells of ``region`` in V views.

    Args:
        cameras: At the network's input, at most ``side`` pixels wide and high.
        poses: T_world_camera, (4, 4) each.
        region: World, metres.
        height: Of the support plane, world z in metres; None where it is not known.
        side: Of the network's input, pixels.
    """
    across = side // STRIDE
    size = across * across
    points = transform(region.T_world_box, _places().astype(np.float64) * region.size / 2.0)
    pixels = np.empty((len(cameras), len(points)), np.int64)
    crossing, passed = [], []
    for v, (camera, T) in enumerate(zip(cameras, poses, strict=True)):
        at, z = project(camera, T, points)
        x, y = np.floor(np.nan_to_num(at, nan=-1.0) / STRIDE).astype(np.int64).T
        inside = (z > 0) & (at >= 0).all(axis=1) & (at[:, 0] < camera.width) & (at[:, 1] < camera.height)
        pixels[v] = v * (size + 1) + np.where(inside, y * across + x, size)
        hit, cells = _along_rays(camera, T, region, across)
        crossing.append(v * size + hit)
        passed.append(cells)
    return RegionCells(
        torch.from_numpy(pixels),
        torch.from_numpy(np.concatenate(crossing)),
        torch.from_numpy(np.concatenate(passed)),
        torch.from_numpy(known_of_cells(points, region, height)),
    )


def joined(regions: Sequence[RegionCells], side: int) -> RegionCells:
    """Cells of several regions, each in as many views, as those of one: (B * V, ...)."""
    size = (side // STRIDE) ** 2
    views, count = regions[0].pixels.shape
    total = len(regions) * count
    pixels = [cells.pixels + b * views * (size + 1) for b, cells in enumerate(regions)]
    crossing = [cells.rays + b * views * size for b, cells in enumerate(regions)]
    passed = [torch.where(c.passed == count, total, c.passed + b * count) for b, c in enumerate(regions)]
    known = [cells.known for cells in regions]
    return RegionCells(torch.cat(pixels), torch.cat(crossing), torch.cat(passed), torch.cat(known))


def _places() -> np.ndarray:
    """(N, 3) of each cell's centre in the region, [-1, 1] along its axes; x runs fastest."""
    lines = [2.0 * (np.arange(n) + 0.5) / n - 1.0 for n in CELLS]
    z, y, x = np.meshgrid(*lines, indexing="ij")
    return np.stack([x, y, z], axis=-1).reshape(-1, 3)


def known_of_cells(points: F64, region: Box, height: float | None) -> np.ndarray:
    """(N, KNOWN) float32 of cells at world ``points`` (N, 3): place in the region, [-1, 1] along its axes; height above
    the support plane in the region's height, clipped to [-1, 2], and whether it is known; logarithms of the region's
    sides beside their mean."""
    above = np.zeros(len(points)) if height is None else (points[:, 2] - height) / region.size[2]
    sides = np.log(region.size / region.size.mean())
    columns = [_places(), np.clip(above, -1.0, 2.0)[:, None], np.full((len(points), 1), float(height is not None))]
    columns.append(np.broadcast_to(sides, (len(points), 3)))
    return np.concatenate(columns, axis=1).astype(np.float32)


def _along_rays(camera: Camera, T_world_camera: F64, region: Box, across: int) -> tuple[np.ndarray, np.ndarray]:
    """The map's pixels (R,) whose ray passes ``region``, and the cells (R, STEPS) that each passes."""
    small = Camera(
        np.diag([1.0 / STRIDE, 1.0 / STRIDE, 1.0]) @ camera.K, -(-camera.width // STRIDE), -(-camera.height // STRIDE)
    )
    origin, directions = rays(small, T_world_camera)
    to_box = inverse(region.T_world_box)
    eye = transform(to_box, origin[None])[0] / (region.size / 2.0)
    along = (directions.reshape(-1, 3) @ to_box[:3, :3].T) / (region.size / 2.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = (-1.0 - eye) / along, (1.0 - eye) / along
    enter = np.nanmax(np.minimum(low, high), axis=1).clip(min=0.0)
    leave = np.nanmin(np.maximum(low, high), axis=1)
    hit = np.flatnonzero(leave > enter)
    fractions = (np.arange(STEPS) + 0.5) / STEPS
    t = enter[hit, None] + fractions * (leave - enter)[hit, None]
    places = eye + t[..., None] * along[hit, None]
    counts = np.array(CELLS[::-1])
    x, y, z = np.moveaxis(np.clip(((places + 1.0) / 2.0 * counts).astype(np.int64), 0, counts - 1), -1, 0)
    cells = (z * CELLS[1] + y) * CELLS[2] + x
    rows, columns = np.divmod(hit, small.width)
    return rows * across + columns, cells
