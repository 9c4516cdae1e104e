"""Points on a mesh, and the box around it."""

from __future__ import annotations

import cv2
import numpy as np

from mvgamba_ros.types import F64, I32, Box, Mesh, PointCloud


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


def oriented_box(mesh: Mesh) -> Box:
    """The smallest box around the mesh that stands upright (its z axis is the world's), turned by less than 45 degrees.

    Things stand on tables: an upright box is what planners grasp by, even where a tilted one would be smaller.
    """
    points = mesh.vertices
    (cx, cy), (width, depth), degrees = cv2.minAreaRect((points[:, :2] - points[0, :2]).astype(np.float32) * 1e3)
    quarter_turns = round(degrees / 90.0)
    if quarter_turns % 2:
        width, depth = depth, width
    angle = np.deg2rad(degrees - 90.0 * quarter_turns)
    low, high = points[:, 2].min(), points[:, 2].max()
    T = np.eye(4)
    T[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    T[:3, 3] = points[0, 0] + cx / 1e3, points[0, 1] + cy / 1e3, (low + high) / 2.0
    return Box(T, np.array([width / 1e3, depth / 1e3, high - low]))
