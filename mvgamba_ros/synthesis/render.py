"""A mesh to a training example: colour with light and shadow, soft alpha, front and back depth, and surface points."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mvgamba_ros.synthesis.data_format import DEPTH_UNIT, SURFACE_POINTS
from mvgamba_ros.synthesis.pose_sampling import CameraRig, sample_cameras, sample_object_pose, sample_ring
from mvgamba_ros.synthesis.ray_scene import RayScene
from mvgamba_ros.synthesis.shading import (
    FLAT,
    Rng,
    Shader,
    incident_light,
    random_directions,
    rotate_normals,
    sample_light,
    smooth_light,
    tone_map,
    unit,
)
from mvgamba_ros.synthesis.textured_mesh import TexturedMesh
from mvgamba_ros.types import F32, F64, Bool

Arrays = dict[str, NDArray[Any]]

_NEAR = np.ones((3, 3), np.uint8)
_FOUR = np.array([[0.375, 0.125], [0.875, 0.375], [0.125, 0.625], [0.625, 0.875]], np.float32)
_TWO = np.array([[0.25, 0.25], [0.75, 0.75]], np.float32)


def reaches_outside(rays: RayScene, origin: F32, normals: F32, rng: Rng) -> Bool:
    """Which points (N, 3), just outside a surface with ``normals`` (N, 3), some straight line leads away from."""
    seen = np.zeros(len(origin), bool)
    for tries in range(24):
        left = np.flatnonzero(~seen)
        # first along the normal, then anywhere over the hemisphere
        spread = min(tries * 0.25, 0.999)
        seen[left] = ~rays.blocked(origin[left], normals[left] + spread * random_directions(len(left), rng))
    return seen


def sample_visible_surface(
    rays: RayScene, vertices: F64, faces: NDArray[np.int32], count: int, rng: Rng
) -> tuple[F32, F32]:
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
        seen = reaches_outside(rays, origin, normals, rng)
        found_points.append(points[seen])
        found_normals.append(normals[seen])
        missing -= int(seen.sum())
        if missing <= 0:
            return np.concatenate(found_points)[:count], np.concatenate(found_normals)[:count]
    raise ValueError(f"only {count - missing} of {count} points on the outside: the mesh is turned inside out")


def object_picture(
    rays: RayScene, shader: Shader, K: F64, T: F64, size: int, floor: float, radius: float, rng: Rng
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint16], NDArray[np.uint16]]:
    """One view of the object at the origin: rgb, alpha, depth_front and depth_back, as in `render`."""
    light = shader.light
    eye = T[:3, 3].astype(np.float32)
    # a pixel's ray, of unit z-depth, is linear in its coordinates
    right, down = T[:3, 0] / K[0, 0], T[:3, 1] / K[1, 1]
    corner = T[:3, 2] - K[0, 2] * right - K[1, 2] * down
    step = np.stack([right, down]).astype(np.float32)
    # only the part of the picture that the object can reach
    camera = (shader.vertices - T[:3, 3]) @ T[:3, :3]
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
    around = incident_light(
        rays, eye + ahead * t[hit, None], shader.facing(face[hit], ahead), light, floor, radius, rng
    )
    reaching = smooth_light(around, hit, (h, w), 5, 1.0)

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
    color = shader.shade(face[hit], bary[hit], unit(-direction[hit]), reaching[where, :3], reaching[where, 3])
    color = np.minimum(color, 4.0)
    total = np.stack([np.bincount(where, color[:, k], minlength=h * w) for k in range(3)], 1)
    covered = np.bincount(where, minlength=h * w)[:, None]
    gain = 2.0 ** rng.normal(0, 0.06)
    rgb, alpha = np.full((h * w, 3), 255.0), covered / np.maximum(samples, 1)[:, None]
    on = np.flatnonzero(covered)
    seen = tone_map((total[on] / covered[on]).astype(np.float32), light, gain)
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


def render(mesh: TexturedMesh, rig: CameraRig, rng: Rng, points: int = SURFACE_POINTS) -> Arrays:
    """One training example.

    ``rgb`` (V, S, S, 3) uint8 on white, ``alpha`` (V, S, S) uint8, ``depth_front`` and ``depth_back`` (V, S, S) uint16
    z-depths of the first and the last surface along each pixel centre's ray, in ``DEPTH_UNIT``, 0 for a miss; ``K``
    (V, 3, 3) float32, ``T_world_camera`` (V, 4, 4) float32, ``points`` and ``normals`` (N, 3), ``support_height``
    float32 (NaN when afloat), ``ring`` uint8, how many of the first views stand evenly on a ring.
    """
    ring = sample_ring(rig, rng)
    vertices, floor = sample_object_pose(mesh.vertices, mesh.upright, rig, rng, afloat=ring > 0)
    centre = (vertices.min(0) + vertices.max(0)) / 2
    radius = float(np.linalg.norm(vertices - centre, axis=1).max())
    K, T = sample_cameras(centre, radius, rig, rng, ring)
    # Embree works in float32: keep coordinates small, about the object
    local = vertices - centre
    light = FLAT if ring and rng.random() < 0.5 else sample_light(rng)
    rays, shader = RayScene(local, mesh.faces), Shader(rotate_normals(mesh, vertices), local, light)
    T_local = T.copy()
    T_local[:, :3, 3] -= centre
    views = [
        object_picture(rays, shader, k, t, rig.size, floor - centre[2], radius, rng)
        for k, t in zip(K, T_local, strict=True)
    ]
    rgb, alpha, front, back = (np.stack(v) for v in zip(*views, strict=True))
    surface, normals = sample_visible_surface(rays, local, mesh.faces, points, rng)
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
        "ring": np.uint8(ring),
    }
