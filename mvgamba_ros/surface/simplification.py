"""Fewer faces, better placed: decimation by quadric edge collapse, division of long edges, the convex hull."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mvgamba_ros.config.surface_config import SurfaceConfig
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.types import F64, I32, Bool, Mesh

if TYPE_CHECKING:
    import manifold3d
    import open3d


def decimate(
    vertices: F64, faces: I32, max_faces: int, negligible: float, config: SurfaceConfig = SurfaceConfig()
) -> tuple[F64, I32]:
    """A closed mesh with at most ``max_faces``; one that is light enough stays as it is.

    Manifold first drops what moves the surface by less than ``negligible`` (metres), cheaply; Open3D's quadric edge
    collapses (Garland and Heckbert, "Surface simplification using quadric error metrics", SIGGRAPH 1997) spend the
    faces left where the surface bends. Collapses can pinch a surface into edges of four faces; where they do, Manifold,
    which keeps every mesh closed, goes on with a larger tolerance.

    Raises BAD_OPTION where nothing closed is left of the surface at ``max_faces``.
    """
    if len(faces) <= max_faces:
        return vertices, faces
    body = to_manifold(vertices, faces).simplify(negligible)
    vertices, faces = from_manifold(body)
    if len(faces) > max_faces:
        vertices, faces = _quadric_decimation(vertices, faces, max_faces)
    fewest = len(faces)
    while len(faces) > max_faces or not is_watertight(faces):
        negligible *= config.tolerance_growth
        body = body.simplify(negligible)
        vertices, faces = from_manifold(body)
        if not len(faces):  # many small parts can vanish at once, before there are few enough of them
            raise ReconstructionError(
                ErrorCode.BAD_OPTION,
                f"max_faces {max_faces} is too few for this surface of many parts: allow at least {fewest}",
            )
        fewest = len(faces)
    return vertices, faces


def _quadric_decimation(vertices: F64, faces: I32, max_faces: int) -> tuple[F64, I32]:
    import open3d as o3d

    mesh = to_open3d(vertices, faces).simplify_quadric_decimation(max_faces)
    mesh.triangles = o3d.utility.Vector3iVector(_without_folds(np.asarray(mesh.triangles)))
    mesh.remove_unreferenced_vertices()
    return np.array(mesh.vertices), np.array(mesh.triangles)


def _without_folds(faces: I32) -> I32:
    """Faces without those of no area and without pairs that cover each other, back to back.

    Open3D's `remove_duplicated_triangles` keeps one of such a pair, which leaves the mesh open.
    """
    faces = faces[(faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])]
    _, index, count = np.unique(np.sort(faces, axis=1), axis=0, return_inverse=True, return_counts=True)
    single: Bool = (count == 1)[index.ravel()]
    return faces[single]


def uneven(vertices: F64, faces: I32, config: SurfaceConfig = SurfaceConfig()) -> bool:
    """Whether some of the edges are much longer than most."""
    lengths = _lengths(vertices, faces)
    return bool(np.quantile(lengths, config.uneven_quantile) > config.uneven_ratio * np.median(lengths))


def _lengths(vertices: F64, faces: I32) -> F64:
    """(F, 3): of each face's edges."""
    return np.linalg.norm(vertices[faces] - vertices[np.roll(faces, 1, axis=1)], axis=2)


def divide(vertices: F64, faces: I32, max_faces: int, config: SurfaceConfig = SurfaceConfig()) -> tuple[F64, I32]:
    """The same closed surface with its longest edges divided, as far as ``max_faces`` allows.

    Colours lie at vertices: between those of a large flat face they would be smeared. (trimesh's `subdivide_to_size`
    divides faces one by one, which opens the mesh.)
    """
    body = finest = to_manifold(vertices, faces)
    # if all faces were equilateral, their edges would be about as long as this: the area is sqrt(3) / 4 of the square
    # of an edge, and 4 / sqrt(3) is about 2.3
    alike = (2.3 * body.surface_area() / max_faces) ** 0.5
    low, high = config.shortest_length * alike, float(_lengths(vertices, faces).max())
    length = min(config.first_length * alike, high)
    for _ in range(config.max_divisions):
        divided = body.refine_to_length(length)
        count = divided.num_tri()
        if count <= max_faces:
            finest, high = divided, length
        else:
            low = length
        if config.enough_faces * max_faces <= count <= max_faces:
            break
        length *= (count / (0.5 * (1.0 + config.enough_faces) * max_faces)) ** config.length_exponent
        if not low < length < high:
            length = (low * high) ** 0.5
    return from_manifold(finest)


def convex_hull(mesh: Mesh) -> Mesh:
    """The convex hull, closed, with the colours of the vertices it keeps."""
    hull, kept = to_open3d(mesh.vertices, mesh.faces).compute_convex_hull()
    return Mesh(np.array(hull.vertices), np.array(hull.triangles), mesh.colors[kept])


def is_watertight(faces: I32) -> bool:
    """Every edge is shared by exactly two faces, which run along it in opposite directions; False without faces."""
    from trimesh.geometry import faces_to_edges
    from trimesh.graph import is_watertight

    return len(faces) > 0 and all(is_watertight(faces_to_edges(faces)))


def to_manifold(vertices: F64, faces: I32) -> manifold3d.Manifold:
    """A closed mesh (V, 3), (F, 3) for Manifold, in single precision."""
    from manifold3d import Manifold, Mesh

    return Manifold(Mesh(vertices.astype(np.float32), faces.astype(np.uint32)))


def from_manifold(body: manifold3d.Manifold) -> tuple[F64, I32]:
    """Vertices (V, 3), faces (F, 3)."""
    mesh = body.to_mesh()
    return np.asarray(mesh.vert_properties, np.float64)[:, :3], np.asarray(mesh.tri_verts).astype(np.int32)


def to_open3d(vertices: F64, faces: I32) -> open3d.geometry.TriangleMesh:
    """A mesh (V, 3), (F, 3) for Open3D."""
    import open3d as o3d

    return o3d.geometry.TriangleMesh(o3d.utility.Vector3dVector(vertices), o3d.utility.Vector3iVector(faces))
