"""Tiles of table tops, cloths and mats: each draws one (S, S, 3) uint8 sRGB tile that repeats."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from mvgamba_ros.synthesis import textures as tex
from mvgamba_ros.synthesis.shading import Rng
from mvgamba_ros.synthesis.textures import TILE
from mvgamba_ros.types import F32, U8


def _colour(rng: Rng) -> F32:
    """Of furniture: greys, browns and whites mostly."""
    kind = rng.random()
    if kind < 0.35:
        return np.full(3, 255 * rng.uniform(0.12, 0.95), np.float32) * (1 + rng.normal(0, 0.02, 3)).astype(np.float32)
    if kind < 0.75:
        v = 255 * rng.uniform(0.25, 0.9)
        return np.array([v, v * rng.uniform(0.7, 0.92), v * rng.uniform(0.4, 0.82)], np.float32)
    return np.array(tex.color(rng, (0.0, 0.9), (0.1, 0.95)), np.float32)


def _wrapped_noise(rng: Rng, cells: int) -> F32:
    """Smooth noise (S, S) of unit variance that repeats without a seam, ``cells`` bumps along a side."""
    grid = rng.standard_normal((cells, cells), np.float32)
    padded = np.pad(grid, 3, mode="wrap")
    side = TILE * (cells + 6) // cells
    large = cv2.resize(padded, (side, side), interpolation=cv2.INTER_CUBIC)
    start = 3 * TILE // cells
    out = large[start : start + TILE, start : start + TILE]
    return np.asarray((out - out.mean()) / max(float(out.std()), 1e-6), np.float32)


def _done(image: F32) -> U8:
    return np.clip(image, 0, 255).astype(np.uint8)


def laminate(rng: Rng) -> U8:
    """Plain board or paint, with a faint unevenness."""
    uneven = rng.uniform(0, 3) * _wrapped_noise(rng, 4) + rng.uniform(0, 2.5) * _wrapped_noise(rng, 64)
    return _done(_colour(rng) + uneven[..., None])


def speckled(rng: Rng) -> U8:
    """Terrazzo, granite, melamine: specks of other colours on a ground."""
    image = np.broadcast_to(_colour(rng), (TILE, TILE, 3)).copy()
    for _ in range(int(rng.integers(1, 4))):
        spots = _wrapped_noise(rng, int(rng.choice([24, 48, 96]))) > rng.uniform(0.8, 2.2)
        image[spots] += (_colour(rng) - image[spots]) * np.float32(rng.uniform(0.2, 0.9))
    return _done(image + rng.uniform(0, 3) * _wrapped_noise(rng, 4)[..., None])


def weave(rng: Rng) -> U8:
    """Cloth, vinyl or paper towel: a fine pattern of threads or dents."""
    n = int(rng.choice([12, 16, 24, 32]))
    x, y = np.meshgrid(np.arange(TILE), np.arange(TILE))
    a, b = 2 * np.pi * n * x / TILE, 2 * np.pi * n * y / TILE
    kind = rng.random()
    shape = np.sin(a) * np.sin(b) if kind < 0.5 else np.maximum(np.sin(a), np.sin(b)) if kind < 0.75 else np.sin(a + b)
    ground, depth = _colour(rng), rng.uniform(4, 30)
    image = ground + depth * (shape - shape.mean()).astype(np.float32)[..., None]
    return _done(image + (4 * _wrapped_noise(rng, 6) + 3 * _wrapped_noise(rng, 64))[..., None])


def bands(rng: Rng) -> U8:
    """Waves of light and dark: veneer, marble, damask."""
    ground, other = _colour(rng), _colour(rng)
    other = ground * rng.uniform(0.45, 0.9) if rng.random() < 0.7 else other
    y = np.arange(TILE, dtype=np.float32)[:, None] / TILE
    warp = np.float32(rng.uniform(0.1, 0.5)) * _wrapped_noise(rng, int(rng.integers(2, 4))) + 0.05 * _wrapped_noise(
        rng, 12
    )
    s = 0.5 + 0.5 * np.sin(2 * np.pi * (int(rng.integers(1, 9)) * y + warp), dtype=np.float32)
    s = s ** np.float32(rng.uniform(0.5, 4.0))
    return _done(ground + (other - ground) * s[..., None])


def planks(rng: Rng) -> U8:
    """Boards side by side, with grain, and dark joints or none."""
    count = int(rng.integers(2, 5))
    ground = _colour(rng)
    image = np.empty((TILE, TILE, 3), np.float32)
    fibres = cv2.blur(np.tile(_wrapped_noise(rng, 96), (1, 3)), (61, 1))[:, TILE : 2 * TILE]
    grain = rng.uniform(10, 30) * fibres + rng.uniform(2, 8) * _wrapped_noise(rng, 4)
    for k in range(count):
        part = slice(k * TILE // count, (k + 1) * TILE // count)
        image[part] = ground * rng.uniform(0.85, 1.1) + grain[part, :, None]
        if rng.random() < 0.8:
            image[part.start : part.start + int(rng.integers(1, 3))] *= rng.uniform(0.3, 0.8)
    return _done(image)


def tiled(rng: Rng) -> U8:
    """Squares: a chequered cloth, a tiled top, a cutting mat with a grid, a perforated bench."""
    n = int(rng.choice([2, 4, 6, 8]))
    x, y = np.meshgrid(np.arange(TILE), np.arange(TILE))
    u, v = x * n / TILE, y * n / TILE
    ground = _colour(rng)
    other = _colour(rng) if rng.random() < 0.4 else ground * rng.uniform(0.6, 1.25)
    kind = rng.random()
    if kind < 0.35:
        on = (u.astype(int) + v.astype(int)) % 2 == 0
    elif kind < 0.8:
        w = rng.uniform(0.02, 0.1)
        on = (u % 1 < w) | (v % 1 < w)
    else:
        on = np.hypot(u % 1 - 0.5, v % 1 - 0.5) < rng.uniform(0.1, 0.3)
    image = np.where(on[..., None], other, ground).astype(np.float32)
    return _done(image + rng.uniform(0, 3) * _wrapped_noise(rng, 8)[..., None])


TABLES: tuple[tuple[Callable[[Rng], U8], float], ...] = (
    (laminate, 0.26),
    (speckled, 0.11),
    (weave, 0.12),
    (bands, 0.1),
    (planks, 0.14),
    (tex.wood, 0.05),
    (tiled, 0.1),
    (tex.metal, 0.06),
    (tex.printed, 0.04),
    (tex.anything, 0.02),
)
"""Each kind with its share of the tables."""


def table_tile(rng: Rng) -> U8:
    """The top of some table."""
    shares = np.array([share for _, share in TABLES])
    return TABLES[rng.choice(len(shares), p=shares / shares.sum())][0](rng)
