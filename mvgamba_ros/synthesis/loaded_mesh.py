"""What trimesh loads, as a part of an object to render: its geometry, its one picture, its gloss."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mvgamba_ros.synthesis import textures as tex
from mvgamba_ros.synthesis.textured_mesh import Material, Part, box_uv
from mvgamba_ros.types import U8

Piece = tuple[Part, list[U8], Material]

_TILE = 512
Y_UP = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
"""Turns what stands along y to stand along z."""


def mesh_tile(image: NDArray[Any]) -> U8:
    """A texture (H, W, 3 or 4) at the size of a `TexturedMesh`'s tiles."""
    scaled = cv2.resize(np.ascontiguousarray(image[..., :3]), (_TILE, _TILE), interpolation=cv2.INTER_AREA)
    return np.asarray(scaled, np.uint8)


def _palette(colors: U8) -> tuple[U8, NDArray[np.float32]]:
    """A tile that holds every colour of 6, 6 and 6 bits, and where (F, 2) each of the face colours (F, 3) is on it."""
    levels = np.arange(64) * 255 // 63
    r, g, b = np.meshgrid(levels, levels, levels, indexing="ij")
    tile = np.stack([r, g, b], -1).reshape(_TILE, _TILE, 3).astype(np.uint8)
    q = colors.astype(np.int64) // 4
    row, column = np.divmod((q[:, 0] * 64 + q[:, 1]) * 64 + q[:, 2], _TILE)
    return tile, ((np.stack([column, row], 1) + 0.5) / _TILE).astype(np.float32)


def within_texture(uv: NDArray[np.float32]) -> NDArray[np.float32]:
    """Texture coordinates (F, 3, 2), faces that lie off the texture moved onto it by whole textures; the renderer
    repeats what still reaches beyond."""
    low, high = uv.min(1, keepdims=True), uv.max(1, keepdims=True)
    shift = np.where((low >= 0) & (high <= 1), 0, np.floor(low))
    return (uv - shift).astype(np.float32) * np.float32(1 - 1e-5)  # an edge at 1 is the last row, not the first again


def mesh_piece(mesh: Any, rng: np.random.Generator) -> Piece:
    """A trimesh with its texture, its vertex or face colours, or, when it has neither, a random surface."""
    vertices, faces = np.asarray(mesh.vertices, np.float64), np.asarray(mesh.faces, np.int32)
    zeros = np.zeros(len(faces), np.int32)
    visual = mesh.visual
    gloss = Material(float(rng.uniform(0, 0.4)), float(rng.uniform(10, 80)))
    if visual.kind == "texture" and visual.uv is not None:
        material = visual.material
        image = getattr(material, "baseColorTexture", None) or getattr(material, "image", None)
        if image is not None:
            uv = np.asarray(visual.uv, np.float32)[faces] * np.array([1, -1], np.float32) + np.array([0, 1], np.float32)
            uv = within_texture(uv)
            return Part(vertices, faces, uv, zeros), [mesh_tile(np.asarray(image.convert("RGB")))], gloss
        visual = visual.to_color()
    if visual.kind in ("vertex", "face") and visual.defined:
        colors = np.asarray(visual.face_colors)[:, :3]
    elif visual.kind == "texture":  # one colour for all, from the material
        colors = np.tile(np.asarray(visual.material.main_color)[:3], (len(faces), 1))
    else:
        return Part(vertices, faces, box_uv(vertices, faces), zeros), [mesh_tile(tex.anything(rng))], gloss
    image, where = _palette(colors)
    return Part(vertices, faces, np.repeat(where[:, None], 3, 1), zeros), [image], gloss
