"""Parts of least-squares problems in one value per vertex of a mesh."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix, diags

from mvgamba_ros.types import F64, I32, View


def spread_rows(rows: F64, corners: I32, barycentric: F64, vertices: int) -> csr_matrix:
    """(M, ``vertices``) of ``rows`` (M,), each a factor of the value at a point in a triangle: ``corners`` (M, 3) by
    ``barycentric`` coordinates (M, 3)."""
    start = 3 * np.arange(len(rows) + 1)
    values = (rows[:, None] * barycentric).ravel()
    return csr_matrix((values, corners.ravel(), start), shape=(len(rows), vertices))


def pixel_motion(view: View, points: F64, along: F64) -> F64:
    """(N, 2) pixels by which world points (N, 3) move in the picture for each metre ``along`` (N, 3)."""
    R, K = view.T_world_camera[:3, :3], view.camera.K
    at, turned = (points - view.T_world_camera[:3, 3]) @ R, along @ R
    z = at[:, 2:]
    motion: F64 = K.diagonal()[:2] * (turned[:, :2] - at[:, :2] / z * turned[:, 2:]) / z
    return motion


def cotangent_laplacian(vertices: F64, faces: I32) -> csr_matrix:
    """(V, V) cotangent Laplacian, whose quadratic form is the Dirichlet energy (Pinkall and Polthier 1993); obtuse and
    thin triangles are clipped, so that it stays positive."""
    entries = []
    for k in range(3):
        i, j, opposite = (faces[:, (k + n) % 3] for n in range(3))
        a, b = vertices[i] - vertices[opposite], vertices[j] - vertices[opposite]
        sine = np.maximum(np.linalg.norm(np.cross(a, b), axis=1), 1e-12)
        entries.append((i, j, np.clip(np.einsum("nk,nk->n", a, b) / sine, 0.05, 20.0) / 2.0))
    i, j, weight = (np.concatenate(parts) for parts in zip(*entries, strict=True))
    ends = np.concatenate([i, j]), np.concatenate([j, i])
    W = csr_matrix((np.concatenate([weight, weight]), ends), shape=(len(vertices), len(vertices)))
    return diags(np.asarray(W.sum(axis=1)).ravel()) - W
