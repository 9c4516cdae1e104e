"""Vessels: cans, bottles, mugs, bowls and pans, hollow where they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from mvgamba_ros.synthesis import textures as tex
from mvgamba_ros.synthesis.draw import F64, ROUND, U8, Piece, Rng, curve, gloss, metal_gloss, section_of
from mvgamba_ros.synthesis.textured_mesh import loft, superellipse, tube


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
    body = loft(np.array(profile), superellipse(48) if rng.random() < 0.85 else section_of(rng, 0))
    ends = tex.metal(rng) if rng.random() < 0.6 else tex.plain(rng)
    image = tex.wrapped(rng, ends, 0.18, 0.82) if rng.random() < 0.85 else tex.anything(rng)
    return [(body, [image], gloss(rng) if rng.random() < 0.6 else metal_gloss(rng))]


def bottle(rng: Rng) -> list[Piece]:
    """A bottle or jar by revolution, or with a square or oval section, with its cap and its label."""
    r = rng.uniform(0.015, 0.055)
    h = float(np.clip(r * rng.uniform(1.8, 7.5), 0.04, 0.26))
    shoulder, neck_z = rng.uniform(0.5, 0.85), rng.uniform(0.86, 0.95)
    neck = r * rng.uniform(0.2, 0.8)
    waist, w0 = rng.uniform(0.8, 1.05), rng.uniform(0.2, 0.6)
    sides = [[r * 0.92, 0], [r, 0.03 * h], [r * (1 + waist) / 2, w0 * 0.5 * h], [r * waist, w0 * h], [r, shoulder * h]]
    upper = [[(r + neck) / 2, (shoulder + neck_z) / 2 * h], [neck, neck_z * h], [neck, h]]
    profile = np.concatenate([[[0, rng.uniform(0, 0.004)]], curve(sides + upper), [[0, h]]])
    section = section_of(rng, 0.65)
    glass = tex.plain(rng) if rng.random() < 0.75 else tex.gradient(rng)
    low = 1 - shoulder * rng.uniform(0.75, 1.0)
    image = tex.wrapped(rng, glass, low, low + rng.uniform(0.2, 0.6)) if rng.random() < 0.8 else glass
    body = loft(profile, section)
    pieces: list[Piece] = [(body, [image], gloss(rng))]
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
        pieces.append((loft(np.array(lid), superellipse(ROUND)), [tex.plain(rng)], gloss(rng)))
        if rng.random() < 0.15:
            spout = np.array([[0, 0, bottom + tall], [0, 0, bottom + 2 * tall], [3 * cap, 0, bottom + 2.2 * tall]])
            pieces.append((tube(curve(spout), cap * 0.3, superellipse(16)), [tex.plain(rng)], gloss(rng)))
    if rng.random() < 0.1:
        pieces.append(_handle(rng, lambda z: r, 0.25 * h, 0.75 * h, r * rng.uniform(0.4, 0.8), image))
    return pieces


def hollow(outer: F64, wall: float, floor: float) -> F64:
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
    return tube(curve(path, 3), thick, section), [image], gloss(rng)


def mug(rng: Rng) -> list[Piece]:
    """A cup, mug or tumbler: hollow, with a handle, two or none."""
    r, h = rng.uniform(0.025, 0.055), 0.0
    h = r * rng.uniform(1.2, 3.2)
    foot, belly = rng.uniform(0.6, 1.05), rng.uniform(0.9, 1.15)
    outer = curve([[r * foot * 0.9, 0], [r * foot, 0.03 * h], [r * belly, h * rng.uniform(0.3, 0.6)], [r, h]])
    wall = float(np.clip(r * rng.uniform(0.05, 0.13), 0.0015, 0.006))
    section = superellipse(48) if rng.random() < 0.85 else section_of(rng, 0)
    body = loft(hollow(outer, wall, max(wall, 0.03 * h)), section)
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
    finish = gloss(rng)
    pieces: list[Piece] = [(body, [image], finish)]
    handles = rng.choice([0, 1, 2], p=[0.2, 0.7, 0.1])
    low, high, reach = h * rng.uniform(0.1, 0.3), h * rng.uniform(0.65, 0.9), r * rng.uniform(0.4, 0.85)
    for k in range(handles):
        part, _, _ = _handle(rng, lambda z: float(np.interp(z, outer[:, 1], outer[:, 0])), low, high, reach, image)
        part = replace(part, vertices=part.vertices * np.array([-1, -1, 1])) if k else part
        pieces.append((part, [base if rng.random() < 0.8 else tex.plain(rng)], finish))
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
    section = superellipse(56) if rng.random() < 0.75 else section_of(rng, 0)
    body = loft(hollow(curve(points), wall, max(wall, 0.08 * h)), section)
    return [(body, [tex.plain(rng) if rng.random() < 0.5 else tex.anything(rng)], gloss(rng))]


def pan(rng: Rng) -> list[Piece]:
    """A frying pan, pot or ladle: a hollow vessel with a long handle or two short ones, perhaps a lid."""
    r = rng.uniform(0.03, 0.1)
    h = r * rng.uniform(0.2, 1.3)
    outer = curve([[r * rng.uniform(0.7, 0.98), 0], [r * 0.98, 0.1 * h], [r, h]])
    wall = float(np.clip(r * 0.03, 0.0015, 0.004))
    finish = tex.metal(rng) if rng.random() < 0.6 else tex.plain(rng)
    pieces: list[Piece] = [(loft(hollow(outer, wall, wall * 1.5), superellipse(56)), [finish], metal_gloss(rng))]
    grip = tex.plain(rng) if rng.random() < 0.6 else tex.wood(rng)
    if rng.random() < 0.75:
        length, rise = min(r * rng.uniform(1.0, 2.2), 0.29 - r), r * rng.uniform(-0.05, 0.5)
        z = h * rng.uniform(0.7, 0.95)
        path = curve([[r * 0.97, 0, z], [r + length * 0.3, 0, z + rise * 0.6], [r + length, 0, z + rise]])
        thick = rng.uniform(0.004, 0.009) * np.interp(np.linspace(0, 1, len(path)), [0, 0.3, 1], [0.7, 0.8, 1.2])
        section = superellipse(16, rng.uniform(2, 5)) * np.array([rng.uniform(0.5, 1), 1])
        pieces.append((tube(path, thick, section), [grip], gloss(rng)))
    else:
        for sign in (1, -1):
            a = np.linspace(0, np.pi, 14)
            loop = np.stack([np.sin(a) * r * 0.3 + r * 0.97, np.cos(a) * r * 0.35, np.full(14, h * 0.85)], 1)
            part = tube(loop, rng.uniform(0.003, 0.005), superellipse(12))
            part = replace(part, vertices=part.vertices * np.array([sign, sign, 1]))
            pieces.append((part, [grip], gloss(rng)))
    if rng.random() < 0.25:
        lid = [[0, h], [r * 1.02, h], [r * 1.02, h * 1.04], [r * 0.3, h + r * 0.2], [r * 0.1, h + r * 0.2]]
        lid += [[r * 0.18, h + r * 0.35], [0, h + r * 0.38]]
        pieces.append((loft(np.array(lid), superellipse(48)), [finish], metal_gloss(rng)))
    return pieces
