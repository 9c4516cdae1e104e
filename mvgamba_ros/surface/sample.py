"""Points spread over a mesh, and normals at its vertices."""

from __future__ import annotations

import numpy as np

from mvgamba_ros.types import F32, F64, I32, I64, Mesh, PointCloud


def area_vectors(vertices: F64, faces: I32) -> F64:
    """Outward normals (F, 3) of ``faces`` (F, 3), each twice as long as its face's area.

    Like `trimesh.triangles.cross`, which takes its second edge from another corner: its last bits differ, and some
    meshes with them.
    """
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    return np.cross(b - a, c - a)


def vertex_normals(mesh: Mesh) -> F64:
    """Outward unit normals (V, 3), the area-weighted mean over each vertex's faces."""
    from trimesh.geometry import mean_vertex_normals

    # not `Trimesh.vertex_normals`: it weights by angle and takes ten times as long
    normals: F64 = mean_vertex_normals(len(mesh.vertices), mesh.faces, area_vectors(mesh.vertices, mesh.faces))
    return normals


def sample_cloud(mesh: Mesh, count: int, seed: int = 0) -> PointCloud:
    """``count`` points spread evenly over the mesh's area, with face normals and interpolated vertex colours.

    Stratified along the faces' summed area, so that no patch is left bare by chance, as with
    `trimesh.sample.sample_surface`; the same seed gives the same points.
    """
    face, barycentric = spread_points(mesh, count, seed)
    across = area_vectors(mesh.vertices, mesh.faces)
    corners = mesh.faces[face]
    points = np.einsum("nk,nkd->nd", barycentric, mesh.vertices[corners])
    colors = np.einsum("nk,nkd->nd", barycentric, mesh.colors[corners].astype(np.float64))
    normals = across[face] / np.maximum(np.linalg.norm(across[face], axis=1, keepdims=True), 1e-18)
    return PointCloud(points, normals, colors.round().astype(np.uint8))


def sample_values(mesh: Mesh, values: F32, count: int, seed: int = 0) -> F32:
    """``values`` (V,) of the vertices, interpolated at the points of `sample_cloud`, (count,)."""
    face, barycentric = spread_points(mesh, count, seed)
    sampled: F32 = np.einsum("nk,nk->n", barycentric, values[mesh.faces[face]]).astype(np.float32)
    return sampled


def spread_points(mesh: Mesh, count: int, seed: int = 0) -> tuple[I64, F64]:
    """Face (N,) and barycentric coordinates (N, 3) of the points of `sample_cloud`."""
    rng = np.random.default_rng(seed)
    summed = np.cumsum(np.linalg.norm(area_vectors(mesh.vertices, mesh.faces), axis=1))
    at = (np.arange(count) + rng.random(count)) / count * summed[-1]
    face = np.minimum(np.searchsorted(summed, at, side="right"), len(mesh.faces) - 1)
    u, v = rng.random((2, count))
    fold = u + v > 1.0
    u, v = np.where(fold, 1.0 - u, u), np.where(fold, 1.0 - v, v)
    return face, np.stack([1.0 - u - v, u, v], axis=1)
