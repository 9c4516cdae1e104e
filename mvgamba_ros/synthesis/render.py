"""A mesh to training views: colour with light and shadow, soft alpha, front and back depth, and exterior points.

Rays are cast by Embree through Open3D, with one thread; the shading is numpy over all rays of all views at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mvgamba_ros.synthesis.place import Rig, cameras, place
from mvgamba_ros.synthesis.textured_mesh import TexturedMesh
from mvgamba_ros.types import F32, F64

Arrays = dict[str, NDArray[Any]]
Rng = np.random.Generator

DEPTH_UNIT = 5e-5
"""Metres per count of a stored depth: 0.05 mm, 3.27 m at most."""
POINTS = 4096

_AMBIENT_RAYS = 2
_NEAR = np.ones((3, 3), np.uint8)
_FOUR = np.array([[0.375, 0.125], [0.875, 0.375], [0.125, 0.625], [0.625, 0.875]], np.float32)
_TWO = np.array([[0.25, 0.25], [0.75, 0.75]], np.float32)


class Rays:
    """The triangles of one object behind Embree."""

    def __init__(self, vertices: F64, faces: NDArray[np.int32]) -> None:
        import open3d as o3d

        tensor: Any = o3d.core.Tensor
        self._tensor = tensor
        self._scene = o3d.t.geometry.RaycastingScene(nthreads=1)
        corners = np.ascontiguousarray(vertices, np.float32)
        self._scene.add_triangles(tensor(corners), tensor(faces.astype(np.uint32)))

    def cast(self, origin: F32, direction: F32) -> tuple[F32, NDArray[np.int64], F32]:
        """First hits: distance in units of ``direction`` (inf for a miss), triangle, barycentric (u, v)."""
        found = self._scene.cast_rays(self._tensor(np.concatenate([origin, direction], 1)), nthreads=1)
        return (
            found["t_hit"].numpy(),
            found["primitive_ids"].numpy().astype(np.int64),
            found["primitive_uvs"].numpy(),
        )

    def blocked(self, origin: F32, direction: F32) -> NDArray[np.bool_]:
        """Whether anything lies along each ray."""
        rays = self._tensor(np.concatenate([origin, direction], 1))
        return self._scene.test_occlusions(rays, nthreads=1).numpy().astype(bool)


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


def draw_light(rng: Rng) -> Light:
    """A lamp that casts shadows, up to two that don't, a sky and a floor; scaled so that white turned to the lamp is
    about white in the picture."""

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


def _unit(v: F32) -> F32:
    return v / np.maximum(np.sqrt(np.einsum("nc,nc->n", v, v))[:, None], 1e-20)


def _power(x: F32, exponent: F32 | np.float32) -> F32:
    """x ** exponent for x >= 0: numpy's exp and log are vectorised where its power is not."""
    return np.exp(exponent * np.log(np.maximum(x, np.float32(1e-20))))


def _ball(n: int, rng: Rng) -> F32:
    """Points (n, 3) on the unit sphere."""
    return _unit(rng.standard_normal((n, 3), np.float32))


