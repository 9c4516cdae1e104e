"""Objects of several parts or soft ones: pouches, coils of cable, remotes, books, bricks, bunches, plants, drills."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from mvgamba_ros.synthesis import textures as tex
from mvgamba_ros.synthesis.draw import F64, Piece, Rng, curve, gloss, metal_gloss, rotation
from mvgamba_ros.synthesis.textured_mesh import (
    Part,
    TexturedMesh,
    assemble,
    loft,
    rounded_box,
    superellipse,
    tube,
)


def _ball(size: F64) -> Part:
    """An ellipsoid of half axes (3,) about the origin."""
    a = np.linspace(-np.pi / 2, np.pi / 2, 15)
    profile = np.stack([np.cos(a), np.sin(a)], 1)
    profile[[0, -1], 0] = 0
    return loft(profile, superellipse(22)).moved(lambda p: p * size)


def pouch(rng: Rng) -> list[Piece]:
    """A bag of crisps, a sachet, a cushion: two sheets that meet at the rim, filled, wrinkled."""
    size = rng.uniform(0.04, 0.13) * np.array([1.0, rng.uniform(0.55, 1.0)])
    full, power = size.min() * rng.uniform(0.12, 0.5), rng.uniform(2, 5)
    n = 26
    x, y = np.meshgrid(np.linspace(-1, 1, n), np.linspace(1, -1, n))
    high = full * (1 - np.abs(x) ** power) * (1 - np.abs(y) ** power) ** rng.uniform(0.5, 1.0)
    waves = rng.normal(0, 1, (9, 2)) * rng.uniform(4, 14, (9, 1))
    phase = rng.uniform(0, 2 * np.pi, 9)
    wrinkle = np.sin(np.stack([x, y], -1) @ waves.T + phase).mean(-1) * full * rng.uniform(0, 0.5)
    waist = 1 - rng.uniform(0, 0.12) * (high / max(float(high.max()), 1e-9))
    plan = np.stack([x * size[0] * waist, y * size[1] * waist], -1).reshape(-1, 2)
    inner = (high > 1e-9).ravel()
    top = (high + wrinkle * (high / full)).ravel() + 0.0006
    i = np.arange(n * n).reshape(n, n)
    a, b, c, d = i[:-1, :-1].ravel(), i[:-1, 1:].ravel(), i[1:, 1:].ravel(), i[1:, :-1].ravel()
    upper = np.concatenate([np.stack([a, c, b], 1), np.stack([a, d, c], 1)])
    lower = upper[:, ::-1] + n * n
    rim = np.concatenate([i[0, :-1], i[:-1, -1], i[-1, :0:-1], i[:0:-1, 0]])
    after = np.roll(rim, -1)
    side = np.concatenate([np.stack([rim, after, rim + n * n], 1), np.stack([after, after + n * n, rim + n * n], 1)])
    vertices = np.concatenate([np.c_[plan, top], np.c_[plan, np.where(inner, -top * rng.uniform(0.3, 1.0), -0.0006)]])
    faces = np.concatenate([upper, lower, side]).astype(np.int32)
    uv = np.tile(np.stack([(x + 1) / 2, (1 - y) / 2], -1).reshape(-1, 2), (2, 1))[faces].astype(np.float32)
    tile = np.repeat([0, 1, 0], [len(upper), len(lower), len(side)]).astype(np.int32)
    part = Part(vertices, faces, uv, tile)
    faces_of = tex.package(rng, 2) if rng.random() < 0.75 else [tex.anything(rng)] * 2
    return [(part, faces_of, gloss(rng))]


def coil(rng: Rng) -> list[Piece]:
    """A coil of cable, rope or hose with a loose end, perhaps a plug."""
    r, wire = rng.uniform(0.03, 0.08), rng.uniform(0.0015, 0.0045)
    turns = rng.uniform(2.5, 6)
    a = np.linspace(0, 2 * np.pi * turns, int(turns * 30))
    knots = np.linspace(0, 1, int(turns * 5))

    def wander(spread: float) -> F64:
        return np.interp(np.linspace(0, 1, len(a)), knots, rng.normal(0, spread, len(knots)))

    radius = r * (1 + wander(0.07))
    path = np.stack([radius * np.cos(a), radius * np.sin(a), a / (2 * np.pi) * wire * 1.2 + np.abs(wander(wire))], 1)
    tail = path[-1] + np.cumsum(np.c_[rng.normal(0, 1, (6, 2)) * 0.006 + path[-1, :2] / r * 0.012, np.zeros(6)], 0)
    path = curve(np.concatenate([path, tail]), 1)
    pieces: list[Piece] = [(tube(path, wire, superellipse(8)), [tex.plain(rng)], gloss(rng))]
    if rng.random() < 0.6:
        size = wire * np.array([rng.uniform(4, 8), rng.uniform(2.5, 5), rng.uniform(2, 4)])
        pieces.append((rounded_box(size.tolist(), size.min() * 0.2).at(*path[-1]), [tex.plain(rng)] * 6, gloss(rng)))
    return pieces


def device(rng: Rng) -> list[Piece]:
    """A remote control, phone, calculator, power bank, meter: a flat case with keys, a screen, a stripe."""
    size = np.array([rng.uniform(0.09, 0.2), rng.uniform(0.04, 0.085), rng.uniform(0.008, 0.03)])
    case, coat = [tex.plain(rng)] * 6, gloss(rng)
    pieces: list[Piece] = [(rounded_box(size.tolist(), size[2] * rng.uniform(0.1, 0.45)), case, coat)]
    top, x0 = size[2] / 2, -size[0] * 0.42
    if rng.random() < 0.6:
        wide = size[0] * rng.uniform(0.25, 0.8)
        screen = rounded_box((wide, size[1] * 0.84, 0.001), 0.0003, 1).at(x0 + wide / 2, 0, top)
        pieces.append(
            (screen, [tex.plain(rng, (20.0, 22.0, 26.0)) if rng.random() < 0.6 else tex.printed(rng)] * 6, gloss(rng))
        )
        x0 += wide + 0.004
    columns = int(rng.integers(2, 6))
    pitch = size[1] * 0.84 / columns
    keys, key_coat, shade = pitch * rng.uniform(0.5, 0.85), gloss(rng), [tex.plain(rng)] * 6
    for row in range(int(max(size[0] * 0.42 - x0, 0) / pitch)):
        for column in range(columns):
            at = x0 + (row + 0.5) * pitch, (column + 0.5 - columns / 2) * pitch, top
            images = [tex.plain(rng)] * 6 if rng.random() < 0.06 else shade
            pieces.append((rounded_box((keys, keys, 0.003), 0.0008, 1).at(*at), images, key_coat))
    return pieces


def book(rng: Rng) -> list[Piece]:
    """A book or pad: covers and spine of one print, pages that stand back."""
    size = np.array([rng.uniform(0.1, 0.24), rng.uniform(0.65, 0.8), rng.uniform(0.008, 0.045)])
    size[1] *= size[0]
    cover, board = tex.package(rng, 6), rng.uniform(0.0008, 0.003)
    coat = gloss(rng)
    paper = tex.plain(rng, (235.0, 230.0, 215.0))
    back = rng.uniform(0.002, 0.006)
    pieces: list[Piece] = [
        (rounded_box((size[0], size[1], board), board * 0.3, 1).at(0, 0, z), cover, coat)
        for z in (-size[2] / 2, size[2] / 2)
    ]
    pieces.append(
        (
            rounded_box((size[0] - 2 * back, size[1] - back, size[2]), 0.0005, 1).at(0, -back / 2, 0),
            [paper] * 6,
            gloss(rng),
        )
    )
    spine = rounded_box((size[0], board, size[2] + board), board * 0.3, 1).at(0, -size[1] / 2, 0)
    pieces.append((spine, cover[::-1], coat))
    return pieces


def brick(rng: Rng) -> list[Piece]:
    """A toy brick with studs, or a few of them built together."""
    pitch = rng.uniform(0.008, 0.02)
    pieces: list[Piece] = []
    z = 0.0
    for _ in range(int(rng.integers(1, 4))):
        nx, ny = int(rng.integers(1, 6)), int(rng.integers(1, 4))
        high = pitch * rng.choice([0.4, 1.2])
        at = pitch * rng.integers(-1, 2, 2) if pieces else np.zeros(2)
        images, coat = [tex.plain(rng)] * 6, gloss(rng)
        block = rounded_box((nx * pitch, ny * pitch, high), pitch * 0.02, 1).at(at[0], at[1], z + high / 2)
        pieces.append((block, images, coat))
        r, stud = pitch * 0.3, pitch * 0.2
        for i in range(nx):
            for j in range(ny):
                x, y = at[0] + (i + 0.5 - nx / 2) * pitch, at[1] + (j + 0.5 - ny / 2) * pitch
                knob = loft(np.array([[0, 0], [r, 0], [r, stud], [0, stud]]), superellipse(14))
                pieces.append((knob.at(x, y, z + high), images, coat))
        z += high
    return pieces


def bunch(rng: Rng) -> list[Piece]:
    """Grapes, tomatoes on a vine, a net of fruit: balls against each other."""
    r = rng.uniform(0.008, 0.025)
    image, coat = tex.skin(rng) if rng.random() < 0.6 else tex.plain(rng), gloss(rng)
    pieces: list[Piece] = []
    places = [np.zeros(3)]
    pieces.append((_ball(np.full(3, r)), [image], coat))
    for _ in range(int(rng.integers(4, 22))):
        away = rng.normal(0, 1, 3) * np.array([1.6, 1.0, 0.6])
        at = places[rng.integers(len(places))] + 1.7 * r * away / np.linalg.norm(away)
        if np.linalg.norm(np.array(places) - at, axis=1).min() < 1.3 * r:
            continue
        places.append(at)
        part = _ball(r * rng.uniform(0.85, 1.15) * np.array([1, 1, rng.uniform(0.9, 1.3)])).turned(rotation(rng))
        pieces.append((part.at(*at), [image], coat))
    return pieces


def plant(rng: Rng) -> list[Piece]:
    """A pot or cup with leaves, brushes or pens in it."""
    r, h = rng.uniform(0.02, 0.05), rng.uniform(0.03, 0.09)
    top = r * rng.uniform(1.0, 1.35)
    profile = np.array([[0, 0], [r, 0], [top, h], [top * 0.9, h], [top * 0.85, h * 0.75], [0, h * 0.75]])
    pieces: list[Piece] = [(loft(profile, superellipse(32)), [tex.anything(rng)], gloss(rng))]
    stiff = rng.random() < 0.4
    images, coat = tex.skin(rng), gloss(rng)
    for _ in range(int(rng.integers(3, 14))):
        a, lean, tall = rng.uniform(0, 2 * np.pi), rng.uniform(0.0, 0.4 if stiff else 1.2), rng.uniform(0.05, 0.13)
        d = np.array([math.cos(a), math.sin(a), 0.0])
        foot = d * top * rng.uniform(0, 0.5) + [0, 0, h * 0.72]
        bow = 0.0 if stiff else rng.uniform(0, 0.4)
        tip = foot + tall * (math.sin(lean) * d + math.cos(lean) * np.array([0, 0, 1.0]))
        middle = (foot + tip) / 2 + np.array([0, 0, bow * tall])
        path = curve(np.stack([foot, middle, tip]))
        wide = rng.uniform(0.002, 0.005) if stiff else rng.uniform(0.006, 0.016)
        size = wide * (np.ones(len(path)) if stiff else np.sin(np.pi * np.linspace(0.12, 0.98, len(path))) + 0.05)
        section = superellipse(10) * np.array([1.0, 1.0 if stiff else 0.12])
        skin = [tex.plain(rng)] if stiff else [images]
        pieces.append((tube(path, size, section), skin, coat))
    return pieces


def drill(rng: Rng) -> list[Piece]:
    """A drill, glue gun, hair dryer, spray head: a body on a handle with a nozzle, perhaps a foot."""
    long, r = rng.uniform(0.08, 0.16), rng.uniform(0.018, 0.035)
    shade, other = [tex.plain(rng)] * 6, [tex.plain(rng)] * 6
    coat = gloss(rng)
    lying = np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    rounds = superellipse(28, rng.uniform(2, 4))
    radii = r * rng.uniform(0.75, 1.1, 5)
    body = np.concatenate([[[0, 0]], curve(np.c_[radii, np.linspace(0, long, 5)]), [[0, long]]])
    nose = np.array([[0, long * 0.95], [r * 0.6, long], [r * 0.35, long * rng.uniform(1.15, 1.5)], [0, long * 1.2]])
    nose[3, 1] = nose[2, 1]
    pieces: list[Piece] = [
        (loft(body, rounds).turned(lying), shade, coat),
        (loft(nose, superellipse(20)).turned(lying), other, metal_gloss(rng) if rng.random() < 0.5 else gloss(rng)),
    ]
    tall, back = rng.uniform(0.06, 0.12), long * rng.uniform(0.1, 0.4)
    path = curve([[back, 0, -r * 0.4], [back - tall * 0.15, 0, -tall * 0.5], [back - tall * 0.2, 0, -tall]])
    pieces.append(
        (tube(path, r * rng.uniform(0.5, 0.75), superellipse(20, 2.6)), other if rng.random() < 0.5 else shade, coat)
    )
    if rng.random() < 0.6:
        size = np.array([r * 3.2, r * 2.2, r * rng.uniform(0.6, 1.6)])
        pieces.append((rounded_box(size.tolist(), size[2] * 0.2).at(back - tall * 0.2, 0, -tall), other, coat))
    return pieces


def figure(rng: Rng) -> list[Piece]:
    """A toy animal or doll: balls for body, head, ears and limbs."""
    r = rng.uniform(0.02, 0.05)
    image, coat = [tex.skin(rng) if rng.random() < 0.5 else tex.plain(rng)], gloss(rng)
    second = [tex.plain(rng)] if rng.random() < 0.5 else image
    body = r * np.array([rng.uniform(0.8, 1.5), rng.uniform(0.7, 1.0), rng.uniform(0.8, 1.3)])
    pieces: list[Piece] = [(_ball(body), image, coat)]
    head = r * rng.uniform(0.5, 0.9)
    at = np.array([body[0] * rng.uniform(0.3, 1.0), 0.0, body[2] * rng.uniform(0.8, 1.1)])
    pieces.append((_ball(head * np.array([1.1, 1.0, 1.0])).at(*at), image, coat))
    pieces.append(
        (_ball(head * np.array([0.5, 0.4, 0.35])).at(at[0] + head * 0.9, 0, at[2] - head * 0.2), second, coat)
    )
    for side in (1, -1):
        ear = _ball(head * np.array([0.2, rng.uniform(0.25, 0.45), rng.uniform(0.3, 0.9)]))
        pieces.append((ear.at(at[0] - head * 0.2, side * head * 0.7, at[2] + head * 0.8), second, coat))
        for front in (1, -1):
            leg = _ball(r * np.array([0.3, 0.3, rng.uniform(0.5, 0.9)]))
            pieces.append((leg.at(front * body[0] * 0.55, side * body[1] * 0.6, -body[2] * 0.75), image, coat))
    if rng.random() < 0.5:
        tail = curve([[-body[0] * 0.9, 0, 0], [-body[0] * 1.4, 0, r * 0.3], [-body[0] * 1.6, 0, r]])
        pieces.append((tube(tail, r * 0.12, superellipse(10)), second, coat))
    return pieces


def open_box(rng: Rng) -> list[Piece]:
    """A carton or crate without a lid, its flaps open or gone."""
    size = np.array([rng.uniform(0.07, 0.2), rng.uniform(0.05, 0.16), rng.uniform(0.03, 0.12)])
    wall = rng.uniform(0.0015, 0.006)
    outside = tex.package(rng, 6) if rng.random() < 0.4 else [tex.cardboard(rng)] * 6
    coat = gloss(rng)
    x, y, z = size / 2
    pieces: list[Piece] = [(rounded_box((size[0], size[1], wall), wall * 0.2, 1).at(0, 0, wall / 2), outside, coat)]
    flaps = rng.random() < 0.4
    for side in (1, -1):
        pieces.append(
            (rounded_box((wall, size[1], size[2]), wall * 0.2, 1).at(side * (x - wall / 2), 0, z), outside, coat)
        )
        pieces.append(
            (
                rounded_box((size[0] - wall, wall, size[2] * 0.999), wall * 0.2, 1).at(0, side * (y - wall / 2), z),
                outside,
                coat,
            )
        )
        if flaps:
            out = rng.uniform(0.2, 1.4)
            flap = rounded_box((size[0] * 0.98, wall * 0.6, y), wall * 0.2, 1).at(0, 0, y / 2)
            c, s = math.cos(out), math.sin(out) * -side
            R = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
            pieces.append((flap.turned(R).at(0, side * (y - wall / 2), size[2]), outside, coat))
    return pieces


EVERYDAY: dict[str, tuple[Callable[[Rng], list[Piece]], float]] = {
    "pouch": (pouch, 0.18),
    "coil": (coil, 0.07),
    "device": (device, 0.13),
    "book": (book, 0.12),
    "brick": (brick, 0.08),
    "bunch": (bunch, 0.06),
    "plant": (plant, 0.06),
    "drill": (drill, 0.08),
    "figure": (figure, 0.08),
    "open_box": (open_box, 0.08),
}
"""Each kind with its share of the everyday objects."""


def everyday_object(rng: Rng) -> TexturedMesh:
    """One everyday object, metres."""
    weights = np.array([share for _, share in EVERYDAY.values()])
    name = list(EVERYDAY)[rng.choice(len(weights), p=weights / weights.sum())]
    return assemble(EVERYDAY[name][0](rng), name, upright=name in ("plant", "figure", "open_box"))
