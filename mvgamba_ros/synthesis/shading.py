"""Light on a mesh: a sampled light, Blinn-Phong shading with ambient occlusion and shadow rays, and a tone curve.

All of it is numpy over all rays of a picture at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mvgamba_ros.synthesis.ray_scene import RayScene
from mvgamba_ros.synthesis.textured_mesh import TexturedMesh
from mvgamba_ros.types import F32, F64

Rng = np.random.Generator

_AMBIENT_RAYS = 2


@dataclass(frozen=True)
class Light:
    """Everything that shines, in the world frame. Directions (…, 3) unit, towards the light; colours linear RGB."""

    key: F32
    key_color: F32
    softness: float
    fills: F32
    fill_colors: F32
    sky: F32
    ground: F32
    exposure: float
    contrast: float
    flat: bool = False
    """No light at all: surfaces show the colour of their texture."""


_NOTHING = np.zeros(3, np.float32)
_NONE = np.zeros((0, 3), np.float32)
FLAT = Light(_NOTHING, _NOTHING, 0.0, _NONE, _NONE, _NOTHING, _NOTHING, 1.0, 1.0, flat=True)
"""What generators of multi-view images and most renders of mesh collections show."""


def sample_light(rng: Rng) -> Light:
    """A random light: a key light that casts shadows, up to two fills that don't, a sky and a floor; scaled so that
    white turned to the key light is about white in the picture."""

    def tint(strength: float) -> F32:
        warm = rng.normal(0, strength)
        return np.array([1 + warm, 1 + rng.normal(0, strength * 0.2), 1 - warm], np.float32)

    def direction(low: float) -> F32:
        z, a = rng.uniform(low, 1), rng.uniform(0, 2 * np.pi)
        r = np.sqrt(1 - z * z)
        return np.array([r * np.cos(a), r * np.sin(a), z], np.float32)

    fills = int(rng.integers(0, 3))
    ambient = rng.uniform(0.25, 0.8)
    key = rng.uniform(0.2, 1.0)
    fill = rng.uniform(0.05, 0.4, fills).astype(np.float32)
    total = ambient + key * 0.8 + fill.sum() * 0.4
    whole = tint(0.06)
    return Light(
        key=direction(0.25),
        key_color=tint(0.06) * whole * np.float32(key / total),
        softness=float(rng.uniform(0.01, 0.25)),
        fills=np.stack([direction(-0.2) for _ in range(fills)]) if fills else np.zeros((0, 3), np.float32),
        fill_colors=np.array([tint(0.1) * f for f in fill], np.float32).reshape(-1, 3) / np.float32(total),
        sky=tint(0.06) * whole * np.float32(ambient / total),
        ground=tint(0.1) * whole * np.float32(ambient / total * rng.uniform(0.25, 0.9)),
        exposure=float(2.0 ** rng.uniform(-0.5, 0.6)),
        contrast=float(rng.uniform(0.9, 1.15)),
    )


def unit(v: F32) -> F32:
    """Vectors (N, 3) scaled to unit length."""
    return v / np.maximum(np.sqrt(np.einsum("nc,nc->n", v, v))[:, None], 1e-20)


def _power(x: F32, exponent: F32 | np.float32) -> F32:
    """x ** exponent for x >= 0: numpy's exp and log are vectorised where its power is not."""
    return np.exp(exponent * np.log(np.maximum(x, np.float32(1e-20))))


def random_directions(n: int, rng: Rng) -> F32:
    """Points (n, 3) on the unit sphere."""
    return unit(rng.standard_normal((n, 3), np.float32))


class Shader:
    """Shades hits on one object under one light."""

    def __init__(self, mesh: TexturedMesh, vertices: F64, light: Light) -> None:
        triangle = vertices[mesh.faces]
        flat = np.cross(triangle[:, 1] - triangle[:, 0], triangle[:, 2] - triangle[:, 0])
        self.flat = (flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-30)).astype(np.float32)
        corners = np.concatenate([mesh.normals, mesh.uv], 2)  # (F, 3, 5), blended as one
        self.corners, self.tile = np.ascontiguousarray(corners, np.float32), mesh.tile
        self.textures, self.vertices = mesh.textures, vertices
        gloss = np.array([[m.specular, m.shininess, m.metallic] for m in mesh.materials], np.float32)
        self.gloss = gloss[mesh.material]
        self.light = light
        self.linear = ((np.arange(256) / 255.0) ** 2.2).astype(np.float32)

    def facing(self, face: NDArray[np.int64], ahead: F32) -> F32:
        """Flat normals (N, 3) of hits by rays along ``ahead`` (N, 3), turned towards where the rays come from."""
        flat = self.flat[face]
        return flat * -np.sign(np.einsum("nc,nc->n", flat, ahead))[:, None]

    def albedo(self, face: NDArray[np.int64], uv: F32, view: F32) -> F32:
        """Linear RGB (N, 3) of the faces' textures at (N, 2) texture coordinates, seen from ``view`` (N, 3)."""
        size = self.textures.shape[1]
        pixel = (uv * size).astype(np.int32) % size  # textures repeat
        return self.linear[self.textures[self.tile[face], pixel[:, 1], pixel[:, 0]]]

    def room(self, normal: F32, view: F32, facing: F32) -> F32:
        """Linear RGB (N, 3) that comes from the room by mirroring at (N, 3) normals towards ``view`` (N, 3);
        ``facing`` (N,): the cosine between the two."""
        mirror = 2 * facing * normal[:, 2] - view[:, 2]
        up = np.clip(mirror * 2 + 0.5, 0, 1)[:, None]
        return self.light.sky * up + self.light.ground * (1 - up)

    def shade(self, face: NDArray[np.int64], bary: F32, view: F32, ambient: F32, lit: F32) -> F32:
        """Linear RGB (N, 3) leaving hits towards ``view`` (N, 3, unit) under ambient (N, 3) and the key's share
        ``lit`` (N,)."""
        light = self.light
        weights = np.concatenate([1 - bary.sum(1, keepdims=True), bary], 1)
        blend = np.matmul(weights[:, None], self.corners[face])[:, 0]
        n, uv = unit(blend[:, :3]), blend[:, 3:]
        facing = np.einsum("nc,nc->n", n, view)
        # a shading normal may lean away from the camera at a silhouette; the far side of thin walls never shows
        n += view * np.maximum(0.02 - facing, 0)[:, None]
        albedo = self.albedo(face, uv, view)
        if light.flat:
            return albedo
        specular, shininess, metallic = (self.gloss[face, k] for k in range(3))

        toward = n @ light.key
        key = np.maximum(toward, 0) * lit
        diffuse = ambient + key[:, None] * light.key_color
        half = unit(view + light.key)
        shine = _power(np.einsum("nc,nc->n", n, half), shininess) * lit * (toward > 0)
        gleam = (shine * (shininess + 8) / 16)[:, None] * light.key_color
        for d, c in zip(light.fills, light.fill_colors, strict=True):
            diffuse = diffuse + np.maximum(n @ d, 0)[:, None] * c
            half = unit(view + d)
            gleam = gleam + (_power(np.einsum("nc,nc->n", n, half), shininess) * 0.5)[:, None] * c
        # the room mirrored: sky above, floor below, more at grazing angles
        facing = np.clip(np.einsum("nc,nc->n", n, view), 0, 1)
        room = self.room(n, view, facing)
        fresnel = 0.04 + 0.96 * (1 - facing) ** 5
        metal = metallic[:, None]
        tint = 1 - metal + metal * albedo
        mirrored = room * (fresnel * specular + metallic * (1 - fresnel))[:, None]
        return albedo * (1 - metal * 0.85) * diffuse + tint * (gleam * specular[:, None] * 0.35 + mirrored)


