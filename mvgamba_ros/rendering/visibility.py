"""Which views see a point of a mesh, and at what angle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from mvgamba_ros.config.texture_config import TextureConfig
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.camera import project
from mvgamba_ros.geometry.raster import part_around
from mvgamba_ros.rendering.mesh_raycaster import Raycaster
from mvgamba_ros.types import F32, F64, U8, Bool, Mesh, PointCloud, View


def point_cosines(points: F64, normals: F64, eye: F64) -> F64:
    """Cosines (N,) between outward normals (N, 3) at points (N, 3) and the directions to ``eye`` (3,)."""
    to_eye = eye - points
    cosines: F64 = np.einsum("nk,nk->n", to_eye, normals) / np.sqrt(np.einsum("nk,nk->n", to_eye, to_eye))
    return cosines


def vertex_cosines(mesh: Mesh, eye: F64) -> F64:
    """Of each vertex (V,), the largest cosine among its faces. A vertex on an edge is seen wherever one of its faces
    is, which the mean of their normals does not tell: at the foot of a box it points down. -1 without a face."""
    middles, normals = _faces(mesh)
    cosines = np.full(len(mesh.vertices), -1.0)
    np.maximum.at(cosines, mesh.faces.ravel(), np.repeat(point_cosines(middles, normals, eye), 3))
    return cosines


def visible_cosines(points: F64, cosines: F64, view: View, caster: Raycaster, config: TextureConfig) -> F32:
    """``cosines`` (N,) of points (N, 3) on the caster's surface where ``view`` sees them, else 0: hidden by the mesh
    or, as the view says, by another thing, seen at a grazing angle, or out of the picture."""
    pixels, _ = project(view.camera, view.T_world_camera, points)
    x, y = pixels.T
    within = (x >= 0.0) & (y >= 0.0) & (x < view.camera.width) & (y < view.camera.height)
    candidates = np.flatnonzero((cosines > config.min_cosine) & within)
    if view.hidden is not None:
        column, row = pixels[candidates].astype(np.int64).T
        candidates = candidates[~view.hidden[row, column]]
    eye = view.T_world_camera[:3, 3]
    seen = candidates[caster.visible(points[candidates], eye, config.occlusion_tolerance)]
    weights = np.zeros(len(points), np.float32)
    weights[seen] = cosines[seen]
    return weights


def within_silhouette(points: F64, view: View, margin: int) -> Bool:
    """(N,): which points (N, 3) project onto the view's mask or ``margin`` pixels beside it, along rows and columns;
    all of them for a view without a mask."""
    if view.mask is None:
        return np.ones(len(points), np.bool_)
    pixels, z = project(view.camera, view.T_world_camera, points)
    height, width = view.mask.shape
    part = part_around(view.mask, margin)
    grown = np.zeros((height + 1, width + 1), np.bool_)  # the last row and column stand for what is out of the picture
    grown[:-1, :-1][part] = (
        cv2.dilate(view.mask[part].astype(np.uint8), np.ones((2 * margin + 1, 2 * margin + 1), np.uint8)) > 0
    )
    x, y = pixels.T
    within = (x >= 0.0) & (y >= 0.0) & (x < width) & (y < height) & (z > 0.0)
    column, row = np.where(within, x, width).astype(np.int64), np.where(within, y, height).astype(np.int64)
    found: Bool = grown[row, column]
    return found


def vertex_sight(mesh: Mesh, views: Sequence[View], caster: Raycaster, config: TextureConfig) -> F32:
    """How well each view sees each vertex: (views, V) cosines of the face seen best, 0 where the view does not see it
    or it lies off the view's silhouette."""
    sight = np.zeros((len(views), len(mesh.vertices)), np.float32)
    for v, view in enumerate(views):
        cosines = vertex_cosines(mesh, view.T_world_camera[:3, 3])
        sight[v] = visible_cosines(mesh.vertices, cosines, view, caster, config)
        sight[v] *= within_silhouette(mesh.vertices, view, config.silhouette_margin)
    return sight


def count_views(points: F64, weights: F32, views: Sequence[View], config: TextureConfig) -> U8:
    """How many views see each point, (N,): ``weights`` (views, N) from `view_weights` above 0, and on the view's
    silhouette."""
    on = np.stack([within_silhouette(points, view, config.silhouette_margin) for view in views])
    return count_sight(weights * on)


def count_sight(sight: F32) -> U8:
    """Of ``sight`` (views, N), how many views see each point, (N,); 255 stands for that many or more."""
    return np.minimum(np.count_nonzero(sight, axis=0), 255).astype(np.uint8)


def seen_part(mesh: Mesh, views: Sequence[View], caster: Raycaster, config: TextureConfig) -> Mesh:
    """The faces of ``mesh`` (with ``seen``) that some view saw: all three corners, and the middle from its outer side.

    Open, with the vertices that these faces use. Raises EMPTY_SURFACE where no view sees any face.
    """
    assert mesh.seen is not None  # the pipeline counts before it cuts
    middles, normals = _faces(mesh)
    weights = np.zeros((len(views), len(middles)), np.float32)
    for v, view in enumerate(views):
        cosines = point_cosines(middles, normals, view.T_world_camera[:3, 3])
        weights[v] = visible_cosines(middles, cosines, view, caster, config)
    kept = (mesh.seen[mesh.faces] > 0).all(axis=1) & (count_views(middles, weights, views, config) > 0)
    if not kept.any():
        raise ReconstructionError(
            ErrorCode.EMPTY_SURFACE,
            f"seen_only: no view sees any of the mesh's {len(kept)} faces whole; check masks and poses, or leave "
            "seen_only out",
        )
    used, faces = np.unique(mesh.faces[kept], return_inverse=True)
    return replace(
        mesh,
        vertices=mesh.vertices[used],
        faces=faces.reshape(-1, 3).astype(np.int32),
        colors=mesh.colors[used],
        seen=mesh.seen[used],
        expected_error_mm=None if mesh.expected_error_mm is None else mesh.expected_error_mm[used],
    )


def seen_points(cloud: PointCloud) -> PointCloud:
    """The points of ``cloud`` (with ``seen``) that some view saw."""
    assert cloud.seen is not None
    kept = cloud.seen > 0
    errors = cloud.expected_error_mm
    return PointCloud(
        cloud.points[kept],
        cloud.normals[kept],
        cloud.colors[kept],
        cloud.seen[kept],
        None if errors is None else errors[kept],
    )


def _faces(mesh: Mesh) -> tuple[F64, F64]:
    """Middles and outward unit normals of the faces, (F, 3) each; the normal of a face without area is 0."""
    a, b, c = (mesh.vertices[mesh.faces[:, k]] for k in range(3))
    normals = np.cross(b - a, c - a)
    return (a + b + c) / 3.0, normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-18)
