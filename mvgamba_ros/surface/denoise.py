"""Flat sides flat again: a mesh's wobble from face to face goes, its edges stay.

Normals first, as a picture's pixels are smoothed across all but its edges (Zheng, Fu, Au and Tai, "Bilateral normal
filtering for mesh denoising", 2011); then vertices follow them (Sun, Rosin, Martin and Langbein, "Fast and effective
feature-preserving mesh denoising", 2007).
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from mvgamba_ros.types import F64, I32, I64

EDGE = 0.3
"""Faces whose unit normals differ by much more than this, about 17 degrees, do not smooth each other."""
REACH = 1.5
"""Over so much of the mean distance between neighbouring faces' centres their say falls off."""
ROUNDS, MOVES = 20, 10


def denoise(vertices: F64, faces: I32) -> F64:
    """``vertices`` (V, 3) of a closed mesh, moved; ``faces`` (F, 3) stay what they are."""
    normals = _smooth_normals(vertices, faces)
    corners, count = faces.ravel(), len(vertices)
    faces_at = np.maximum(np.bincount(corners, minlength=count), 1)[:, None]
    for _ in range(MOVES):
        triangles = vertices[faces]
        off_plane = np.einsum("fkc,fc->fk", triangles.mean(1, keepdims=True) - triangles, normals)
        steps = (off_plane[..., None] * normals[:, None]).reshape(-1, 3)
        moved = np.stack([np.bincount(corners, steps[:, axis], count) for axis in range(3)], 1)
        vertices = vertices + moved / faces_at
    return vertices


def _smooth_normals(vertices: F64, faces: I32) -> F64:
    """(F, 3) unit normals, each smoothed over neighbours that it nearly agrees with."""
    triangles = vertices[faces]
    cross = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    area = np.linalg.norm(cross, axis=1)
    normals = cross / np.maximum(area, 1e-20)[:, None]
    one, other = _neighbours(faces)
    apart = ((triangles.mean(1)[one] - triangles.mean(1)[other]) ** 2).sum(1)
    near = area[other] * np.exp(-apart / (2 * REACH**2 * max(apart.mean(), 1e-20)))
    own = sparse.diags(area)
    for _ in range(ROUNDS):
        agreement = np.exp((np.einsum("nc,nc->n", normals[one], normals[other]) - 1) / EDGE**2)
        weights = sparse.csr_matrix((near * agreement, (one, other)), (len(faces), len(faces)))
        normals = weights @ normals + own @ normals
        normals /= np.maximum(np.linalg.norm(normals, axis=1), 1e-20)[:, None]
    return normals


def _neighbours(faces: I32) -> tuple[I64, I64]:
    """Every pair of faces that share an edge, both ways round; faces are of a closed mesh, two at each edge."""
    edges = np.sort(faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    face = np.lexsort((edges[:, 1], edges[:, 0])) // 3
    a, b = face[0::2], face[1::2]
    return np.concatenate([a, b]), np.concatenate([b, a])
