"""What tabletop objects are made of: as they come, or white, dark, of one colour, metal, glossy or clear."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from mvgamba_ros.synthesis import textures as tex
from mvgamba_ros.synthesis.draw import gloss, metal_gloss
from mvgamba_ros.synthesis.shading import Rng
from mvgamba_ros.synthesis.tabletop_rig import TabletopRig
from mvgamba_ros.synthesis.textured_mesh import Material, TexturedMesh
from mvgamba_ros.types import U8


@dataclass(frozen=True)
class Item:
    """Something in a scene: its ``mesh``, metres; ``label``: an object's number from 1, 0 for what is none;
    ``clear``: the share of light that passes through its surface, and ``mirror``: how strongly it mirrors what is
    about, both in [0, 1]; ``flat``: a sheet, which shades nothing."""

    mesh: TexturedMesh
    label: int = 0
    clear: float = 0.0
    mirror: float = 0.0
    flat: bool = False


def finished(mesh: TexturedMesh, rig: TabletopRig, rng: Rng) -> tuple[Item, str]:
    """The object in a material by the rig's shares, and the material's name, empty where it stays as it is."""
    kinds = ("white", "dark", "single", "metal", "glossy", "transparent", "translucent")
    drawn = rng.random()
    for kind in kinds:
        drawn -= getattr(rig, kind)
        if drawn < 0:
            return of_material(mesh, kind, rng), kind
    return Item(mesh), ""


def of_material(mesh: TexturedMesh, kind: str, rng: Rng) -> Item:
    """The object in the material named ``kind``: one of the rig's."""
    if kind == "translucent":
        return Item(mesh, clear=float(rng.uniform(0.2, 0.65)))
    if kind == "glossy":
        shiny = Material(float(rng.uniform(0.5, 1.0)), float(np.exp(rng.uniform(np.log(60), np.log(400)))))
        return Item(_coated(mesh, lambda: shiny), mirror=float(rng.uniform(0.1, 0.5)))
    if kind == "metal":
        steel = tex.metal(rng)
        return Item(_painted(_coated(mesh, lambda: metal_gloss(rng)), steel), mirror=float(rng.uniform(0.2, 0.7)))
    if kind == "transparent":
        glass = Material(float(rng.uniform(0.6, 1.0)), float(rng.uniform(100, 500)))
        tint = 255 * rng.uniform(0.75, 1.0) * (rng.uniform(0.5, 1.0, 3) if rng.random() < 0.35 else np.ones(3))
        tile = np.broadcast_to(tint.astype(np.uint8), (tex.TILE, tex.TILE, 3))
        return Item(_painted(_coated(mesh, lambda: glass), tile), clear=float(rng.uniform(0.7, 0.95)), mirror=0.5)
    grey = {"white": rng.uniform(200, 252), "dark": np.exp(rng.uniform(np.log(6), np.log(50)))}.get(kind)
    if grey is None:
        return Item(_painted(_coated(mesh, lambda: gloss(rng)), tex.plain(rng)))
    base = grey * (1 + rng.normal(0, 0.03, 3))
    tile = tex.plain(rng, (float(base[0]), float(base[1]), float(base[2])))
    return Item(_painted(_coated(mesh, lambda: gloss(rng)), tile))


def _coated(mesh: TexturedMesh, draw: Callable[[], Material]) -> TexturedMesh:
    material = draw()
    return replace(mesh, materials=(material,) * len(mesh.materials))


def _painted(mesh: TexturedMesh, tile: U8) -> TexturedMesh:
    return replace(mesh, textures=tile[None].copy(), tile=np.zeros_like(mesh.tile))


def painted_as(mesh: TexturedMesh, tile: U8, rng: Rng) -> TexturedMesh:
    """The object in the colours of a table's tile, a little lighter or darker, with its pattern or without."""
    gain = rng.uniform(0.75, 1.3)
    some = tile.astype(np.float32)
    if rng.random() < 0.5:
        some = some.mean((0, 1)) + 0.15 * (some - some.mean((0, 1)))
    return _painted(mesh, np.clip(some * gain, 0, 255).astype(np.uint8))


def an_own_colour(mesh: TexturedMesh, rng: Rng) -> np.ndarray:
    """An sRGB colour (3,) that is somewhere on the object."""
    pixels = mesh.textures[rng.choice(mesh.tile)].reshape(-1, 3).astype(np.float32)
    return pixels[rng.integers(len(pixels))]
