"""Families of household and warehouse objects, 2 to 30 cm, by parameters: each call draws another one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mvgamba_ros.training.data import textures as tex
from mvgamba_ros.training.data.mesh import (
    Material,
    Part,
    TexturedMesh,
    assemble,
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

F64 = NDArray[np.float64]
U8 = NDArray[np.uint8]
Rng = np.random.Generator
Piece = tuple[Part, Sequence[U8], Material]

_X_UP = np.array([[0.0, 0, -1], [0, 1, 0], [1, 0, 0]])  # lays a part's z along -x
_ROUND = 40


def _material(rng: Rng, image: U8 | None = None) -> Material:
    """Matt, satin or glossy."""
    kind = rng.choice(3, p=[0.4, 0.35, 0.25])
    specular = [rng.uniform(0, 0.08), rng.uniform(0.08, 0.3), rng.uniform(0.3, 0.8)][kind]
    return Material(float(specular), float(np.exp(rng.uniform(np.log(8), np.log(150)))))


def _metal(rng: Rng) -> Material:
    return Material(float(rng.uniform(0.3, 0.9)), float(rng.uniform(15, 90)), float(rng.uniform(0.3, 0.9)))


def _curve(points: Sequence[Sequence[float]], rounds: int = 2) -> F64:
    """A polyline with its corners cut (Chaikin), its ends kept."""
    p = np.asarray(points, np.float64)
    for _ in range(rounds):
        q, r = p[:-1] * 0.75 + p[1:] * 0.25, p[:-1] * 0.25 + p[1:] * 0.75
        p = np.concatenate([p[:1], np.stack([q, r], 1).reshape(-1, p.shape[1]), p[-1:]])
    return p


def _section(rng: Rng, round_share: float = 0.6) -> F64:
    """A circle, a rounded square, a polygon or a fluted circle."""
    kind = rng.random()
    if kind < round_share:
        return superellipse(_ROUND)
    if kind < round_share + (1 - round_share) * 0.6:
        return superellipse(_ROUND, rng.uniform(2.3, 8)) * np.array([1, rng.uniform(0.45, 1)])
    sides = int(rng.integers(3, 9))
    a = np.arange(sides) * (2 * np.pi / sides)
    if rng.random() < 0.6:
        return polygon(np.stack([np.cos(a), np.sin(a)], 1), _ROUND)
    a = np.arange(96) * (2 * np.pi / 96)
    r = 1 + rng.uniform(0.02, 0.12) * np.cos(a * rng.integers(4, 17))
    return np.stack([r * np.cos(a), r * np.sin(a)], 1)


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
    return [(part, faces, _material(rng))]


def gable_carton(rng: Rng) -> list[Piece]:
    """A milk or juice carton: box, roof, ridge, perhaps a screw cap."""
    w, d = rng.uniform(0.05, 0.1), rng.uniform(0.8, 1.2)
    d *= w
    h, roof, ridge = w * rng.uniform(1.1, 2.6), w * rng.uniform(0.25, 0.6), w * rng.uniform(0.08, 0.25)
    faces = tex.package(rng, 6)
    top = np.array([[x, y, h] for x in (-w / 2, w / 2) for y in (-d / 2, d / 2)])
    line = np.array([[x, y, h + roof] for x in (-w / 2, w / 2) for y in (-0.002, 0.002)])
    carton = _material(rng)
    pieces: list[Piece] = [
        (rounded_box((w, d, h), 0.002).at(0, 0, h / 2), faces, carton),
        (hull(np.concatenate([top, line])), [faces[0] if rng.random() < 0.5 else tex.printed(rng)], carton),
        (rounded_box((w, 0.005, ridge), 0.001).at(0, 0, h + roof + ridge / 2 - 0.001), [faces[4]] * 6, carton),
    ]
    if rng.random() < 0.5:
        a, r, tall = np.arctan2(roof, d / 2), w * rng.uniform(0.12, 0.22), w * rng.uniform(0.1, 0.25)
        cap = loft(np.array([[0, -0.005], [r, -0.005], [r, tall], [0, tall]]), superellipse(28))
        R = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
        pieces.append((cap.turned(R).at(0, -d / 4, h + roof / 2), [tex.plain(rng)], _material(rng)))
    return pieces


def can(rng: Rng) -> list[Piece]:
    """A tin with rims, a drink can, a tub, a candle, a spool: low or tall, mostly round."""
    r, h = rng.uniform(0.015, 0.07), 0.0
    h = float(np.clip(r * np.exp(rng.uniform(np.log(0.5), np.log(5))), 0.02, 0.3))
    lip, sunk = r * rng.uniform(0.9, 1.0), rng.uniform(0, 0.008)
    neck = min(r * rng.uniform(0, 0.35), h * 0.2) if rng.random() < 0.5 else 0.001
    profile = [[0, sunk], [lip * 0.93, sunk], [lip * 0.96, 0], [lip, 0], [r, neck * 0.6 + 1e-4], [r, h - neck]]
    profile += [[lip, h], [lip * 0.94, h], [lip * 0.92, h - sunk], [0, h - sunk - 1e-4]]
    ribs = []
    if rng.random() < 0.3:
        z = np.linspace(neck + 0.1 * h, h - neck - 0.1 * h, 24)
        ribs = [[r * (1 + 0.015 * np.cos(2 * np.pi * k / 3)), q] for k, q in enumerate(z)]
        profile[5:5] = ribs
    body = loft(np.array(profile), superellipse(48) if rng.random() < 0.85 else _section(rng, 0))
    ends = tex.metal(rng) if rng.random() < 0.6 else tex.plain(rng)
    image = tex.wrapped(rng, ends, 0.18, 0.82) if rng.random() < 0.85 else tex.anything(rng)
    return [(body, [image], _material(rng) if rng.random() < 0.6 else _metal(rng))]


def bottle(rng: Rng) -> list[Piece]:
    """A bottle or jar by revolution, or with a square or oval section, with its cap and its label."""
    r = rng.uniform(0.015, 0.055)
    h = float(np.clip(r * rng.uniform(1.8, 7.5), 0.04, 0.26))
    shoulder, neck_z = rng.uniform(0.5, 0.85), rng.uniform(0.86, 0.95)
    neck = r * rng.uniform(0.2, 0.8)
    waist, w0 = rng.uniform(0.8, 1.05), rng.uniform(0.2, 0.6)
    sides = [[r * 0.92, 0], [r, 0.03 * h], [r * (1 + waist) / 2, w0 * 0.5 * h], [r * waist, w0 * h], [r, shoulder * h]]
    upper = [[(r + neck) / 2, (shoulder + neck_z) / 2 * h], [neck, neck_z * h], [neck, h]]
    profile = np.concatenate([[[0, rng.uniform(0, 0.004)]], _curve(sides + upper), [[0, h]]])
    section = _section(rng, 0.65)
    glass = tex.plain(rng) if rng.random() < 0.75 else tex.gradient(rng)
    low = 1 - shoulder * rng.uniform(0.75, 1.0)
    image = tex.wrapped(rng, glass, low, low + rng.uniform(0.2, 0.6)) if rng.random() < 0.8 else glass
    body = loft(profile, section)
    pieces: list[Piece] = [(body, [image], _material(rng))]
    if rng.random() < 0.85:
        cap, tall = neck * rng.uniform(1.05, 1.35), h * rng.uniform(0.04, 0.16)
        bottom = h - tall * rng.uniform(0.2, 0.7)
        top = cap * rng.uniform(0.35, 1)
        lid = [
            [0, bottom],
            [cap, bottom],
            [(cap + top) / 2, bottom + tall * 0.9],
            [top, bottom + tall],
            [0, bottom + tall],
        ]
        pieces.append((loft(np.array(lid), superellipse(_ROUND)), [tex.plain(rng)], _material(rng)))
        if rng.random() < 0.15:
            spout = np.array([[0, 0, bottom + tall], [0, 0, bottom + 2 * tall], [3 * cap, 0, bottom + 2.2 * tall]])
            pieces.append((tube(_curve(spout), cap * 0.3, superellipse(16)), [tex.plain(rng)], _material(rng)))
    if rng.random() < 0.1:
        pieces.append(_handle(rng, lambda z: r, 0.25 * h, 0.75 * h, r * rng.uniform(0.4, 0.8), image))
    return pieces


def _hollow(outer: F64, wall: float, floor: float) -> F64:
    """An outside profile (from the bottom's rim to the lip), closed through the axis by an inside one."""
    inside = outer[::-1].copy()
    inside[:, 0] = np.maximum(inside[:, 0] - wall, 1e-3)
    inside = inside[inside[:, 1] > floor]
    foot = np.interp(floor, outer[:, 1], outer[:, 0]) - wall
    return np.concatenate([[[0, 0]], outer, inside, [[max(foot, 2e-3), floor], [0, floor]]])


def _handle(rng: Rng, radius: Callable[[float], float], low: float, high: float, reach: float, image: U8) -> Piece:
    """A handle on a vessel whose outside has ``radius(z)``, between two heights, reaching out by ``reach``."""
    a, b = radius(low) * 0.97, radius(high) * 0.97
    out = max(a, b) + reach
    droop = rng.uniform(-0.1, 0.25) * (high - low)
    path = [[a, 0, low], [out * 0.97, 0, low + droop], [out, 0, (low + high) / 2], [out * 0.98, 0, high], [b, 0, high]]
    thick = float(np.clip(reach * rng.uniform(0.12, 0.25), 0.0025, 0.008))
    section = superellipse(14, rng.uniform(2, 5)) * np.array([1, rng.uniform(0.8, 2.0)])
    return tube(_curve(path, 3), thick, section), [image], _material(rng)


def mug(rng: Rng) -> list[Piece]:
    """A cup, mug or tumbler: hollow, with a handle, two or none."""
    r, h = rng.uniform(0.025, 0.055), 0.0
    h = r * rng.uniform(1.2, 3.2)
    foot, belly = rng.uniform(0.6, 1.05), rng.uniform(0.9, 1.15)
    outer = _curve([[r * foot * 0.9, 0], [r * foot, 0.03 * h], [r * belly, h * rng.uniform(0.3, 0.6)], [r, h]])
    wall = float(np.clip(r * rng.uniform(0.05, 0.13), 0.0015, 0.006))
    section = superellipse(48) if rng.random() < 0.85 else _section(rng, 0)
    body = loft(_hollow(outer, wall, max(wall, 0.03 * h)), section)
    base = tex.plain(rng)
    kind = rng.random()
    # the outside is the lower half of the tile: the profile runs from the foot up, over the lip and down inside
    image = (
        tex.wrapped(rng, base, 0.5, rng.uniform(0.7, 0.9))
        if kind < 0.45
        else base
        if kind < 0.75
        else tex.anything(rng)
    )
    gloss = _material(rng)
    pieces: list[Piece] = [(body, [image], gloss)]
    handles = rng.choice([0, 1, 2], p=[0.2, 0.7, 0.1])
    low, high, reach = h * rng.uniform(0.1, 0.3), h * rng.uniform(0.65, 0.9), r * rng.uniform(0.4, 0.85)
    for k in range(handles):
        part, _, _ = _handle(rng, lambda z: float(np.interp(z, outer[:, 1], outer[:, 0])), low, high, reach, image)
        part = part.moved(lambda p: p * np.array([-1, -1, 1])) if k else part
        pieces.append((part, [base if rng.random() < 0.8 else tex.plain(rng)], gloss))
    return pieces


def bowl(rng: Rng) -> list[Piece]:
    """A bowl, plate, dish, tray or basket."""
    r = rng.uniform(0.04, 0.14)
    h = r * (rng.uniform(0.1, 0.3) if rng.random() < 0.4 else rng.uniform(0.4, 1.2))
    foot = rng.uniform(0.35, 0.9)
    points = [[r * foot * 0.95, 0], [r * foot, 0.06 * h], [r * rng.uniform(foot, 1), h * rng.uniform(0.3, 0.7)], [r, h]]
    if rng.random() < 0.3:
        points.append([r * rng.uniform(1.02, 1.2), h * rng.uniform(1.0, 1.05)])
    wall = float(np.clip(r * rng.uniform(0.02, 0.07), 0.0015, 0.006))
    section = superellipse(56) if rng.random() < 0.75 else _section(rng, 0)
    body = loft(_hollow(_curve(points), wall, max(wall, 0.08 * h)), section)
    return [(body, [tex.plain(rng) if rng.random() < 0.5 else tex.anything(rng)], _material(rng))]


def pan(rng: Rng) -> list[Piece]:
    """A frying pan, pot or ladle: a hollow vessel with a long handle or two short ones, perhaps a lid."""
    r = rng.uniform(0.03, 0.1)
    h = r * rng.uniform(0.2, 1.3)
    outer = _curve([[r * rng.uniform(0.7, 0.98), 0], [r * 0.98, 0.1 * h], [r, h]])
    wall = float(np.clip(r * 0.03, 0.0015, 0.004))
    finish = tex.metal(rng) if rng.random() < 0.6 else tex.plain(rng)
    pieces: list[Piece] = [(loft(_hollow(outer, wall, wall * 1.5), superellipse(56)), [finish], _metal(rng))]
    grip = tex.plain(rng) if rng.random() < 0.6 else tex.wood(rng)
    if rng.random() < 0.75:
        length, rise = min(r * rng.uniform(1.0, 2.2), 0.29 - r), r * rng.uniform(-0.05, 0.5)
        z = h * rng.uniform(0.7, 0.95)
        path = _curve([[r * 0.97, 0, z], [r + length * 0.3, 0, z + rise * 0.6], [r + length, 0, z + rise]])
        thick = rng.uniform(0.004, 0.009) * np.interp(np.linspace(0, 1, len(path)), [0, 0.3, 1], [0.7, 0.8, 1.2])
        section = superellipse(16, rng.uniform(2, 5)) * np.array([rng.uniform(0.5, 1), 1])
        pieces.append((tube(path, thick, section), [grip], _material(rng)))
    else:
        for sign in (1, -1):
            a = np.linspace(0, np.pi, 14)
            loop = np.stack([np.sin(a) * r * 0.3 + r * 0.97, np.cos(a) * r * 0.35, np.full(14, h * 0.85)], 1)
            part = tube(loop, rng.uniform(0.003, 0.005), superellipse(12))
            pieces.append((part.moved(lambda p, s=sign: p * np.array([s, s, 1])), [grip], _material(rng)))
    if rng.random() < 0.25:
        lid = [[0, h], [r * 1.02, h], [r * 1.02, h * 1.04], [r * 0.3, h + r * 0.2], [r * 0.1, h + r * 0.2]]
        lid += [[r * 0.18, h + r * 0.35], [0, h + r * 0.38]]
        pieces.append((loft(np.array(lid), superellipse(48)), [finish], _metal(rng)))
    return pieces


def tool(rng: Rng) -> list[Piece]:
    """A hammer, screwdriver, spatula, brush, spanner, torch or mallet, lying along x."""
    length, grip_r = rng.uniform(0.1, 0.28), rng.uniform(0.007, 0.016)
    share = rng.uniform(0.3, 0.7)
    grip_end = length * share
    k = int(rng.integers(4, 8))
    radii = grip_r * rng.uniform(0.75, 1.15, k)
    bulge = _curve(np.stack([radii, np.linspace(0.01, 1, k) * grip_end], 1).tolist())
    profile = np.concatenate([[[0, 0]], bulge, [[0, grip_end]]])
    grip = loft(profile, superellipse(24, rng.uniform(2, 4)) * np.array([1, rng.uniform(0.6, 1)]))
    shaft_r = grip_r * rng.uniform(0.25, 0.7)
    shaft = loft(
        np.array([[0, grip_end * 0.9], [shaft_r, grip_end * 0.9], [shaft_r, length], [0, length]]), superellipse(20)
    )
    steel = tex.metal(rng)
    pieces: list[Piece] = [
        (grip, [tex.anything(rng)], _material(rng)),
        (shaft, [steel if rng.random() < 0.7 else tex.plain(rng)], _metal(rng)),
    ]
    head = rng.choice(["bar", "blade", "cylinder", "ball", "fork", "ring", "none"])
    w = rng.uniform(0.015, 0.05)
    face = [steel if rng.random() < 0.6 else tex.plain(rng)] * 6
    gloss = _metal(rng) if rng.random() < 0.6 else _material(rng)
    if head == "bar":
        pieces.append(
            (rounded_box((w * 2, w * 0.6, w * 0.6), w * rng.uniform(0.02, 0.2)).at(0, 0, length), face, gloss)
        )
    elif head == "blade":
        part = rounded_box((w, 0.004, w * rng.uniform(1, 3)), 0.0015)
        pieces.append((part.at(0, 0, length + w * 0.4), face, gloss))
    elif head == "cylinder":
        part = loft(np.array([[0, -w], [w * 0.5, -w], [w * 0.5, w], [0, w]]), superellipse(32)).turned(_X_UP)
        pieces.append((part.at(0, 0, length), face, gloss))
    elif head == "ball":
        a = np.linspace(-np.pi / 2, np.pi / 2, 14)
        part = loft(np.stack([np.cos(a) * w * 0.5, np.sin(a) * w * rng.uniform(0.4, 1)], 1), superellipse(28))
        pieces.append((part.at(0, 0, length), face, gloss))
    elif head == "fork":
        for x in np.linspace(-w / 2, w / 2, int(rng.integers(2, 5))):
            pieces.append((rounded_box((0.004, 0.003, w * 1.5), 0.001).at(x, 0, length + w * 0.7), face, gloss))
        pieces.append((rounded_box((w + 0.004, 0.004, 0.008), 0.001).at(0, 0, length), face, gloss))
    elif head == "ring":
        a = np.linspace(0.0, 2 * np.pi * rng.uniform(0.7, 0.98), 28) - np.pi / 2
        ring = np.stack([np.cos(a) * w * 0.5, np.zeros(28), np.sin(a) * w * 0.5 + length + w * 0.45], 1)
        pieces.append((tube(ring, w * rng.uniform(0.1, 0.2), superellipse(14, 4)), face, gloss))
    return [(p.turned(_X_UP.T), images, m) for p, images, m in pieces]


def fruit(rng: Rng) -> list[Piece]:
    """A banana, cucumber, carrot, potato, pear, egg, apple, bread: a bent taper or a lumpy ball."""
    image, gloss = tex.skin(rng), _material(rng)
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
        return [(part.moved(lambda p: bend(p, angle)), [image], gloss)]
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
    pieces: list[Piece] = [(part, [image], gloss)]
    if rng.random() < 0.3:
        top = float(part.vertices[:, 2].max())
        stem = _curve([[0, 0, top - 0.012], [0, 0, top + 0.004], [0.004, 0.002, top + 0.015]])
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
    return [(part, [tex.anything(rng)], _material(rng))]


def prism(rng: Rng) -> list[Piece]:
    """A block over a star, gear, polygon or blob, straight, tapered or twisted; a vase when hollow."""
    kind = rng.choice(4)
    if kind == 0:
        k = int(rng.integers(4, 9))
        a = np.arange(2 * k) * (np.pi / k)
        r = np.where(np.arange(2 * k) % 2, rng.uniform(0.4, 0.85), 1.0)
        section = polygon(np.stack([r * np.cos(a), r * np.sin(a)], 1), 64)
    elif kind == 1:
        a = np.arange(80) * (2 * np.pi / 80)
        r = 1 + sum(rng.uniform(0, 0.15) * np.cos(k * a + rng.uniform(0, 6)) for k in (2, 3, 4))
        section = np.stack([r * np.cos(a), r * np.sin(a)], 1)
    else:
        section = _section(rng, 0.1)
    r = rng.uniform(0.015, 0.07)
    h = float(np.clip(r * np.exp(rng.uniform(np.log(0.3), np.log(6))), 0.012, 0.28))
    if rng.random() < 0.3:
        z = np.linspace(0, 1, 7)
        outer = _curve(np.stack([r * rng.uniform(0.6, 1.1, 7), z * h], 1).tolist())
        profile = _hollow(outer, min(r * 0.08, 0.004), min(0.005, h / 4))
    else:
        z = np.linspace(0, h, 9)
        bevel = min(r, h) * rng.uniform(0.005, 0.15)
        side = np.stack([np.full(9, r), np.linspace(bevel, h - bevel, 9)], 1)
        profile = np.concatenate([[[0, 0], [r - bevel, 0]], side, [[r - bevel, h], [0, h]]])
    part = loft(profile, section)
    if rng.random() < 0.3:
        part = part.moved(lambda p: taper(p, rng.uniform(0.4, 1.2)))
    if rng.random() < 0.3:
        part = part.moved(lambda p: twist(p, rng.uniform(-1.5, 1.5)))
    return [(part, [tex.anything(rng)], _material(rng))]


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
    image, gloss = tex.anything(rng), _material(rng)
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
        pieces.append((part.turned(R).at(mid[0], 0, mid[1]), [image] * 6, gloss))
    return pieces


def rock(rng: Rng) -> list[Piece]:
    """A faceted lump: stone, wedge, crumpled packet."""
    size = np.exp(rng.uniform(np.log(0.02), np.log(0.1), 3))
    size = np.maximum(size, size.max() * 0.2)
    p = rng.normal(size=(int(rng.integers(8, 40)), 3))
    p /= np.linalg.norm(p, axis=1, keepdims=True) ** rng.uniform(0.5, 1.0)
    return [(hull(p * size), [tex.anything(rng)], _material(rng))]


def union(rng: Rng) -> list[Piece]:
    """Two to four overlapping primitives: toys, connectors, dispensers, machine parts."""
    simple = (box, can, superquadric, prism, fruit, rock)
    pieces: list[Piece] = []
    r = rng.uniform(0.03, 0.07)
    for _ in range(int(rng.integers(2, 5))):
        part, images, gloss = simple[rng.integers(len(simple))](rng)[0]
        low, high = part.vertices.min(0), part.vertices.max(0)
        scale = r * np.exp(rng.uniform(-0.7, 0.5)) * 2 / (high - low).max()
        where = np.zeros(3)
        if pieces:
            # centred near a vertex of what is there already, so that the two overlap
            other = pieces[rng.integers(len(pieces))][0].vertices
            where = other[rng.integers(len(other))] * rng.uniform(0.6, 1.0)
        R = np.eye(3)[:, [[0, 1, 2], [1, 2, 0], [2, 0, 1]][rng.integers(3)]] if rng.random() < 0.6 else rotation(rng)
        centre = (low + high) / 2
        placed = part.moved(lambda p, c=centre, s=scale, q=R, w=where: (p - c) * s @ q.T + w)
        pieces.append((placed, images, gloss))
    return pieces


def rotation(rng: Rng) -> F64:
    """A rotation (3, 3), all equally likely."""
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q if np.linalg.det(q) > 0 else -q


FAMILIES: dict[str, tuple[Callable[[Rng], list[Piece]], float]] = {
    "box": (box, 0.15),
    "gable_carton": (gable_carton, 0.06),
    "can": (can, 0.1),
    "bottle": (bottle, 0.13),
    "mug": (mug, 0.09),
    "bowl": (bowl, 0.06),
    "pan": (pan, 0.05),
    "tool": (tool, 0.07),
    "fruit": (fruit, 0.09),
    "superquadric": (superquadric, 0.06),
    "prism": (prism, 0.05),
    "letter": (letter, 0.03),
    "rock": (rock, 0.02),
    "union": (union, 0.1),
}
"""Each family with its share of the objects."""

_UPRIGHT = {"gable_carton", "can", "bottle", "mug", "bowl", "pan"}


@dataclass(frozen=True)
class Procedural:
    """``count`` objects of the families, the same for the same ``seed``; ``shares`` replaces the families' own."""

    seed: int
    count: int
    shares: dict[str, float] | None = None

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> TexturedMesh:
        if not 0 <= index < self.count:
            raise IndexError(f"object {index} of {self.count}")
        rng = np.random.default_rng([self.seed, index])
        shares = self.shares or {name: share for name, (_, share) in FAMILIES.items()}
        weights = np.array(list(shares.values()))
        name = list(shares)[rng.choice(len(weights), p=weights / weights.sum())]
        return make(name, rng)


def make(name: str, rng: Rng) -> TexturedMesh:
    """One object of a family, its largest side between 2 and 30 cm."""
    mesh = assemble(FAMILIES[name][0](rng), name, upright=name in _UPRIGHT)
    side = float(np.ptp(mesh.vertices, axis=0).max())
    scale = float(np.clip(side, 0.025, 0.3)) / side
    return mesh if scale == 1.0 else TexturedMesh(**{**mesh.__dict__, "vertices": mesh.vertices * scale})