class Painter:
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

    def shade(self, face: NDArray[np.int64], bary: F32, view: F32, ambient: F32, lit: F32) -> F32:
        """Linear RGB (N, 3) leaving hits towards ``view`` (N, 3, unit) under ambient (N, 3) and the key's share
        ``lit`` (N,)."""
        light = self.light
        weights = np.concatenate([1 - bary.sum(1, keepdims=True), bary], 1)
        blend = np.matmul(weights[:, None], self.corners[face])[:, 0]
        n, uv = _unit(blend[:, :3]), blend[:, 3:]
        facing = np.einsum("nc,nc->n", n, view)
        # a shading normal may lean away from the camera at a silhouette; the far side of thin walls never shows
        n += view * np.maximum(0.02 - facing, 0)[:, None]
        size = self.textures.shape[1]
        pixel = (uv * size).astype(np.int32) % size  # textures repeat
        albedo = self.linear[self.textures[self.tile[face], pixel[:, 1], pixel[:, 0]]]
        specular, shininess, metallic = (self.gloss[face, k] for k in range(3))

        toward = n @ light.key
        key = np.maximum(toward, 0) * lit
        diffuse = ambient + key[:, None] * light.key_color
        half = _unit(view + light.key)
        shine = _power(np.einsum("nc,nc->n", n, half), shininess) * lit * (toward > 0)
        gleam = (shine * (shininess + 8) / 16)[:, None] * light.key_color
        for d, c in zip(light.fills, light.fill_colors, strict=True):
            diffuse = diffuse + np.maximum(n @ d, 0)[:, None] * c
            half = _unit(view + d)
            gleam = gleam + (_power(np.einsum("nc,nc->n", n, half), shininess) * 0.5)[:, None] * c
        # the room mirrored: sky above, floor below, more at grazing angles
        facing = np.clip(np.einsum("nc,nc->n", n, view), 0, 1)
        mirror = 2 * facing * n[:, 2] - view[:, 2]
        up = np.clip(mirror * 2 + 0.5, 0, 1)[:, None]
        room = light.sky * up + light.ground * (1 - up)
        fresnel = 0.04 + 0.96 * (1 - facing) ** 5
        metal = metallic[:, None]
        tint = 1 - metal + metal * albedo
        mirrored = room * (fresnel * specular + metallic * (1 - fresnel))[:, None]
        return albedo * (1 - metal * 0.85) * diffuse + tint * (gleam * specular[:, None] * 0.35 + mirrored)


def surround(rays: Rays, points: F32, normals: F32, light: Light, floor: float, radius: float, rng: Rng) -> F32:
    """(N, 4): ambient RGB and the share of the key light at surface points, from one shadow ray and a few over the
    hemisphere each; noisy, to be smoothed over the picture. ``floor``: height of the support plane or NaN."""
    n = len(points)
    origin = points + normals * np.float32(max(radius * 2e-3, 5e-5))
    out = np.zeros((n, 4), np.float32)
    towards = light.key + light.softness * _ball(n, rng)
    out[:, 3] = ~rays.blocked(origin, towards)
    for _ in range(_AMBIENT_RAYS):
        d = _unit(normals + 0.999 * _ball(n, rng))
        hit = rays.blocked(origin, d)
        up = d[:, 2:] * 0.5 + 0.5
        color = light.sky * up + light.ground * (1 - up)
        if np.isfinite(floor):
            # down to the plane, which the object darkens where it is near
            t = np.maximum((floor - origin[:, 2]) / np.minimum(d[:, 2], -1e-3), 0)
            near = (t / (t + 0.3 * radius)).astype(np.float32)
            color = np.where((d[:, 2] < -1e-3)[:, None], light.ground * near[:, None], color)
        color[hit] *= 0.25
        out[:, :3] += color / _AMBIENT_RAYS
    return out


def smoothed(around: F32, where: NDArray[np.intp], shape: tuple[int, int], side: int, sigma: float) -> F32:
    """`surround` of a picture's pixels ``where`` (N,), smoothed among them by a Gaussian ``side`` pixels wide (0: as
    wide as it needs): (h * w, 4)."""
    light = np.zeros((shape[0] * shape[1], 5), np.float32)
    light[where, :4], light[where, 4] = around, 1
    smooth = np.asarray(cv2.GaussianBlur(light.reshape(*shape, 5), (side, side), sigma), np.float32).reshape(-1, 5)
    return smooth[:, :4] / np.maximum(smooth[:, 4:], np.float32(1e-6))


def develop(linear: F32, light: Light, gain: float) -> F32:
    """Linear light to sRGB in [0, 255], highlights rolled off as a camera does."""
    x = linear * np.float32(light.exposure * gain)
    x = np.where(x > 0.8, 0.8 + 0.2 * (1 - np.exp(-(x - 0.8) / 0.2)), x)
    x = _power(np.clip(x, 0, 1), np.float32(1 / 2.2))
    return 255 * np.clip((x - 0.5) * np.float32(light.contrast) + 0.5, 0, 1)


