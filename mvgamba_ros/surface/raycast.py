"""A mesh, seen: depth and colour from any camera, and which of its points a camera sees (Embree through Open3D)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from mvgamba_ros.geometry.camera import project
from mvgamba_ros.types import F32, F64, U8, Bool, Camera, Mesh, View

GRAZING = 0.1
"""A surface seen at a smaller cosine than this is not seen: its pixels are smeared and its colour the neighbour's."""

EDGE = 1.5
"""Pixels: nearer than this to a silhouette's outline a colour is the background's too."""


@dataclass(frozen=True)
class Picture:
    """What a camera sees of a mesh: ``depth`` (H, W) z in metres, 0 off it; ``color`` (H, W, 3), ``normals`` (H, W, 3)
    in the world frame, 0 off it."""

    depth: F32
    color: U8
    normals: F32

    @property
    def mask(self) -> Bool:
        return self.depth > 0.0


class Raycaster:
    """Holds a mesh for casting rays; building it takes a few milliseconds."""

    def __init__(self, mesh: Mesh) -> None:
        import open3d as o3d

        self.mesh = mesh
        tensor: Any = o3d.core.Tensor  # its stubs know no float32 arrays
        self._tensor = tensor
        self._scene = o3d.t.geometry.RaycastingScene()
        self._scene.add_triangles(
            self._tensor(mesh.vertices.astype(np.float32)), self._tensor(mesh.faces.astype(np.uint32))
        )

    def picture(self, camera: Camera, T_world_camera: F64) -> Picture:
        """Render with colours interpolated between vertices, without shading; ``camera`` undistorted."""
        height, width = camera.height, camera.width
        part = self._window(camera, T_world_camera)
        x = ((np.arange(width) + 0.5 - camera.K[0, 2]) / camera.K[0, 0])[part[1]]
        y = ((np.arange(height) + 0.5 - camera.K[1, 2]) / camera.K[1, 1])[part[0]]
        in_camera = np.stack(np.broadcast_arrays(x[None, :], y[:, None], 1.0), axis=-1)
        rays = np.empty((len(y), len(x), 6), np.float32)
        rays[..., :3] = T_world_camera[:3, 3]
        rays[..., 3:] = in_camera @ T_world_camera[:3, :3].T  # z component 1 in the camera: t_hit is the z-depth
        cast = self._scene.cast_rays(self._tensor(rays))
        hits = cast["t_hit"].numpy()
        met = np.isfinite(hits)
        corners = self.mesh.faces[cast["primitive_ids"].numpy()[met]]
        uv = cast["primitive_uvs"].numpy()[met]
        barycentric = np.stack([1.0 - uv.sum(axis=1), uv[:, 0], uv[:, 1]], axis=1)
        depth = np.zeros((height, width), np.float32)
        color, normals = np.zeros((height, width, 3), np.uint8), np.zeros((height, width, 3), np.float32)
        depth[part][met] = hits[met]
        color[part][met] = np.einsum("nk,nkc->nc", barycentric, self.mesh.colors[corners].astype(np.float32)).round()
        normals[part][met] = cast["primitive_normals"].numpy()[met]
        return Picture(depth, color, normals)

    def _window(self, camera: Camera, T_world_camera: F64) -> tuple[slice, slice]:
        """Rows and columns outside of which ``camera`` sees nothing of the mesh."""
        pixels, z = project(camera, T_world_camera, self.mesh.vertices)
        if not (z > 0.0).all():  # some of it beside or behind the camera, which has no place in the picture
            return np.s_[:, :]
        size = [camera.width, camera.height]
        (x0, y0), (x1, y1) = (np.clip(end, 0, size).astype(int) for end in (pixels.min(0) - 1, pixels.max(0) + 2))
        return np.s_[y0:y1, x0:x1]

    def visible(self, points: F64, eye: F64) -> Bool:
        """(N,): nothing of the mesh lies between ``eye`` (3,) and the points (N, 3) on its surface."""
        direction = points - eye
        distance = np.linalg.norm(direction, axis=1, keepdims=True)
        slack = 2e-3 * float(np.ptp(self.mesh.vertices, axis=0).max())  # the point's own surface must not hide it
        origins = np.broadcast_to(eye, points.shape)
        rays = np.concatenate([origins, direction / distance], axis=1).astype(np.float32)
        hit = self._scene.cast_rays(self._tensor(rays))["t_hit"].numpy()
        return hit >= distance[:, 0] - slack


def view_weights(points: F64, normals: F64, views: Sequence[View], caster: Raycaster) -> F32:
    """How well each view sees each point: (V, N) cosines of the viewing angle, 0 where it is hidden, seen at a
    grazing angle or out of the picture. Points (N, 3) lie on the caster's surface, normals (N, 3) point outward."""
    weights = np.zeros((len(views), len(points)), np.float32)
    for v, view in enumerate(views):
        pixels, _ = project(view.camera, view.T_world_camera, points)
        eye = view.T_world_camera[:3, 3]
        to_eye = eye - points
        cosine = (to_eye * normals).sum(axis=1) / np.linalg.norm(to_eye, axis=1)
        size = [view.camera.width, view.camera.height]
        candidates = np.flatnonzero((cosine > GRAZING) & (pixels >= 0.0).all(axis=1) & (pixels < size).all(axis=1))
        seen = candidates[caster.visible(points[candidates], eye)]
        weights[v, seen] = cosine[seen]
    return weights


def paint(points: F64, weights: F32, views: Sequence[View], fallback: U8) -> U8:
    """Colours (N, 3) of points from the views that see them, the most frontal ones first; see `view_weights`.

    Pixels at a silhouette's edge mix with the background and do not count. A point that no view sees takes the
    colour of the nearest one that is seen, or its ``fallback`` (N, 3) where nothing is.
    """
    total = np.zeros((len(points), 3))
    norm = np.zeros((len(points), 1))
    for view, cosine in zip(views, weights, strict=True):
        seen = np.flatnonzero(cosine)
        if not len(seen):
            continue
        pixels, _ = project(view.camera, view.T_world_camera, points[seen])
        x, y = (pixels - 0.5).astype(np.float32).T[:, :, None]
        color = _sample(view.image, x, y)
        weight = cosine[seen].astype(np.float64) ** 4  # sharply: an average of misaligned views is a blur
        if view.mask is not None:
            inside = cv2.distanceTransform(view.mask.astype(np.uint8), cv2.DIST_L2, 5)
            weight *= np.clip((_sample(inside, x, y) - EDGE) / EDGE, 0.0, 1.0) ** 2
        total[seen] += weight[:, None] * color
        norm[seen] += weight[:, None]
    known = norm[:, 0] > 0.0
    if not known.any():
        return fallback
    colors = np.zeros((len(points), 3))
    colors[known] = total[known] / norm[known]
    if not known.all():
        from scipy.spatial import cKDTree

        colors[~known] = colors[known][cKDTree(points[known]).query(points[~known])[1]]
    return colors.round().astype(np.uint8)


def _sample(raster: np.ndarray, x: F32, y: F32) -> np.ndarray:
    """Bilinear samples at pixel indices (N, 1), in blocks since cv2.remap limits an image's side."""
    step = 1 << 14
    parts = [
        cv2.remap(raster, x[i : i + step], y[i : i + step], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for i in range(0, len(x), step)
    ]
    return np.concatenate(parts)[:, 0]
