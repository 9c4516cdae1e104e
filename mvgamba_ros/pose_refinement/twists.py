"""Small motions of a camera: twists (rotation vector, translation) in its own optical frame.

A pose ``T`` (world from camera) is corrected by multiplication from the right, ``T @ exponential(xi)``: an error of the
hand-eye calibration is one ``xi`` for all views, since the camera is fixed to the hand. Rotations in radians,
translations in metres; a twist is (6,), rotation first.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from mvgamba_ros.geometry.se3 import inverse, rigid, transform
from mvgamba_ros.types import F64


def exponential(twist: F64) -> F64:
    """The rigid transform (4, 4) of a twist (6,): its rotation, then its translation. For the small motions here it
    differs from the exponential map of SE(3) by terms of second order."""
    return rigid(Rotation.from_rotvec(twist[:3]).as_matrix(), twist[3:])


def logarithm(T: F64) -> F64:
    """The twist (6,) whose `exponential` is the rigid transform ``T`` (4, 4)."""
    return np.concatenate([Rotation.from_matrix(T[:3, :3]).as_rotvec(), T[:3, 3]])


def corrected(T_world_camera: F64, twists: F64) -> F64:
    """Poses (V, 4, 4) moved by twists (V, 6) in their own camera frames."""
    return np.stack([T @ exponential(twist) for T, twist in zip(T_world_camera, twists, strict=True)])


def cross_matrices(vectors: F64) -> F64:
    """(N, 3, 3) with ``cross_matrices(a) @ b == cross(a, b)`` for vectors (N, 3)."""
    x, y, z = vectors.T
    zero = np.zeros_like(x)
    return np.stack([np.stack([zero, -z, y], -1), np.stack([z, zero, -x], -1), np.stack([-y, x, zero], -1)], axis=1)


def point_motion(T_world_camera: F64, points: F64) -> F64:
    """(N, 3, 6): how world ``points`` (N, 3) move in the camera's frame as the camera moves by a twist."""
    in_camera = transform(inverse(T_world_camera), points)
    return np.concatenate([cross_matrices(in_camera), np.broadcast_to(-np.eye(3), (len(points), 3, 3))], axis=2)


def ray_motion(T_world_camera: F64, points: F64) -> F64:
    """(N, 3, 6): how world points (N, 3) that are fixed in the camera's frame move in the world as the camera moves by
    a twist: the points of a pixel's ray."""
    return -T_world_camera[:3, :3] @ point_motion(T_world_camera, points)


def focal_motion(T_world_camera: F64, points: F64) -> F64:
    """(N, 3): how points of the camera's frame at world ``points`` (N, 3) must move for their pixels to move as with a
    longer focal length, per unit of its logarithm."""
    return transform(inverse(T_world_camera), points) * [1.0, 1.0, 0.0]


def plane_motion(T_world_camera: F64, points: F64) -> F64:
    """(N, 2, 8): how the point of a horizontal plane that a pixel sees moves in the world's x and y, as the camera of
    that pixel moves by a twist (6), the plane rises (1) and the logarithm of its focal length grows (1); at world
    ``points`` (N, 3) of the plane.

    The point that the moved camera images where the unmoved one images ``p`` lies on the ray through both.
    """
    rotation, eye = T_world_camera[:3, :3], T_world_camera[:3, 3]
    up = np.broadcast_to(np.array([0.0, 0.0, 1.0])[:, None], (len(points), 3, 1))
    longer = (focal_motion(T_world_camera, points) @ rotation.T)[:, :, None]
    moved = np.concatenate([rotation @ point_motion(T_world_camera, points), up, longer], axis=2)
    rays = points - eye
    slopes = rays[:, :2] / rays[:, 2:]
    return moved[:, :2] - slopes[:, :, None] * moved[:, 2:]
