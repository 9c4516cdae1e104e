"""Shading with filtered textures and a room that shows in what mirrors."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from mvgamba_ros.synthesis.shading import Light, Rng, Shader
from mvgamba_ros.synthesis.textured_mesh import TexturedMesh
from mvgamba_ros.types import F32, F64, U8

LEVELS = 5
"""Of a texture, each half as large as the one before."""


class TextureLevels:
    """All textures (T, S, S, 3) of a scene with smaller and smaller copies of each, for lookups without aliasing."""

    def __init__(self, textures: U8) -> None:
        count, size = textures.shape[:2]
        flat, self.start, self.side, total = [], [], [], 0
        for level in range(LEVELS):
            side = size >> level
            small = (
                textures
                if not level
                else np.stack([cv2.resize(t, (side, side), interpolation=cv2.INTER_AREA) for t in textures])
            )
            flat.append(small.reshape(-1, 3))
            self.start.append(total)
            self.side.append(side)
            total += count * side * side
        self.flat = np.concatenate(flat)
        self._start, self._side = np.array(self.start, np.int32), np.array(self.side, np.int32)
        self._linear = ((np.arange(1021) / 1020.0) ** 2.2).astype(np.float32)

    def at(self, tile: NDArray[np.int32], uv: F32, level: NDArray[np.int64]) -> F32:
        """Linear RGB (N, 3) of tiles (N,) at (N, 2) coordinates that repeat, blended from four texels of a level."""
        side = self._side[level]
        first = self._start[level] + tile * side * side
        x = (uv - np.floor(uv)) * side[:, None].astype(np.float32) - np.float32(0.5)
        low = np.floor(x)
        part = x - low
        i = low.astype(np.int32)
        j = i + np.int32(1)
        i += (i < 0) * side[:, None]
        j -= (j >= side[:, None]) * side[:, None]
        rows = first + i[:, 1] * side, first + j[:, 1] * side
        texel = [self.flat[row + column].astype(np.float32) for row in rows for column in (i[:, 0], j[:, 0])]
        u, v = part[:, :1], part[:, 1:]
        upper = texel[0] + (texel[1] - texel[0]) * u
        lower = texel[2] + (texel[3] - texel[2]) * u
        return self._linear[((upper + (lower - upper) * v) * 4).astype(np.int32)]


class RoomShader(Shader):
    """Shades what a camera at ``eye`` (3,) sees whose pixels are ``pixel`` radians wide, in a room whose light by
    direction is ``environment`` (h, w, 3), linear."""

    def __init__(
        self, mesh: TexturedMesh, light: Light, levels: TextureLevels, environment: F32, eye: F64, pixel: float
    ) -> None:
        super().__init__(mesh, mesh.vertices, light)
        self.levels, self.environment = levels, environment
        corners = mesh.vertices[mesh.faces]
        a, b = mesh.uv[:, 1] - mesh.uv[:, 0], mesh.uv[:, 2] - mesh.uv[:, 0]
        texels = np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]) * float(mesh.textures.shape[1]) ** 2
        area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
        height = np.abs(np.einsum("fc,fc->f", self.flat.astype(np.float64), corners[:, 0] - eye))
        self.texels = (height * pixel * np.sqrt(texels / np.maximum(area, 1e-16))).astype(np.float32)

    def albedo(self, face: NDArray[np.int64], uv: F32, view: F32) -> F32:
        """See `Shader.albedo`; filtered as wide as a pixel is there."""
        cosine = np.maximum(np.abs(np.einsum("nc,nc->n", self.flat[face], view)), 0.03)
        wide = self.texels[face] / (cosine * np.sqrt(cosine))
        level = np.clip(np.rint(np.log2(np.maximum(wide, 1e-3))), 0, LEVELS - 1).astype(np.int64)
        return self.levels.at(self.tile[face], uv, level)

    def room(self, normal: F32, view: F32, facing: F32) -> F32:
        """See `Shader.room`."""
        return self.radiance(2 * facing[:, None] * normal - view)

    def radiance(self, direction: F32) -> F32:
        """Linear RGB (N, 3) that comes from directions (N, 3)."""
        if not len(direction):
            return np.zeros((0, 3), np.float32)
        height, width = self.environment.shape[:2]
        u = (np.arctan2(direction[:, 1], direction[:, 0]) / (2 * np.pi) + 0.5) * width - 0.5
        v = (0.5 - 0.5 * np.clip(direction[:, 2], -1, 1)) * height - 0.5
        # remap takes no more than 32767 along a side
        n = -(-len(u) // 16384) * 16384
        grid = np.zeros((2, n), np.float32)
        grid[0, : len(u)], grid[1, : len(v)] = u, v
        a, b = grid.reshape(2, -1, 16384)
        found = cv2.remap(self.environment, a, b, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(found.reshape(-1, 3)[: len(u)], np.float32)


def room_light(light: Light, rng: Rng) -> F32:
    """(96, 192, 3) linear light by direction, azimuth across and the sine of elevation down: sky above and ground
    below as in ``light``, with windows, lamps and furniture."""
    height, width = 96, 192
    z = np.linspace(1, -1, height, dtype=np.float32)
    up = np.clip(z * 2 + 0.5, 0, 1)[:, None, None]
    room = np.broadcast_to(light.sky * up + light.ground * (1 - up), (height, width, 3)).copy()
    for _ in range(int(rng.integers(4, 22))):
        w, h = int(rng.integers(4, 50)), int(rng.integers(3, 40))
        x, y = int(rng.integers(0, width)), int(rng.integers(8, 62))
        tint = 1 + rng.normal(0, 0.15, 3).astype(np.float32)
        part = np.roll(room, -x, 1)
        part[y : y + h, :w] *= np.float32(np.exp(rng.uniform(np.log(0.08), np.log(1.6)))) * tint
        room = np.roll(part, x, 1)
    for _ in range(int(rng.integers(1, 5))):
        w, h = int(rng.integers(4, 24)), int(rng.integers(3, 16))
        x, y = int(rng.integers(0, width)), int(rng.integers(0, 34))
        part = np.roll(room, -x, 1)
        part[y : y + h, :w] = np.float32(rng.uniform(0.8, 3.0)) * (1 + rng.normal(0, 0.08, 3))
        room = np.roll(part, x, 1)
    blurred = cv2.GaussianBlur(np.concatenate([room, room, room], 1), (0, 0), float(rng.uniform(0.6, 2.5)))
    return np.ascontiguousarray(np.maximum(blurred[:, width : 2 * width], 0), np.float32)
