"""Grippers, flanges and the links behind them, which stand in pictures and in the light but are no objects."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from mvgamba_ros.geometry.se3 import rigid
from mvgamba_ros.synthesis import textures as tex
from mvgamba_ros.synthesis.draw import Piece, gloss, metal_gloss
from mvgamba_ros.synthesis.shading import Rng, rotate_normals
from mvgamba_ros.synthesis.textured_mesh import TexturedMesh, assemble, loft, rounded_box, superellipse
from mvgamba_ros.types import F64

MARGIN = 5e-3
"""Between a gripper and what it must not touch, metres."""
WRIST = (0.025, 0.045)
"""Radius of the flange, metres."""
WIDER = 1.3
"""Of the link behind it, as a share of that."""


def gripper(rng: Rng, link: tuple[float, float]) -> TexturedMesh:
    """Two or three fingers that end at z = 0, a palm and a flange above them, and the arm's last link: z is away from
    what is grasped. ``link``: least and greatest length of the last link, metres."""
    finger, wide, thick = rng.uniform(0.04, 0.1), rng.uniform(0.01, 0.025), rng.uniform(0.006, 0.014)
    opening = rng.uniform(0.015, 0.05)
    grey = float(rng.choice([rng.uniform(15, 60), rng.uniform(120, 230)]))
    body = [tex.metal(rng) if rng.random() < 0.3 else tex.plain(rng, (grey, grey, grey))] * 6
    tips = [tex.plain(rng) if rng.random() < 0.3 else tex.plain(rng, (25.0, 25.0, 28.0))] * 6
    coat = metal_gloss(rng) if rng.random() < 0.3 else gloss(rng)
    pieces: list[Piece] = []
    count = 2 if rng.random() < 0.8 else 3
    for k in range(count):
        a = 2 * np.pi * k / count
        R = np.array([[math.cos(a), -math.sin(a), 0], [math.sin(a), math.cos(a), 0], [0, 0, 1.0]])
        pad = rounded_box((thick, wide, finger * 0.5), 0.001).at(opening, 0, finger * 0.25)
        stem = rounded_box((thick * 1.6, wide * 1.1, finger * 0.8), 0.002).at(opening + thick * 0.5, 0, finger * 0.75)
        pieces += [(pad.turned(R), tips, gloss(rng)), (stem.turned(R), body, coat)]
    palm = rng.uniform(0.025, 0.05)
    wrist, reach = rng.uniform(*WRIST), rng.uniform(*link)
    top = finger * 1.1
    pieces.append((rounded_box((2.4 * opening + 0.05, wide * 2.2, palm), 0.004).at(0, 0, top + palm / 2), body, coat))
    profile = np.array([[0, 0], [wrist, 0], [wrist * 1.05, 0.3 * reach], [wrist * WIDER, 0.35 * reach]])
    profile = np.concatenate([profile, [[wrist * WIDER, reach], [0, reach]]])
    shade = tex.plain(rng, (235.0, 235.0, 235.0)) if rng.random() < 0.5 else body[0]
    pieces.append((loft(profile, superellipse(32)).at(0, 0, top + palm), [shade], gloss(rng)))
    return assemble(pieces, "gripper")


def moved(mesh: TexturedMesh, T: F64) -> TexturedMesh:
    """The mesh under a rigid transform (4, 4)."""
    vertices = mesh.vertices @ T[:3, :3].T + T[:3, 3]
    return replace(rotate_normals(mesh, vertices), vertices=vertices)


def is_clear(points: F64, bounds: F64) -> bool:
    """Whether points (N, 3) are above the table, z = 0, and outside of boxes (M, 2, 3), by a few millimetres."""
    inside = (points[:, None] > bounds[:, 0] - MARGIN) & (points[:, None] < bounds[:, 1] + MARGIN)
    return bool(points[:, 2].min() > MARGIN and not inside.all(-1).any())


def mount(rng: Rng) -> F64:
    """Pose (4, 4) of a gripper's frame in that of a camera that it carries: its fingers point about along the view,
    beside it, in the picture or just out of it."""
    side = rng.choice([0.0, np.pi / 2, np.pi, -np.pi / 2], p=[0.1, 0.55, 0.1, 0.25])  # mostly below in the picture
    away, ahead = WRIST[1] * WIDER + rng.uniform(0.01, 0.04), rng.uniform(0.1, 0.26)
    tilt = math.radians(rng.uniform(0, 20))
    outward = np.array([math.cos(side), math.sin(side), 0.0])
    z = -np.array([0.0, 0.0, 1.0]) * math.cos(tilt) + outward * math.sin(tilt)
    turn = rng.choice([0.0, np.pi / 2])
    x = np.cross(outward, z) if turn else outward - z * (outward @ z)
    x /= np.linalg.norm(x)
    return rigid(np.stack([x, np.cross(z, x), z], 1), outward * away + [0, 0, ahead])


def hover(above: F64, rng: Rng) -> F64:
    """Pose (4, 4) of a gripper's frame above a point (3,), pointing about down."""
    tilt, turn, side = rng.uniform(0, 0.4), rng.uniform(0, 2 * np.pi), rng.uniform(0, 2 * np.pi)
    z = np.array([math.sin(tilt) * math.cos(turn), math.sin(tilt) * math.sin(turn), math.cos(tilt)])
    x = np.array([math.cos(side), math.sin(side), 0.0])
    x -= z * (x @ z)
    x /= np.linalg.norm(x)
    return rigid(np.stack([x, np.cross(z, x), z], 1), above + np.array([0, 0, rng.uniform(0.003, 0.08)]))
