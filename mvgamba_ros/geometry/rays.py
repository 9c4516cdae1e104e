"""Viewing rays of a camera, and their Plücker coordinates."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.types import F64, Camera

PARALLEL = 1e-6
"""Spread of lines, as in `axes_intersection`, below which they do not meet: about a milliradian around their mean."""


def pixel_rays(camera: Camera, part: tuple[slice, slice] = np.s_[:, :]) -> F64:
    """Directions (h, w, 3) through the centres of the pixels in ``part`` (rows, columns), in the camera frame, with a
    z component of 1: a ray's parameter is the z-depth. ``camera`` undistorted."""
    x = ((np.arange(camera.width) + 0.5 - camera.K[0, 2]) / camera.K[0, 0])[part[1]]
    y = ((np.arange(camera.height) + 0.5 - camera.K[1, 2]) / camera.K[1, 1])[part[0]]
    return np.stack(np.broadcast_arrays(x[None, :], y[:, None], 1.0), axis=-1)


def rays(camera: Camera, T_world_camera: F64) -> tuple[F64, F64]:
    """Origin (3,) and unit directions (H, W, 3) through every pixel's centre, in the world frame.

    Raises BAD_CAMERA_INFO for a camera that is still distorted.
    """
    if any(camera.distortion):
        raise ReconstructionError(ErrorCode.BAD_CAMERA_INFO, "undistort a camera before casting its rays")
    directions = pixel_rays(camera) @ T_world_camera[:3, :3].T
    return T_world_camera[:3, 3].copy(), directions / np.linalg.norm(directions, axis=-1, keepdims=True)


def plucker(origin: F64, directions: F64) -> F64:
    """Plücker coordinates (..., 6) = (o x d, d) of rays from ``origin`` (3,) along ``directions`` (..., 3)."""
    return np.concatenate([np.cross(origin, directions), directions], axis=-1)


def axes_intersection(origins: Iterable[F64], directions: Iterable[F64], min_spread: float = 1e-3) -> F64 | None:
    """The point (3,) nearest to all of several lines, in the least-squares sense.

    ``origins`` (N, 3) and unit ``directions`` (N, 3). None where the lines are as good as parallel: their normal
    matrix, the sum of ``I - d d^T``, has an eigenvalue below ``min_spread`` a line.
    """
    normal, target, count = np.zeros((3, 3)), np.zeros(3), 0
    for origin, direction in zip(origins, directions, strict=True):
        across = np.eye(3) - np.outer(direction, direction)
        normal += across
        target += across @ origin
        count += 1
    if np.linalg.eigvalsh(normal)[0] < min_spread * count:
        return None
    return np.asarray(np.linalg.solve(normal, target), np.float64)
