"""A mesh, seen: depth and colour from any camera, and which of its points a camera sees (Embree through Open3D)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from mvgamba_ros.geometry.camera import project
from mvgamba_ros.geometry.raster import depth_inside
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
        cast = {name: x.numpy() for name, x in self._scene.cast_rays(self._tensor(rays)).items()}
        met = np.flatnonzero(np.isfinite(cast["t_hit"]))
        corners = self.mesh.faces.take(cast["primitive_ids"].take(met), axis=0)
        u, v = cast["primitive_uvs"].reshape(-1, 2).take(met, axis=0).T
        barycentric = np.stack([1.0 - u - v, u, v], axis=1)
        colors = np.einsum("nk,nkc->nc", barycentric, self.mesh.colors.astype(np.float32).take(corners, axis=0))

        def placed(values: np.ndarray) -> Any:
            """``values`` (N, ...) at the rays that met, zero elsewhere, as a picture."""
            window = np.zeros((len(y) * len(x), *values.shape[1:]), values.dtype)
            window[met] = values
            picture = np.zeros((height, width, *values.shape[1:]), values.dtype)
            picture[part] = window.reshape(len(y), len(x), *values.shape[1:])
            return picture

        normals = cast["primitive_normals"].reshape(-1, 3).take(met, axis=0)
        return Picture(placed(cast["t_hit"].take(met)), placed(colors.round().astype(np.uint8)), placed(normals))

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
        cosine = np.einsum("nk,nk->n", to_eye, normals) / np.sqrt(np.einsum("nk,nk->n", to_eye, to_eye))
        x, y = pixels.T
        within = (x >= 0.0) & (y >= 0.0) & (x < view.camera.width) & (y < view.camera.height)
        candidates = np.flatnonzero((cosine > GRAZING) & within)
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
        weight = np.square(np.square(cosine[seen].astype(np.float64)))  # sharply: misaligned views' average is a blur
        if view.mask is not None:
            weight *= np.clip((_sample(depth_inside(view.mask), x, y) - EDGE) / EDGE, 0.0, 1.0) ** 2
        total[seen] += weight[:, None] * color
        norm[seen] += weight[:, None]
    known, unknown = np.flatnonzero(norm > 0.0), np.flatnonzero(norm == 0.0)
    if not len(known):
        return fallback
    colors = total / np.maximum(norm, 1e-18)
    if len(unknown):
        from scipy.spatial import cKDTree

        # asked too little to be worth balancing
        tree = cKDTree(points.take(known, axis=0), balanced_tree=False, compact_nodes=False)
        colors[unknown] = colors.take(known.take(tree.query(points.take(unknown, axis=0))[1]), axis=0)
    return colors.round().astype(np.uint8)


def _sample(raster: np.ndarray, x: F32, y: F32) -> np.ndarray:
    """Bilinear samples at pixel indices (N, 1), in blocks since cv2.remap limits an image's side."""
    step = 1 << 14
    parts = [
        cv2.remap(raster, x[i : i + step], y[i : i + step], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for i in range(0, len(x), step)
    ]
    return np.concatenate(parts)[:, 0]