def exterior(rays: Rays, vertices: F64, faces: NDArray[np.int32], count: int, rng: Rng) -> tuple[F32, F32]:
    """``count`` points (N, 3) and outward normals on the surface that can be seen from far away, even per area.

    Points inside another part, or in a cavity that no straight line leads out of, are left out.
    """
    triangle = vertices[faces]
    cross = np.cross(triangle[:, 1] - triangle[:, 0], triangle[:, 2] - triangle[:, 0])
    area = np.linalg.norm(cross, axis=1)
    cumulative = np.cumsum(area) / area.sum()
    found_points, found_normals, missing = [], [], count
    for _ in range(12):
        m = int(missing * 1.6) + 64
        face = np.minimum(np.searchsorted(cumulative, rng.random(m)), len(faces) - 1)
        a, b = rng.random((2, m, 1))
        flip = a + b > 1
        a, b = np.where(flip, 1 - a, a), np.where(flip, 1 - b, b)
        corner = triangle[face]
        points = (corner[:, 0] * (1 - a - b) + corner[:, 1] * a + corner[:, 2] * b).astype(np.float32)
        normals = (cross[face] / area[face, None]).astype(np.float32)
        origin = points + normals * np.float32(1e-5 + 1e-4 * np.ptp(vertices))
        seen = np.zeros(m, bool)
        for tries in range(24):
            left = np.flatnonzero(~seen)
            # first along the normal, then anywhere over the hemisphere
            spread = min(tries * 0.25, 0.999)
            seen[left] = ~rays.blocked(origin[left], normals[left] + spread * _ball(len(left), rng))
        found_points.append(points[seen])
        found_normals.append(normals[seen])
        missing -= int(seen.sum())
        if missing <= 0:
            return np.concatenate(found_points)[:count], np.concatenate(found_normals)[:count]
    raise ValueError(f"only {count - missing} of {count} points on the outside: the mesh is turned inside out")


def _picture(
    rays: Rays, painter: Painter, K: F64, T: F64, size: int, floor: float, radius: float, rng: Rng
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint16], NDArray[np.uint16]]:
    """One view of the object at the origin: rgb, alpha, depth_front and depth_back, as in `render`."""
    light = painter.light
    eye = T[:3, 3].astype(np.float32)
    # a pixel's ray, of unit z-depth, is linear in its coordinates
    right, down = T[:3, 0] / K[0, 0], T[:3, 1] / K[1, 1]
    corner = T[:3, 2] - K[0, 2] * right - K[1, 2] * down
    step = np.stack([right, down]).astype(np.float32)
    # only the part of the picture that the object can reach
    camera = (painter.vertices - T[:3, 3]) @ T[:3, :3]
    reach = camera[:, :2] / camera[:, 2:] * K[[0, 1], [0, 1]] + K[:2, 2]
    x0, y0 = np.clip(np.floor(reach.min(0)).astype(int) - 3, 0, size)
    x1, y1 = np.clip(np.ceil(reach.max(0)).astype(int) + 3, 0, size)
    window = (slice(y0, y1), slice(x0, x1))
    h, w = y1 - y0, x1 - x0
    at = np.stack(np.meshgrid(np.arange(x0, x1), np.arange(y0, y1)), -1).reshape(-1, 2).astype(np.float32)

    # pixel centres: depth, and the light that reaches each
    direction = (at + np.float32(0.5)) @ step + corner.astype(np.float32)
    t, face, bary = rays.cast(np.broadcast_to(eye, direction.shape), direction)
    hit = np.flatnonzero(np.isfinite(t))
    ahead = direction[hit]
    far = np.float32(np.linalg.norm(eye) + 2 * radius)
    back, _, _ = rays.cast(eye + ahead * far, -ahead)
    depth = np.zeros((2, h * w), np.uint16)
    depth[:, hit] = np.rint(np.stack([t[hit], np.maximum(far - back, t[hit])]) / DEPTH_UNIT)
    around = surround(rays, eye + ahead * t[hit, None], painter.facing(face[hit], ahead), light, floor, radius, rng)
    reaching = smoothed(around, hit, (h, w), 5, 1.0)

    # colour and coverage: four samples in each pixel that an outline may cross, two where the object fills it
    solid = np.isfinite(t).astype(np.uint8).reshape(h, w)
    samples = np.where(cv2.erode(solid, _NEAR), 2, 4 * cv2.dilate(solid, _NEAR)).ravel()
    outline, filled = np.flatnonzero(samples == 4), np.flatnonzero(samples == 2)
    pixel = np.concatenate([np.repeat(outline, 4), np.repeat(filled, 2)])
    offset = np.concatenate([np.tile(_FOUR, (len(outline), 1)), np.tile(_TWO, (len(filled), 1))])
    direction = (at[pixel] + offset) @ step + corner.astype(np.float32)
    t, face, bary = rays.cast(np.broadcast_to(eye, direction.shape), direction)
    hit = np.flatnonzero(np.isfinite(t))
    where = pixel[hit]
    color = painter.shade(face[hit], bary[hit], _unit(-direction[hit]), reaching[where, :3], reaching[where, 3])
    color = np.minimum(color, 4.0)
    total = np.stack([np.bincount(where, color[:, k], minlength=h * w) for k in range(3)], 1)
    covered = np.bincount(where, minlength=h * w)[:, None]
    gain = 2.0 ** rng.normal(0, 0.06)
    rgb, alpha = np.full((h * w, 3), 255.0), covered / np.maximum(samples, 1)[:, None]
    on = np.flatnonzero(covered)
    seen = develop((total[on] / covered[on]).astype(np.float32), light, gain)
    rgb[on] += (seen - 255) * alpha[on]

    def whole(part: NDArray[Any], background: int, dtype: type) -> NDArray[Any]:
        out = np.full((size, size, *part.shape[1:]), background, dtype)
        out[window] = part.reshape(h, w, *part.shape[1:])
        return out

    return (
        whole(np.rint(rgb), 255, np.uint8),
        whole(np.rint(255 * alpha[:, 0]), 0, np.uint8),
        whole(depth[0], 0, np.uint16),
        whole(depth[1], 0, np.uint16),
    )


