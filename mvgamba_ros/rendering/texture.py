"""Texture: colours of a mesh's points from the views that see them."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from mvgamba_ros.config.texture_config import TextureConfig
from mvgamba_ros.geometry.camera import project
from mvgamba_ros.geometry.occlusion import visible
from mvgamba_ros.geometry.raster import depth_inside
from mvgamba_ros.rendering.mesh_raycaster import Raycaster
from mvgamba_ros.rendering.visibility import point_cosines, visible_cosines
from mvgamba_ros.types import F32, F64, U8, View


def view_weights(
    points: F64, normals: F64, views: Sequence[View], caster: Raycaster, config: TextureConfig = TextureConfig()
) -> F32:
    """How well each view sees each point: (V, N) cosines of the viewing angle, 0 where it is hidden, seen at a
    grazing angle or out of the picture. Points (N, 3) lie on the caster's surface, normals (N, 3) point outward."""
    weights = np.zeros((len(views), len(points)), np.float32)
    for v, view in enumerate(views):
        cosines = point_cosines(points, normals, view.T_world_camera[:3, 3])
        weights[v] = visible_cosines(points, cosines, view, caster, config)
    return weights


def paint(
    points: F64, weights: F32, views: Sequence[View], fallback: U8, config: TextureConfig = TextureConfig()
) -> U8:
    """Colours (N, 3) of points from the views that see them, the most frontal ones first; see `view_weights`.

    Pixels at a silhouette's edge mix with the background and do not count, nor do those where another thing may cover
    the object. A point that no view sees takes the
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
        color = sample_raster(view.image, x, y)
        weight = cosine[seen].astype(np.float64) ** config.cosine_exponent
        if view.mask is not None:
            margin = config.outline_margin
            weight *= np.clip((sample_raster(depth_inside(visible(view)), x, y) - margin) / margin, 0.0, 1.0) ** 2
        total[seen] += weight[:, None] * color
        norm[seen] += weight[:, None]
    known, unknown = np.flatnonzero(norm > 0.0), np.flatnonzero(norm == 0.0)
    if not len(known):
        return fallback
    colors = total / np.maximum(norm, 1e-18)
    if len(unknown):
        from scipy.spatial import cKDTree

        # too few queries to be worth balancing
        tree = cKDTree(points.take(known, axis=0), balanced_tree=False, compact_nodes=False)
        colors[unknown] = colors.take(known.take(tree.query(points.take(unknown, axis=0))[1]), axis=0)
    return colors.round().astype(np.uint8)


def sample_raster(raster: np.ndarray, x: F32, y: F32) -> np.ndarray:
    """Bilinear samples at pixel indices (N, 1), in blocks since cv2.remap limits an image's side."""
    step = 1 << 14
    parts = [
        cv2.remap(raster, x[i : i + step], y[i : i + step], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for i in range(0, len(x), step)
    ]
    return np.concatenate(parts)[:, 0]
