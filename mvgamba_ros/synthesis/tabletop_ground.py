"""What tabletop objects stand on and before: a table, mats, a board, a tray or a bin, the room behind."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mvgamba_ros.synthesis import textures as tex
from mvgamba_ros.synthesis.backgrounds import CORNERS, MATS, THICKNESS, sheet
from mvgamba_ros.synthesis.draw import gloss
from mvgamba_ros.synthesis.shading import Rng
from mvgamba_ros.synthesis.table_textures import table_tile
from mvgamba_ros.synthesis.tabletop_layout import yaw
from mvgamba_ros.synthesis.tabletop_materials import Item
from mvgamba_ros.synthesis.tabletop_rig import TabletopRig
from mvgamba_ros.synthesis.textured_mesh import Material, TexturedMesh, assemble, rounded_box
from mvgamba_ros.types import F64, U8

UPRIGHT = CORNERS * np.array([0.5, -0.5]) + 0.5
"""(4, 2) texture coordinates of a sheet's corners, a print readable from its front."""
WIDEST = 0.75
"""Longest side of a board, tray or bin, metres."""


def ground(group: F64, tile: U8, rig: TabletopRig, rng: Rng) -> tuple[list[Item], set[str]]:
    """What is below and around objects that stand on z = 0, and what is special in it.

    Args:
        group: Bounds (2, 3) of all objects, metres.
        tile: sRGB (S, S, 3) of what they stand on, be it table, board, tray or bin.
        rig: Shares.
        rng: Draws the rest.
    """
    kinds: set[str] = set()
    things: list[Item] = []
    centre = group[:, :2].mean(0)
    drawn, holder = rng.random(), ""
    for name in ("board", "tray", "bin"):
        drawn -= getattr(rig, name)
        if drawn < 0:
            holder = name
            break
    turn = yaw(rng.uniform(0, 2 * np.pi))
    if holder:
        corners = np.array([[x, y, 0] for x in group[:, 0] for y in group[:, 1]]) @ turn
        half = np.ptp(corners[:, :2], axis=0) / 2 + rng.uniform(0.008, 0.09, 2)
        middle = turn @ np.array([*(corners.min(0) + corners.max(0))[:2] / 2, 0.0])
        if half.max() * 2 > WIDEST:
            holder = ""
    below = 0.0
    if holder:
        mesh, below = _holder(holder, half, tile, rng)
        placed = replace(
            mesh, vertices=mesh.vertices @ turn.T + middle, normals=mesh.normals @ turn.T.astype(np.float32)
        )
        things.append(Item(placed))
        kinds.add(holder)
        top = table_tile(rng)
    else:
        top = tile
    level = -below
    if rng.random() < rig.mat:
        kinds.add("mat")
        mats = _mats(centre, group, rng, beside=bool(holder))
        for k, mat in enumerate(mats):
            things.append(
                Item(replace(mat, vertices=mat.vertices + np.array([0, 0, level - k * THICKNESS])), flat=True)
            )
        level -= len(mats) * THICKNESS
    mirror = 0.0
    if rng.random() < rig.glossy_table:
        kinds.add("glossy_table")
        mirror = float(rng.uniform(0.3, 1.0))
    small = rng.random() < rig.edge
    size = rng.uniform(0.3, 0.6, 2) if small else np.array([1.6, 1.6])
    around = np.array([*centre, level]) + (np.array([*rng.uniform(-0.12, 0.12, 2), 0.0]) if small else 0.0)
    things.append(Item(_sheet(around, yaw(rng.uniform(0, 2 * np.pi)), size, top, rng), mirror=mirror, flat=True))
    if small:
        kinds.add("edge")
        down = np.array([*centre, level - rng.uniform(0.3, 0.9)])
        things.append(Item(_sheet(down, np.eye(3), np.array([4.0, 4.0]), table_tile(rng), rng, 0.4), flat=True))
    return things + _walls(centre, level, rng), kinds


def _sheet(at: F64, R: F64, half: F64, tile: U8, rng: Rng, least: float = 0.12) -> TexturedMesh:
    """A rectangle on which a tile of ``least`` to 0.9 metres repeats."""
    uv = UPRIGHT * (2 * half / np.exp(rng.uniform(np.log(least), np.log(0.9))))
    return sheet(at, R, half, uv @ yaw(rng.uniform(0, 2 * np.pi))[:2, :2] + 50.0, tile, rng)


def _walls(centre: F64, level: float, rng: Rng) -> list[Item]:
    """None, one or two upright rectangles, such as walls, cupboards and curtains, away from the objects."""
    walls = []
    for _ in range(int(rng.choice(3, p=[0.5, 0.3, 0.2]))):
        turn = yaw(rng.uniform(0, 2 * np.pi))
        upright = turn @ np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])
        at = np.array([*centre, level]) - upright[:, 2] * rng.uniform(0.9, 2.5)
        tile = table_tile(rng) if rng.random() < 0.7 else tex.anything(rng)
        walls.append(Item(_sheet(at, upright, np.array([rng.uniform(0.3, 2.5), 1.5]), tile, rng, 0.3), flat=True))
    return walls


def _mats(centre: F64, group: F64, rng: Rng, beside: bool) -> list[TexturedMesh]:
    """One to three sheets about z = 0, the first on top and mostly below the objects."""
    mats = []
    reach = float(np.ptp(group[:, :2], axis=0).max()) / 2
    for k in range(int(rng.integers(1, 4))):
        half = max(reach, 0.05) * np.exp(rng.uniform(np.log(0.5), np.log(2.5))) * rng.uniform(0.5, 1.0, 2)
        far = 0.5 if k == 0 and not beside else 2.0
        middle = np.array([*(centre + rng.uniform(-far, far, 2) * half), 0.0])
        draw = MATS[rng.choice(len(MATS), p=[share for _, share in MATS])][0]
        tile = draw(rng) if rng.random() < 0.8 else table_tile(rng)
        mats.append(sheet(middle, yaw(rng.uniform(0, 2 * np.pi)), half, UPRIGHT, tile, rng))
    return mats


def _holder(kind: str, half: F64, tile: U8, rng: Rng) -> tuple[TexturedMesh, float]:
    """A board, tray or bin with its upper side at z = 0 inside, and how far it reaches below, metres."""
    coat = gloss(rng) if rng.random() < 0.8 else Material(0.05)
    thick = float(rng.uniform(0.005, 0.03) if kind == "board" else rng.uniform(0.002, 0.005))
    floor = rounded_box((2 * half[0], 2 * half[1], thick), min(thick * 0.3, 0.004)).at(0, 0, -thick / 2)
    pieces = [(floor, [tile] * 6, coat)]
    if kind != "board":
        high = float(rng.uniform(0.01, 0.035) if kind == "tray" else rng.uniform(0.05, 0.14))
        wall = float(rng.uniform(0.002, 0.008))
        sides = [tile if rng.random() < 0.7 else tex.plain(rng)] * 6
        for axis in range(2):
            for sign in (-1.0, 1.0):
                size = [wall, 2 * half[1] + 2 * wall, high + thick]
                at = [sign * (half[0] + wall / 2), 0.0, (high - thick) / 2]
                if axis:
                    size, at = [2 * half[0], wall, (high + thick) * 0.999], [0.0, sign * (half[1] + wall / 2), at[2]]
                pieces.append((rounded_box(size, wall * 0.3, 2).at(*at), sides, coat))
    return assemble(pieces, kind), thick
