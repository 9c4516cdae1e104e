"""Points on a mesh, and the box around it."""

from __future__ import annotations

import numpy as np

from mvgamba_ros.types import F64, I32, Mesh, PointCloud


def area_vectors(vertices: F64, faces: I32) -> F64:
    """Outward normals (F, 3), each twice as long as its face's area."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    return np.cross(b - a, c - a)


def vertex_normals(mesh: Mesh) -> F64:
    """Outward unit normals (V, 3), the area-weighted mean over each vertex's faces."""
    face = area_vectors(mesh.vertices, mesh.faces)
    normals = np.zeros_like(mesh.vertices)
    for k in range(3):
        np.add.at(normals, mesh.faces[:, k], face)
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)


def sample_cloud(mesh: Mesh, count: int, seed: int = 0) -> PointCloud:
    """``count`` points spread evenly over the mesh's area, with face normals and interpolated vertex colours.

    Stratified along the faces' summed area, so that no patch is left bare by chance; the same seed gives the same
    points.
    """
    rng = np.random.default_rng(seed)
    cross = area_vectors(mesh.vertices, mesh.faces)
    doubled = np.linalg.norm(cross, axis=1)
    summed = np.cumsum(doubled)
    at = (np.arange(count) + rng.random(count)) / count * summed[-1]
    face = np.minimum(np.searchsorted(summed, at, side="right"), len(mesh.faces) - 1)
    u, v = rng.random((2, count))
    fold = u + v > 1.0
    u, v = np.where(fold, 1.0 - u, u), np.where(fold, 1.0 - v, v)
    barycentric = np.stack([1.0 - u - v, u, v], axis=1)
    corners = mesh.faces[face]
    points = np.einsum("nk,nkd->nd", barycentric, mesh.vertices[corners])
    colors = np.einsum("nk,nkd->nd", barycentric, mesh.colors[corners].astype(np.float64))
    normals = cross[face] / np.maximum(doubled[face, None], 1e-18)
    return PointCloud(points, normals, colors.round().astype(np.uint8))


def _convex(mesh: Mesh) -> Mesh:
    """The convex hull, with the colours of the vertices it keeps."""
    from scipy.spatial import ConvexHull

    hull = ConvexHull(mesh.vertices)
    used, index = np.unique(hull.simplices, return_inverse=True)
    faces = index.reshape(-1, 3).astype(np.int32)
    vertices = mesh.vertices[used]
    inward = (area_vectors(vertices, faces) * hull.equations[:, :3]).sum(axis=1) < 0.0
    faces[inward] = faces[inward][:, ::-1]
    return Mesh(vertices, faces, mesh.colors[used])
