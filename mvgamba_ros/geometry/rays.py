"""Viewing rays of a camera, and their Plücker coordinates."""

from __future__ import annotations

import numpy as np

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.types import F64, Camera


def rays(camera: Camera, T_world_camera: F64) -> tuple[F64, F64]:
    """Origin (3,) and unit directions (H, W, 3) through every pixel's centre, in the world frame.

    Raises BAD_CAMERA_INFO for a camera that is still distorted.
    """
    if any(camera.distortion):
        raise ReconstructionError(ErrorCode.BAD_CAMERA_INFO, "undistort a camera before casting its rays")
    x = (np.arange(camera.width) + 0.5 - camera.K[0, 2]) / camera.K[0, 0]
    y = (np.arange(camera.height) + 0.5 - camera.K[1, 2]) / camera.K[1, 1]
    in_camera = np.stack(np.broadcast_arrays(x[None, :], y[:, None], 1.0), axis=-1)
    directions = in_camera @ T_world_camera[:3, :3].T
    return T_world_camera[:3, 3].copy(), directions / np.linalg.norm(directions, axis=-1, keepdims=True)


def plucker(origin: F64, directions: F64) -> F64:
    """Plücker coordinates (..., 6) = (o x d, d) of rays from ``origin`` (3,) along ``directions`` (..., 3)."""
    return np.concatenate([np.cross(origin, directions), directions], axis=-1)


def looked_at(T_world_camera: F64) -> F64:
    """The point (3,) nearest to all optical axes of poses (V, 4, 4); 0.5 m ahead where the axes are parallel."""
    eyes, axes = T_world_camera[:, :3, 3], T_world_camera[:, :3, 2]
    across = np.eye(3) - axes[:, :, None] * axes[:, None, :]
    A = across.sum(axis=0)
    if np.linalg.cond(A) > 1e3:
        return np.asarray((eyes + 0.5 * axes).mean(axis=0))
    return np.asarray(np.linalg.solve(A, np.einsum("vij,vj->i", across, eyes)))
