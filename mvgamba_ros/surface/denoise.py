"""Mesh denoising that keeps edges: the wobble from face to face goes, flat sides become flat.

Normals first, by a bilateral filter, as an image's pixels are smoothed across all but its edges (Zheng, Fu, Au and
Tai, "Bilateral normal filtering for mesh denoising", TVCG 2011); then vertices follow them (Sun, Rosin, Martin and
Langbein, "Fast and effective feature-preserving mesh denoising", TVCG 2007).
"""

from __future__ import annotations

import numpy as np

from mvgamba_ros.config.surface_config import SurfaceConfig
from mvgamba_ros.surface.sample import area_vectors
from mvgamba_ros.types import F64, I32, I64


def denoise(vertices: F64, faces: I32, config: SurfaceConfig = SurfaceConfig()) -> F64:
    """Moved ``vertices`` (V, 3) of a closed mesh in any unit; ``faces`` (F, 3) stay what they are."""
    normals = _smooth_normals(vertices, faces, config)
    corners, count = faces.ravel(), len(vertices)
    faces_at = np.maximum(np.bincount(corners, minlength=count), 1)[:, None]
    for _ in range(config.denoise_vertex_rounds):
        triangles = vertices[faces]
        off_plane = np.einsum("fkc,fc->fk", triangles.mean(1, keepdims=True) - triangles, normals)
        steps = (off_plane[..., None] * normals[:, None]).reshape(-1, 3)
        moved = np.stack([np.bincount(corners, steps[:, axis], count) for axis in range(3)], 1)
        vertices = vertices + moved / faces_at
    return vertices


def _smooth_normals(vertices: F64, faces: I32, config: SurfaceConfig) -> F64:
    """(F, 3) unit normals, each smoothed over neighbours that it nearly agrees with."""
    normals = area_vectors(vertices, faces)
    area = np.linalg.norm(normals, axis=1)
    normals /= np.maximum(area, 1e-20)[:, None]
    others, centres = _neighbours(faces), vertices[faces].mean(1)
    squared = ((centres[others] - centres[:, None]) ** 2).sum(2)
    variance = config.denoise_distance_sigma**2 * max(squared.mean(), 1e-20)
    near = area[others] * np.exp(-squared / (2 * variance))
    for _ in range(config.denoise_normal_rounds):
        around = normals[others]
        agreement = np.exp((np.einsum("fkc,fc->fk", around, normals) - 1) / config.denoise_normal_sigma**2)
        normals = area[:, None] * normals + np.einsum("fk,fkc->fc", near * agreement, around)
        normals /= np.maximum(np.linalg.norm(normals, axis=1), 1e-20)[:, None]
    return normals


def _neighbours(faces: I32) -> I64:
    """(F, 3): the faces across each face's edges, of a closed mesh, which has two at each edge.

    trimesh's `face_adjacency` lists pairs of faces, takes three times as long and would have to be sorted by face.
    """
    a, b = faces.ravel().astype(np.int64), np.roll(faces, -1, axis=1).ravel().astype(np.int64)
    order = np.argsort(np.minimum(a, b) * (int(faces.max()) + 1) + np.maximum(a, b), kind="stable")
    across = np.empty(len(order), np.int64)
    across[order[0::2]], across[order[1::2]] = order[1::2] // 3, order[0::2] // 3
    return across.reshape(-1, 3)
