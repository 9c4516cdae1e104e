"""Thin and perforated objects: scissors, cutlery, spanners, racks, baskets, grilles, rings and whisks."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from mvgamba_ros.synthesis import textures as tex
from mvgamba_ros.synthesis.draw import F64, U8, Piece, Rng, curve, gloss, metal_gloss
from mvgamba_ros.synthesis.textured_mesh import (
    Material,
    TexturedMesh,
    assemble,
    hull,
    rounded_box,
    superellipse,
    tube,
)

Coat = tuple[list[U8], Material]


def _steel(rng: Rng) -> Coat:
    """Metal mostly, or painted wire."""
    if rng.random() < 0.65:
        return [tex.metal(rng)] * 6, metal_gloss(rng)
    return [tex.plain(rng)] * 6, gloss(rng)


def _plastic(rng: Rng) -> Coat:
    return [tex.plain(rng)] * 6, gloss(rng)


def _arc(x: float, y: float, across: float, along: float, low: float = 0.0, high: float = 2 * np.pi) -> F64:
    """Points (n, 3) of an ellipse in the x-y plane from angle ``low`` to ``high``, counted from the x axis."""
    a = np.linspace(low, high, max(int(abs(high - low) * 6), 8))
    return np.stack([x + across * np.cos(a), y + along * np.sin(a), np.zeros(len(a))], 1)


def _turn(angle: float) -> F64:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def scissors(rng: Rng) -> list[Piece]:
    """Two blades that cross, each with a ring for fingers; open or shut. Pliers when short and stout."""
    length = rng.uniform(0.11, 0.24)
    blade, wide = length * rng.uniform(0.3, 0.6), length * rng.uniform(0.05, 0.11)
    shank, thick = length * rng.uniform(0.1, 0.25), rng.uniform(0.0015, 0.004)
    loop = (length - blade - shank) / 2
    opening = np.radians(rng.uniform(0, 25))
    steel, grip = _steel(rng), _plastic(rng)
    bar = rng.uniform(0.003, 0.0055)
    pieces: list[Piece] = []
    for side in (1, -1):
        z = side * thick * 0.55
        outline = [[blade, 0], [blade * 0.6, side * wide * 0.5], [-shank * 0.2, side * wide * 0.6]]
        outline += [[-shank * 0.2, -side * wide * 0.3], [blade * 0.8, -side * wide * 0.1]]
        points = np.array([[x, y, z + h] for x, y in outline for h in (-thick / 2, thick / 2)])
        loops = _arc(-shank - loop, -side * loop * 0.75, loop, loop * rng.uniform(0.5, 0.75)) + np.array([0, 0, z])
        arm = curve([[0, 0, z], [-shank * 0.6, -side * wide * 0.4, z], [-shank * 1.1, -side * loop * 0.5, z]])
        for part, (images, coat) in (
            (hull(points), steel),
            (tube(arm, bar, superellipse(10, 3)), grip),
            (tube(loops, bar, superellipse(12, 3) * np.array([1, rng.uniform(0.7, 1.4)])), grip),
        ):
            pieces.append((part.turned(_turn(side * opening)), images, coat))
    return pieces


def cutlery(rng: Rng) -> list[Piece]:
    """A fork, spoon or knife, of steel or plastic."""
    length, wide = rng.uniform(0.12, 0.21), rng.uniform(0.009, 0.016)
    images, coat = _steel(rng) if rng.random() < 0.75 else _plastic(rng)
    neck, bow = length * rng.uniform(0.55, 0.7), rng.uniform(0.004, 0.012)
    x = np.linspace(0, 1, 18)
    path = np.stack([x * neck, 0 * x, bow * np.sin(np.pi * x)], 1)
    size = wide / 2 * np.interp(x, [0, 0.3, 1], [1.0, 0.7, 0.35])
    flat = superellipse(14, 3) * np.array([0.22, 1.0])
    handle = tube(path, size, flat)
    pieces: list[Piece] = [(handle, images, coat)]
    kind = rng.choice(3)
    head = length - neck
    if kind == 0:
        tines, across = int(rng.integers(2, 5)), wide * rng.uniform(1.2, 1.8)
        root = [[neck - 0.004, y * across * s, z] for y, s in ((-0.5, 0.4), (0.5, 0.4)) for z in (0, 0.0025)]
        root += [[neck + head * 0.45, y * across, z] for y in (-0.5, 0.5) for z in (-0.002, 0.0005)]
        pieces.append((hull(np.array(root)), images, coat))
        for y in np.linspace(-0.45, 0.45, tines) * across:
            tine = curve([[neck + head * 0.4, y, -0.0008], [neck + head * 0.8, y, -0.001], [neck + head, y, 0.004]])
            pieces.append((tube(tine, 0.0012, superellipse(8, 3)), images, coat))
    elif kind == 1:
        a, r = np.meshgrid(np.linspace(0, 2 * np.pi, 24), np.linspace(0.25, 1, 5))
        u = np.stack([neck + head / 2 + head / 2 * r * np.cos(a), wide * 1.2 * r * np.sin(a)], -1).reshape(-1, 2)
        deep = 0.007 * (1 - r.ravel() ** 2)
        pieces.append((hull(np.column_stack([u, -deep])), images, coat))
    else:
        outline = [[neck * 0.97, -0.4], [neck * 0.97, 0.4], [length * 0.95, 0.55], [length, 0.1], [length * 0.97, -0.4]]
        points = np.array([[px, y * wide * 1.3, z] for px, y in outline for z in (-0.001, 0.001)])
        pieces.append((hull(points), images, coat))
    return pieces


def spanner(rng: Rng) -> list[Piece]:
    """A bar with a ring or a jaw at each end."""
    length, wide = rng.uniform(0.1, 0.24), rng.uniform(0.008, 0.016)
    images, coat = _steel(rng)
    thick = wide * rng.uniform(0.25, 0.6)
    pieces: list[Piece] = [(rounded_box((length, wide, thick), thick * 0.3), images, coat)]
    for side in (1, -1):
        r, gap = wide * rng.uniform(0.8, 1.3), rng.choice([0.0, rng.uniform(0.4, 0.9)])
        ring = _arc(0, 0, r, r, gap, 2 * np.pi - gap) @ _turn(rng.uniform(-0.3, 0.3)).T
        part = tube(ring, r * 0.38, superellipse(10, 4) * np.array([1.0, thick * 1.1 / (r * 0.76)]))
        part = part.at(length / 2 + r * 0.9, 0, 0)
        pieces.append((part if side > 0 else part.turned(_turn(np.pi)), images, coat))
    return pieces


def rack(rng: Rng) -> list[Piece]:
    """A grid of wires on feet, perhaps with uprights between which plates stand."""
    size = rng.uniform(0.1, 0.26) * np.array([1.0, rng.uniform(0.45, 1.0)])
    wire, high = rng.uniform(0.0012, 0.003), rng.uniform(0.008, 0.05)
    images, coat = _steel(rng)
    around = superellipse(8)
    x, y = size / 2
    frame = np.array([[-x, -y, high], [x, -y, high], [x, y, high], [-x, y, high], [-x, -y, high]])
    paths = list(pairwise(frame))
    paths += [(np.array([a, -y, high]), np.array([a, y, high])) for a in np.linspace(-x, x, int(rng.integers(4, 14)))]
    if rng.random() < 0.6:
        paths += [
            (np.array([-x, b, high]), np.array([x, b, high])) for b in np.linspace(-y, y, int(rng.integers(2, 6)))
        ]
    paths += [(np.array([a, b, 0.0]), np.array([a, b, high])) for a in (-x, x) for b in (-y, y)]
    if rng.random() < 0.35:
        tall = rng.uniform(0.03, 0.09)
        for a in np.linspace(-x * 0.9, x * 0.9, int(rng.integers(3, 8))):
            paths += [(np.array([a, b, high]), np.array([a, b, high + tall])) for b in (-y * 0.4, y * 0.4)]
    return [(tube(np.linspace(a, b, 3), wire, around), images, coat) for a, b in paths]


def basket(rng: Rng) -> list[Piece]:
    """Rings of wire above each other, joined by ribs, perhaps with a bail for a handle."""
    r, h = rng.uniform(0.04, 0.11), rng.uniform(0.04, 0.13)
    foot, wire = rng.uniform(0.6, 1.0), rng.uniform(0.0012, 0.0028)
    stretch = rng.uniform(0.6, 1.0)
    images, coat = _steel(rng)
    around = superellipse(8)
    levels = np.linspace(0, 1, int(rng.integers(3, 7)))
    pieces: list[Piece] = []
    for level in levels:
        size = r * (foot + (1 - foot) * level)
        pieces.append(
            (tube(_arc(0, 0, size, size * stretch) + np.array([0, 0, level * h]), wire, around), images, coat)
        )
    for a in np.arange(int(rng.integers(8, 20))) * (2 * np.pi / 16):
        d = np.array([np.cos(a), np.sin(a) * stretch, 0.0])
        rib = np.stack([d * 0, d * r * foot, d * r + [0, 0, h]])
        pieces.append((tube(rib, wire * 0.8, around), images, coat))
    if rng.random() < 0.5:
        a = np.linspace(0, np.pi, 20)
        bail = np.stack([r * np.cos(a), 0 * a, h + r * rng.uniform(0.6, 1.2) * np.sin(a)], 1)
        pieces.append((tube(bail, wire * 1.3, around), images, coat))
    return pieces


def grille(rng: Rng) -> list[Piece]:
    """A perforated plate or a lattice with a frame, perhaps with a long handle: a turner, a swatter, a soap dish."""
    size = rng.uniform(0.05, 0.2) * np.array([1.0, rng.uniform(0.4, 1.0)])
    thick, frame = rng.uniform(0.002, 0.006), rng.uniform(0.004, 0.012)
    images, coat = _steel(rng) if rng.random() < 0.4 else _plastic(rng)
    x, y = size / 2
    bars = [((size[0] + frame, frame, thick), (0, side * y, 0)) for side in (1, -1)]
    bars += [((frame, size[1] + frame, thick * 0.99), (side * x, 0, 0)) for side in (1, -1)]
    slots = int(rng.integers(3, 10))
    rib = size[0] / slots * rng.uniform(0.15, 0.6)
    bars += [((rib, size[1], thick * 0.8), (a, 0, 0)) for a in np.linspace(-x, x, slots + 1)[1:-1]]
    if rng.random() < 0.5:
        cross = int(rng.integers(3, 8))
        bars += [((size[0], rib, thick * 0.7), (0, b, 0)) for b in np.linspace(-y, y, cross + 1)[1:-1]]
    pieces: list[Piece] = [(rounded_box(s, thick * 0.2, 1).at(*at), images, coat) for s, at in bars]
    if rng.random() < 0.4:
        reach, rise = rng.uniform(0.06, 0.14), rng.uniform(0, 0.03)
        handle = curve([[x, 0, 0], [x + reach * 0.4, 0, rise], [x + reach, 0, rise]])
        pieces.append((tube(handle, rng.uniform(0.003, 0.007), superellipse(10, 3)), *_plastic(rng)))
    return pieces


def ring(rng: Rng) -> list[Piece]:
    """A roll of tape, a washer, a bangle, a gasket."""
    r = rng.uniform(0.015, 0.06)
    thick, high = r * rng.uniform(0.08, 0.4), rng.uniform(0.004, 0.05)
    images, coat = _plastic(rng) if rng.random() < 0.6 else _steel(rng)
    a = np.linspace(0, 2 * np.pi, 49)
    path = np.stack([r * np.cos(a), r * np.sin(a), 0 * a], 1)
    section = superellipse(16, rng.choice([2.0, 8.0])) * np.array([0.5, high / thick / 2])  # out, up
    return [(tube(path, thick, section), images, coat)]


def whisk(rng: Rng) -> list[Piece]:
    """Loops of wire on a handle: a whisk, a racket, an opener, a key ring."""
    length, wide = rng.uniform(0.1, 0.25), rng.uniform(0.015, 0.04)
    grip = length * rng.uniform(0.3, 0.6)
    images, coat = _steel(rng)
    thick = rng.uniform(0.004, 0.011)
    handle = tube(np.linspace([0, 0, 0], [grip, 0, 0], 4), thick, superellipse(14, rng.uniform(2, 5)))
    pieces: list[Piece] = [(handle, *(_plastic(rng) if rng.random() < 0.6 else (images, coat)))]
    loops = int(rng.choice([1, 2, 4, 5]))
    for k in range(loops):
        middle = (grip + length) / 2
        loop = _arc(middle, 0, middle - grip + thick, wide, 0.0, 2 * np.pi)
        tilt = np.pi * k / loops
        c, s = np.cos(tilt), np.sin(tilt)
        R = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
        pieces.append((tube(loop @ R.T, rng.uniform(0.0009, 0.003), superellipse(8)), images, coat))
    return pieces


THIN: dict[str, tuple[Callable[[Rng], list[Piece]], float]] = {
    "scissors": (scissors, 0.22),
    "cutlery": (cutlery, 0.18),
    "spanner": (spanner, 0.1),
    "rack": (rack, 0.1),
    "basket": (basket, 0.1),
    "grille": (grille, 0.12),
    "ring": (ring, 0.1),
    "whisk": (whisk, 0.08),
}
"""Each kind with its share of the thin objects."""


def thin_object(rng: Rng) -> TexturedMesh:
    """One thin or perforated object, metres."""
    weights = np.array([share for _, share in THIN.values()])
    name = list(THIN)[rng.choice(len(weights), p=weights / weights.sum())]
    return assemble(THIN[name][0](rng), name, upright=name in ("rack", "basket"))
