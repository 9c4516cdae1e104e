"""The zero crossing of a field as a closed mesh."""

from __future__ import annotations

import numpy as np

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.hull import VisualHull
from mvgamba_ros.types import Mesh


def isosurface(hull: VisualHull) -> Mesh:
    """The surface where ``hull.field`` is zero, grey, closed even where the field is positive at the grid's border.

    Raises EMPTY_SURFACE where the field is positive nowhere.
    """
    import open3d as o3d  # a second to import: only when a surface is wanted

    padded = np.pad(hull.field, 1, constant_values=-hull.voxel)
    surface = o3d.t.geometry.TriangleMesh.create_isosurfaces(o3d.core.Tensor(padded), [0.0])
    if not (padded > 0.0).any() or not len(surface.triangle.indices):
        raise ReconstructionError(ErrorCode.EMPTY_SURFACE, "the field has no surface: nothing lies inside it")
    index = surface.vertex.positions.numpy()[:, ::-1].astype(np.float64) - 1.0  # x, y, z order is a mirror image ...
    faces = surface.triangle.indices.numpy()[:, ::-1].astype(np.int32)  # ... so the faces turn over
    vertices = hull.origin + hull.voxel * index
    return Mesh(vertices, np.ascontiguousarray(faces), np.full((len(vertices), 3), 160, np.uint8))