def render(mesh: TexturedMesh, rig: Rig, rng: Rng, points: int = POINTS) -> Arrays:
    """One training example.

    ``rgb`` (V, S, S, 3) uint8 on white, ``alpha`` (V, S, S) uint8, ``depth_front`` and ``depth_back`` (V, S, S) uint16
    z-depths of the first and the last surface along each pixel centre's ray, in ``DEPTH_UNIT``, 0 for a miss; ``K``
    (V, 3, 3) float32, ``T_world_camera`` (V, 4, 4) float32, ``points`` and ``normals`` (N, 3), ``support_height``
    float32 (NaN when afloat).
    """
    vertices, floor = place(mesh.vertices, mesh.upright, rig, rng)
    centre = (vertices.min(0) + vertices.max(0)) / 2
    radius = float(np.linalg.norm(vertices - centre, axis=1).max())
    K, T = cameras(centre, radius, rig, rng)
    # Embree works in float32: keep coordinates small, about the object
    local = vertices - centre
    rays, painter = Rays(local, mesh.faces), Painter(with_normals(mesh, vertices), local, draw_light(rng))
    T_local = T.copy()
    T_local[:, :3, 3] -= centre
    views = [
        _picture(rays, painter, k, t, rig.size, floor - centre[2], radius, rng) for k, t in zip(K, T_local, strict=True)
    ]
    rgb, alpha, front, back = (np.stack(v) for v in zip(*views, strict=True))
    surface, normals = exterior(rays, local, mesh.faces, points, rng)
    return {
        "rgb": rgb,
        "alpha": alpha,
        "depth_front": front,
        "depth_back": back,
        "K": K.astype(np.float32),
        "T_world_camera": T.astype(np.float32),
        "points": (surface + centre).astype(np.float32),
        "normals": normals.astype(np.float16),
        "support_height": np.float32(floor),
    }


def with_normals(mesh: TexturedMesh, vertices: F64) -> TexturedMesh:
    """The mesh with its shading normals turned as its vertices were."""
    a, b = mesh.vertices - mesh.vertices.mean(0), vertices - vertices.mean(0)
    u, _, vt = np.linalg.svd(b.T @ a)
    R = u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt
    return TexturedMesh(**{**mesh.__dict__, "normals": (mesh.normals @ R.T).astype(np.float32)})
