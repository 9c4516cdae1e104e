"""Random draws that the families of objects share: materials, cross-sections, outlines, rotations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mvgamba_ros.synthesis.textured_mesh import Material, Part, polygon, superellipse
from mvgamba_ros.types import F64, U8

Rng = np.random.Generator
Piece = tuple[Part, Sequence[U8], Material]
"""A closed part, the textures of its tiles, and its material."""

ROUND = 40
"""Points around a circular section."""


def gloss(rng: Rng) -> Material:
    """Matt, satin or glossy."""
    kind = rng.choice(3, p=[0.4, 0.35, 0.25])
    specular = [rng.uniform(0, 0.08), rng.uniform(0.08, 0.3), rng.uniform(0.3, 0.8)][kind]
    return Material(float(specular), float(np.exp(rng.uniform(np.log(8), np.log(150)))))


def metal_gloss(rng: Rng) -> Material:
    """Steel to brass."""
    return Material(float(rng.uniform(0.3, 0.9)), float(rng.uniform(15, 90)), float(rng.uniform(0.3, 0.9)))


def curve(points: Sequence[Sequence[float]] | F64, rounds: int = 2) -> F64:
    """A polyline with its corners cut (Chaikin), its ends kept."""
    p = np.asarray(points, np.float64)
    for _ in range(rounds):
        q, r = p[:-1] * 0.75 + p[1:] * 0.25, p[:-1] * 0.25 + p[1:] * 0.75
        p = np.concatenate([p[:1], np.stack([q, r], 1).reshape(-1, p.shape[1]), p[-1:]])
    return p


def section_of(rng: Rng, round_share: float = 0.6) -> F64:
    """A circle, a rounded square, a polygon or a fluted circle."""
    kind = rng.random()
    if kind < round_share:
        return superellipse(ROUND)
    if kind < round_share + (1 - round_share) * 0.6:
        return superellipse(ROUND, rng.uniform(2.3, 8)) * np.array([1, rng.uniform(0.45, 1)])
    sides = int(rng.integers(3, 9))
    a = np.arange(sides) * (2 * np.pi / sides)
    if rng.random() < 0.6:
        return polygon(np.stack([np.cos(a), np.sin(a)], 1), ROUND)
    a = np.arange(96) * (2 * np.pi / 96)
    r = 1 + rng.uniform(0.02, 0.12) * np.cos(a * rng.integers(4, 17))
    return np.stack([r * np.cos(a), r * np.sin(a)], 1)


def rotation(rng: Rng) -> F64:
    """A rotation (3, 3), all equally likely."""
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q if np.linalg.det(q) > 0 else -q