def incident_light(
    rays: RayScene, points: F32, normals: F32, light: Light, floor: float, radius: float, rng: Rng
) -> F32:
    """(N, 4): ambient RGB and the share of the key light at surface points, from one shadow ray and a few over the
    hemisphere each; noisy, to be smoothed over the picture. ``floor``: height of the support plane or NaN."""
    n = len(points)
    if light.flat:
        return np.zeros((n, 4), np.float32)
    origin = points + normals * np.float32(max(radius * 2e-3, 5e-5))
    out = np.zeros((n, 4), np.float32)
    towards = light.key + light.softness * random_directions(n, rng)
    out[:, 3] = ~rays.blocked(origin, towards)
    out[:, :3] = ambient_light(rays, origin, normals, light, floor, radius, rng)
    return out


def ambient_light(
    rays: RayScene, origin: F32, normals: F32, light: Light, floor: float, radius: float, rng: Rng
) -> F32:
    """(N, 3): ambient RGB at points a little above a surface, as in `incident_light`."""
    out = np.zeros((len(origin), 3), np.float32)
    for _ in range(_AMBIENT_RAYS):
        d = unit(normals + 0.999 * random_directions(len(origin), rng))
        hit = rays.blocked(origin, d)
        up = d[:, 2:] * 0.5 + 0.5
        color = light.sky * up + light.ground * (1 - up)
        if np.isfinite(floor):
            # down to the plane, which the object darkens where it is near
            t = np.maximum((floor - origin[:, 2]) / np.minimum(d[:, 2], -1e-3), 0)
            near = (t / (t + 0.3 * radius)).astype(np.float32)
            color = np.where((d[:, 2] < -1e-3)[:, None], light.ground * near[:, None], color)
        color[hit] *= 0.25
        out += color / _AMBIENT_RAYS
    return out


def smooth_light(around: F32, where: NDArray[np.intp], shape: tuple[int, int], side: int, sigma: float) -> F32:
    """`incident_light` of a picture's pixels ``where`` (N,), smoothed among them by a Gaussian ``side`` pixels wide
    (0: as wide as it needs): (h * w, 4)."""
    light = np.zeros((shape[0] * shape[1], 5), np.float32)
    light[where, :4], light[where, 4] = around, 1
    smooth = np.asarray(cv2.GaussianBlur(light.reshape(*shape, 5), (side, side), sigma), np.float32).reshape(-1, 5)
    return smooth[:, :4] / np.maximum(smooth[:, 4:], np.float32(1e-6))


def tone_map(linear: F32, light: Light, gain: float) -> F32:
    """Linear light to sRGB in [0, 255], highlights rolled off as a camera does."""
    if light.flat:
        return 255 * _power(np.clip(linear, 0, 1), np.float32(1 / 2.2))
    x = linear * np.float32(light.exposure * gain)
    x = np.where(x > 0.8, 0.8 + 0.2 * (1 - np.exp(-(x - 0.8) / 0.2)), x)
    x = _power(np.clip(x, 0, 1), np.float32(1 / 2.2))
    return 255 * np.clip((x - 0.5) * np.float32(light.contrast) + 0.5, 0, 1)


def rotate_normals(mesh: TexturedMesh, vertices: F64) -> TexturedMesh:
    """The mesh with its shading normals turned as its vertices were."""
    a, b = mesh.vertices - mesh.vertices.mean(0), vertices - vertices.mean(0)
    u, _, vt = np.linalg.svd(b.T @ a)
    R = u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt
    return TexturedMesh(**{**mesh.__dict__, "normals": (mesh.normals @ R.T).astype(np.float32)})
