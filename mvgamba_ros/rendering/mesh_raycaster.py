"""Ray casting against a mesh: depth, colour and normals from any camera, and occlusion of points (Embree through
Open3D)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mvgamba_ros.geometry.camera import project
from mvgamba_ros.geometry.rays import pixel_rays
from mvgamba_ros.types import F32, F64, I64, U8, Bool, Camera, Mesh


@dataclass(frozen=True)
class RenderedMesh:
    """A mesh rendered by a camera: ``depth`` (H, W) z-depth in metres, ``color`` (H, W, 3) uint8 RGB, ``normals``
    (H, W, 3) unit, in the world frame; all 0 off the mesh."""

    depth: F32
    color: U8
    normals: F32

    @property
    def mask(self) -> Bool:
        return self.depth > 0.0


class Raycaster:
    """Holds a mesh for casting rays; building it takes a few milliseconds."""

    def __init__(self, mesh: Mesh) -> None:
        import open3d as o3d

        self.mesh = mesh
        tensor: Any = o3d.core.Tensor  # its stubs lack float32 arrays
        self._tensor = tensor
        self._scene = o3d.t.geometry.RaycastingScene()
        self._scene.add_triangles(
            self._tensor(mesh.vertices.astype(np.float32)), self._tensor(mesh.faces.astype(np.uint32))
        )

    def render(self, camera: Camera, T_world_camera: F64) -> RenderedMesh:
        """Depth, normals and colours, interpolated between vertices, without shading; ``camera`` undistorted."""
        height, width = camera.height, camera.width
        part = self._window(camera, T_world_camera)
        in_camera = pixel_rays(camera, part)
        rays = np.empty((*in_camera.shape[:2], 6), np.float32)
        rays[..., :3] = T_world_camera[:3, 3]
        rays[..., 3:] = in_camera @ T_world_camera[:3, :3].T  # z component 1 in the camera: t_hit is the z-depth
        cast = {name: x.numpy() for name, x in self._scene.cast_rays(self._tensor(rays)).items()}
        met = np.flatnonzero(np.isfinite(cast["t_hit"]))
        corners = self.mesh.faces.take(cast["primitive_ids"].take(met), axis=0)
        u, v = cast["primitive_uvs"].reshape(-1, 2).take(met, axis=0).T
        barycentric = np.stack([1.0 - u - v, u, v], axis=1)
        colors = np.einsum("nk,nkc->nc", barycentric, self.mesh.colors.astype(np.float32).take(corners, axis=0))

        def placed(values: np.ndarray) -> Any:
            """``values`` (N, ...) at the rays that met, zero elsewhere, as an image."""
            window = np.zeros((cast["t_hit"].size, *values.shape[1:]), values.dtype)
            window[met] = values
            image = np.zeros((height, width, *values.shape[1:]), values.dtype)
            image[part] = window.reshape(*cast["t_hit"].shape, *values.shape[1:])
            return image

        normals = cast["primitive_normals"].reshape(-1, 3).take(met, axis=0)
        return RenderedMesh(placed(cast["t_hit"].take(met)), placed(colors.round().astype(np.uint8)), placed(normals))

    def depths(self, camera: Camera, T_world_camera: F64, pixels: F64) -> F64:
        """Z-depth (N,) in metres of the mesh at ``pixels`` (N, 2) of the undistorted ``camera``, infinite off it."""
        return np.asarray(self._cast(camera, T_world_camera, pixels)["t_hit"].numpy(), np.float64)

    def hits(self, camera: Camera, T_world_camera: F64, pixels: F64) -> tuple[I64, F64]:
        """The face (N,) that the undistorted ``camera`` sees at ``pixels`` (N, 2), -1 off the mesh, and barycentric
        coordinates (N, 3) in it."""
        cast = self._cast(camera, T_world_camera, pixels)
        face = np.where(np.isfinite(cast["t_hit"].numpy()), cast["primitive_ids"].numpy().astype(np.int64), -1)
        u, v = cast["primitive_uvs"].numpy().astype(np.float64).T
        return face, np.stack([1.0 - u - v, u, v], axis=1)

    def _cast(self, camera: Camera, T_world_camera: F64, pixels: F64) -> Any:
        rays = np.empty((len(pixels), 6), np.float32)
        rays[:, :3] = T_world_camera[:3, 3]
        in_camera = np.column_stack([(pixels - camera.K[:2, 2]) / camera.K[[0, 1], [0, 1]], np.ones(len(pixels))])
        rays[:, 3:] = in_camera @ T_world_camera[:3, :3].T
        return self._scene.cast_rays(self._tensor(rays))

    def _window(self, camera: Camera, T_world_camera: F64) -> tuple[slice, slice]:
        """Rows and columns outside of which ``camera`` sees nothing of the mesh."""
        pixels, z = project(camera, T_world_camera, self.mesh.vertices)
        if not (z > 0.0).all():  # some of it beside or behind the camera, which has no place in the image
            return np.s_[:, :]
        size = [camera.width, camera.height]
        (x0, y0), (x1, y1) = (np.clip(end, 0, size).astype(int) for end in (pixels.min(0) - 1, pixels.max(0) + 2))
        return np.s_[y0:y1, x0:x1]

    def visible(self, points: F64, eye: F64, tolerance: float) -> Bool:
        """(N,): nothing of the mesh lies between ``eye`` (3,) and the points (N, 3) on its surface, further in front of
        them than ``tolerance`` of the mesh's longest side."""
        direction = points - eye
        distance = np.linalg.norm(direction, axis=1, keepdims=True)
        slack = tolerance * float(np.ptp(self.mesh.vertices, axis=0).max())
        origins = np.broadcast_to(eye, points.shape)
        rays = np.concatenate([origins, direction / distance], axis=1).astype(np.float32)
        hit = self._scene.cast_rays(self._tensor(rays))["t_hit"].numpy()
        return hit >= distance[:, 0] - slack
