"""Triangles as rays see them: first hits and occlusion, by Embree through Open3D, with one thread."""

from __future__ import annotations

from typing import Any

import numpy as np

from mvgamba_ros.types import F32, F64, I32, I64, Bool


class RayScene:
    """The triangles of one object behind Embree."""

    def __init__(self, vertices: F64, faces: I32) -> None:
        import open3d as o3d

        tensor: Any = o3d.core.Tensor
        self._tensor = tensor
        self._scene = o3d.t.geometry.RaycastingScene(nthreads=1)
        corners = np.ascontiguousarray(vertices, np.float32)
        self._scene.add_triangles(tensor(corners), tensor(faces.astype(np.uint32)))

    def cast(self, origin: F32, direction: F32) -> tuple[F32, I64, F32]:
        """First hits: distance in units of ``direction`` (inf for a miss), triangle, barycentric (u, v)."""
        found = self._scene.cast_rays(self._tensor(np.concatenate([origin, direction], 1)), nthreads=1)
        return (
            found["t_hit"].numpy(),
            found["primitive_ids"].numpy().astype(np.int64),
            found["primitive_uvs"].numpy(),
        )

    def blocked(self, origin: F32, direction: F32) -> Bool:
        """Whether anything lies along each ray."""
        rays = self._tensor(np.concatenate([origin, direction], 1))
        return self._scene.test_occlusions(rays, nthreads=1).numpy().astype(bool)
