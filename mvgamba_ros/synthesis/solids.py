"""Solid things: cartons, tools, fruit, toys, letters, stones, and unions of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mvgamba_ros.synthesis import textures as tex
from mvgamba_ros.synthesis.draw import Piece, Rng, curve, gloss, metal_gloss, rotation, section_of
from mvgamba_ros.synthesis.textured_mesh import (
    Material,
    bend,
    hull,
    loft,
    polygon,
    rounded_box,
    superellipse,
    taper,
    tube,
    twist,
)
from mvgamba_ros.synthesis.vessels import can, hollow

_X_UP = np.array([[0.0, 0, -1], [0, 1, 0], [1, 0, 0]])  # lays a part's z along -x


def box(rng: Rng) -> list[Piece]:
    """A printed carton, a plain block, a book, a soap bar."""
    size = np.exp(rng.uniform(np.log(0.025), np.log(0.26), 3))
    size = np.maximum(size, size.max() * 0.08)
    radius = size.min() * (rng.uniform(0.005, 0.05) if rng.random() < 0.6 else rng.uniform(0.05, 0.48))
    kind = rng.random()
    faces = tex.package(rng, 6) if kind < 0.65 else [tex.anything(rng)] * 6
    part = rounded_box(size, radius)
    if rng.random() < 0.15:
        part = part.moved(lambda p: taper(p, rng.uniform(0.7, 0.95)))
    return [(part, faces, gloss(rng))]


def gable_carton(rng: Rng) -> list[Piece]:
    """A milk or juice carton: box, roof, ridge, perhaps a screw cap."""
    w, d = rng.uniform(0.05, 0.1), rng.uniform(0.8, 1.2)
    d *= w
    h, roof, ridge = w * rng.uniform(1.1, 2.6), w * rng.uniform(0.25, 0.6), w * rng.uniform(0.08, 0.25)
    faces = tex.package(rng, 6)
    top = np.array([[x, y, h] for x in (-w / 2, w / 2) for y in (-d / 2, d / 2)])
    line = np.array([[x, y, h + roof] for x in (-w / 2, w / 2) for y in (-0.002, 0.002)])
    carton = gloss(rng)
    pieces: list[Piece] = [
        (rounded_box((w, d, h), 0.002).at(0, 0, h / 2), faces, carton),
        (hull(np.concatenate([top, line])), [faces[0] if rng.random() < 0.5 else tex.printed(rng)], carton),
        (rounded_box((w, 0.005, ridge), 0.001).at(0, 0, h + roof + ridge / 2 - 0.001), [faces[4]] * 6, carton),
    ]
    if rng.random() < 0.5:
        a, r, tall = np.arctan2(roof, d / 2), w * rng.uniform(0.12, 0.22), w * rng.uniform(0.1, 0.25)
        cap = loft(np.array([[0, -0.005], [r, -0.005], [r, tall], [0, tall]]), superellipse(28))
        R = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
        pieces.append((cap.turned(R).at(0, -d / 4, h + roof / 2), [tex.plain(rng)], gloss(rng)))
    return pieces


def tool(rng: Rng) -> list[Piece]:
    """A hammer, screwdriver, spatula, brush, spanner, torch or mallet, lying along x."""
    length, grip_r = rng.uniform(0.1, 0.28), rng.uniform(0.007, 0.016)
    share = rng.uniform(0.3, 0.7)
    grip_end = length * share
    k = int(rng.integers(4, 8))
    radii = grip_r * rng.uniform(0.75, 1.15, k)
    bulge = curve(np.stack([radii, np.linspace(0.01, 1, k) * grip_end], 1))
    profile = np.concatenate([[[0, 0]], bulge, [[0, grip_end]]])
    grip = loft(profile, superellipse(24, rng.uniform(2, 4)) * np.array([1, rng.uniform(0.6, 1)]))
    shaft_r = grip_r * rng.uniform(0.25, 0.7)
    shaft = loft(
        np.array([[0, grip_end * 0.9], [shaft_r, grip_end * 0.9], [shaft_r, length], [0, length]]), superellipse(20)
    )
    steel = tex.metal(rng)
    pieces: list[Piece] = [
        (grip, [tex.anything(rng)], gloss(rng)),
        (shaft, [steel if rng.random() < 0.7 else tex.plain(rng)], metal_gloss(rng)),
    ]
    head = rng.choice(["bar", "blade", "cylinder", "ball", "fork", "ring", "none"])
    w = rng.uniform(0.015, 0.05)
    face = [steel if rng.random() < 0.6 else tex.plain(rng)] * 6
    coat = metal_gloss(rng) if rng.random() < 0.6 else gloss(rng)
    if head == "bar":
        pieces.append((rounded_box((w * 2, w * 0.6, w * 0.6), w * rng.uniform(0.02, 0.2)).at(0, 0, length), face, coat))
    elif head == "blade":
        part = rounded_box((w, 0.004, w * rng.uniform(1, 3)), 0.0015)
        pieces.append((part.at(0, 0, length + w * 0.4), face, coat))
    elif head == "cylinder":
        part = loft(np.array([[0, -w], [w * 0.5, -w], [w * 0.5, w], [0, w]]), superellipse(32)).turned(_X_UP)
        pieces.append((part.at(0, 0, length), face, coat))
    elif head == "ball":
        a = np.linspace(-np.pi / 2, np.pi / 2, 14)
        part = loft(np.stack([np.cos(a) * w * 0.5, np.sin(a) * w * rng.uniform(0.4, 1)], 1), superellipse(28))
        pieces.append((part.at(0, 0, length), face, coat))
    elif head == "fork":
        for x in np.linspace(-w / 2, w / 2, int(rng.integers(2, 5))):
            pieces.append((rounded_box((0.004, 0.003, w * 1.5), 0.001).at(x, 0, length + w * 0.7), face, coat))
        pieces.append((rounded_box((w + 0.004, 0.004, 0.008), 0.001).at(0, 0, length), face, coat))
    elif head == "ring":
        a = np.linspace(0.0, 2 * np.pi * rng.uniform(0.7, 0.98), 28) - np.pi / 2
        ring = np.stack([np.cos(a) * w * 0.5, np.zeros(28), np.sin(a) * w * 0.5 + length + w * 0.45], 1)
        pieces.append((tube(ring, w * rng.uniform(0.1, 0.2), superellipse(14, 4)), face, coat))
    return [(p.turned(_X_UP.T), images, m) for p, images, m in pieces]


def fruit(rng: Rng) -> list[Piece]:
    """A banana, cucumber, carrot, potato, pear, egg, apple, bread: a bent taper or a lumpy ball."""
    image, coat = tex.skin(rng), gloss(rng)
    if rng.random() < 0.45:
        length, r = rng.uniform(0.06, 0.22), rng.uniform(0.012, 0.03)
        n = 24
        s = np.linspace(0, 1, n)
        power = rng.uniform(2, 8)
        radius = r * (1 - np.abs(2 * s - 1) ** power) ** 0.5 * (1 - rng.uniform(0, 0.7) * s) + 0.0015
        path = np.stack([length * (s - 0.5), np.zeros(n), np.zeros(n)], 1)
        section = superellipse(24, rng.uniform(1.7, 2.6))
        part = tube(path, radius, section)
        angle = rng.uniform(-1.8, 1.8)
        return [(part.moved(lambda p: bend(p, angle)), [image], coat)]
    r = rng.uniform(0.02, 0.06)
    a = np.linspace(-np.pi / 2, np.pi / 2, 22)
    pear = 1 - rng.uniform(0, 0.45) * np.clip(np.sin(a), 0, 1) ** 2
    stretch = rng.uniform(0.6, 1.8)
    dent = rng.uniform(0, 0.25) * np.exp(-(((a - np.pi / 2) / 0.4) ** 2))
    profile = np.stack([r * np.cos(a) * pear, r * stretch * (np.sin(a) - dent)], 1)
    profile[[0, -1], 0] = 0
    part = loft(profile, superellipse(32))
    lumps = rng.normal(0, 1, (5, 3)) * 2.5 / r
    size, phase = rng.uniform(0, 0.05), rng.uniform(0, 6, 5)
    part = part.moved(lambda p: p * (1 + size * np.sin(p @ lumps.T + phase).sum(1, keepdims=True) / 2))
    pieces: list[Piece] = [(part, [image], coat)]
    if rng.random() < 0.3:
        top = float(part.vertices[:, 2].max())
        stem = curve([[0, 0, top - 0.012], [0, 0, top + 0.004], [0.004, 0.002, top + 0.015]])
        pieces.append((tube(stem, 0.0018, superellipse(8)), [tex.wood(rng)], Material(0.02)))
    return pieces


def superquadric(rng: Rng) -> list[Piece]:
    """A toy block, cushion, soap: round, square or pinched both ways; sometimes tapered, bent or twisted."""
    size = np.exp(rng.uniform(np.log(0.015), np.log(0.12), 3))
    size = np.maximum(size, size.max() * 0.15)
    profile = superellipse(64, rng.uniform(1.1, 7))
    right = np.roll(profile, 16, 0)[: 64 // 2 + 1] * np.array([1, 1])  # from (0, -1) round to (0, 1)
    right = right[np.argsort(right[:, 1])]
    right[[0, -1], 0] = 0
    part = loft(
        np.stack([right[:, 0] * size[0], right[:, 0] * size[1], right[:, 1] * size[2]], 1),
        superellipse(36, rng.uniform(1.1, 7)),
    )
    if rng.random() < 0.25:
        part = part.moved(lambda p: taper(p, rng.uniform(0.3, 1.0)))
    if rng.random() < 0.2:
        part = part.moved(lambda p: twist(p, rng.uniform(-1.2, 1.2)))
    if rng.random() < 0.25:
        part = part.moved(lambda p: bend(p, rng.uniform(-1.2, 1.2)))
    return [(part, [tex.anything(rng)], gloss(rng))]


def prism(rng: Rng) -> list[Piece]:
    """A block over a star, gear, polygon or blob, straight, tapered or twisted; a vase when hollow."""
    kind = rng.choice(4)
    if kind == 0:
        k = int(rng.integers(4, 9))
        a = np.arange(2 * k) * (np.pi / k)
        tips = np.where(np.arange(2 * k) % 2, rng.uniform(0.4, 0.85), 1.0)
        section = polygon(np.stack([tips * np.cos(a), tips * np.sin(a)], 1), 64)
    elif kind == 1:
        a = np.arange(80) * (2 * np.pi / 80)
        waves = [rng.uniform(0, 0.15) * np.cos(k * a + rng.uniform(0, 6)) for k in (2, 3, 4)]
        outline = 1 + np.sum(waves, axis=0)
        section = np.stack([outline * np.cos(a), outline * np.sin(a)], 1)
    else:
        section = section_of(rng, 0.1)
    r = rng.uniform(0.015, 0.07)
    h = float(np.clip(r * np.exp(rng.uniform(np.log(0.3), np.log(6))), 0.012, 0.28))
    if rng.random() < 0.3:
        z = np.linspace(0, 1, 7)
        outer = curve(np.stack([r * rng.uniform(0.6, 1.1, 7), z * h], 1))
        profile = hollow(outer, min(r * 0.08, 0.004), min(0.005, h / 4))
    else:
        bevel = min(r, h) * rng.uniform(0.005, 0.15)
        side = np.stack([np.full(9, r), np.linspace(bevel, h - bevel, 9)], 1)
        profile = np.concatenate([[[0, 0], [r - bevel, 0]], side, [[r - bevel, h], [0, h]]])
    part = loft(profile, section)
    if rng.random() < 0.3:
        part = part.moved(lambda p: taper(p, rng.uniform(0.4, 1.2)))
    if rng.random() < 0.3:
        part = part.moved(lambda p: twist(p, rng.uniform(-1.5, 1.5)))
    return [(part, [tex.anything(rng)], gloss(rng))]


_STROKES: dict[str, list[tuple[float, float, float, float]]] = {
    "L": [(0, 0, 0, 2), (0, 0, 1, 0)],
    "T": [(0.5, 0, 0.5, 2), (0, 2, 1, 2)],
    "H": [(0, 0, 0, 2), (1, 0, 1, 2), (0, 1, 1, 1)],
    "E": [(0, 0, 0, 2), (0, 0, 1, 0), (0, 1, 0.8, 1), (0, 2, 1, 2)],
    "F": [(0, 0, 0, 2), (0, 1, 0.8, 1), (0, 2, 1, 2)],
    "X": [(0, 0, 1, 2), (0, 2, 1, 0)],
    "Z": [(0, 2, 1, 2), (1, 2, 0, 0), (0, 0, 1, 0)],
    "N": [(0, 0, 0, 2), (0, 2, 1, 0), (1, 0, 1, 2)],
    "A": [(0, 0, 0.5, 2), (0.5, 2, 1, 0), (0.25, 0.8, 0.75, 0.8)],
    "O": [(0, 0, 0, 2), (1, 0, 1, 2), (0, 0, 1, 0), (0, 2, 1, 2)],
    "U": [(0, 0, 0, 2), (1, 0, 1, 2), (0, 0, 1, 0)],
    "S": [(0, 2, 1, 2), (0, 1, 0, 2), (0, 1, 1, 1), (1, 0, 1, 1), (0, 0, 1, 0)],
    "+": [(0.5, 0, 0.5, 1), (0, 0.5, 1, 0.5)],
    "Y": [(0.5, 0, 0.5, 1), (0.5, 1, 0, 2), (0.5, 1, 1, 2)],
    "K": [(0, 0, 0, 2), (0, 0.8, 1, 2), (0.3, 1.1, 1, 0)],
}


def letter(rng: Rng) -> list[Piece]:
    """A letter, bracket or pipe fitting of bars or round rods."""
    strokes = _STROKES[str(rng.choice(list(_STROKES)))]
    scale, stretch = rng.uniform(0.025, 0.1), rng.uniform(0.5, 1.2)
    thick = scale * rng.uniform(0.15, 0.5)
    deep = thick * rng.uniform(0.5, 2.0)
    rods = rng.random() < 0.3
    image, coat = tex.anything(rng), gloss(rng)
    pieces: list[Piece] = []
    for index, (x0, z0, x1, z1) in enumerate(strokes):
        a, b = np.array([x0, z0 * stretch]) * scale, np.array([x1, z1 * stretch]) * scale
        along, mid = (b - a) / np.linalg.norm(b - a), (a + b) / 2
        length = float(np.linalg.norm(b - a)) + thick * (0.999 - 0.002 * index)
        part = (
            loft(
                np.array([[0, -length / 2], [thick / 2, -length / 2], [thick / 2, length / 2], [0, length / 2]]),
                superellipse(24),
            )
            if rods
            else rounded_box((thick, deep * (1 - 0.002 * index), length), thick * 0.06)
        )
        R = np.array([[along[1], 0, along[0]], [0, 1, 0], [-along[0], 0, along[1]]])
        pieces.append((part.turned(R).at(mid[0], 0, mid[1]), [image] * 6, coat))
    return pieces


def rock(rng: Rng) -> list[Piece]:
    """A faceted lump: stone, wedge, crumpled packet."""
    size = np.exp(rng.uniform(np.log(0.02), np.log(0.1), 3))
    size = np.maximum(size, size.max() * 0.2)
    p = rng.normal(size=(int(rng.integers(8, 40)), 3))
    p /= np.linalg.norm(p, axis=1, keepdims=True) ** rng.uniform(0.5, 1.0)
    return [(hull(p * size), [tex.anything(rng)], gloss(rng))]


def union(rng: Rng) -> list[Piece]:
    """Two to four overlapping primitives: toys, connectors, dispensers, machine parts."""
    simple = (box, can, superquadric, prism, fruit, rock)
    pieces: list[Piece] = []
    r = rng.uniform(0.03, 0.07)
    for _ in range(int(rng.integers(2, 5))):
        part, images, coat = simple[rng.integers(len(simple))](rng)[0]
        low, high = part.vertices.min(0), part.vertices.max(0)
        scale = r * np.exp(rng.uniform(-0.7, 0.5)) * 2 / (high - low).max()
        where = np.zeros(3)
        if pieces:
            # centred near a vertex of what is there already, so that the two overlap
            other = pieces[rng.integers(len(pieces))][0].vertices
            where = other[rng.integers(len(other))] * rng.uniform(0.6, 1.0)
        R = np.eye(3)[:, [[0, 1, 2], [1, 2, 0], [2, 0, 1]][rng.integers(3)]] if rng.random() < 0.6 else rotation(rng)
        centre = (low + high) / 2
        placed = (part.vertices - centre) * scale @ R.T + where
        pieces.append((replace(part, vertices=placed), images, coat))
    return pieces
