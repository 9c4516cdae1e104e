"""Rigid transforms as (4, 4) float64 matrices, and unit quaternions.

``T_a_b`` takes points in b to a, so ``T_a_c = T_a_b @ T_b_c``. Quaternions are wxyz everywhere but in ROS messages,
which are xyzw; the two conversions below are the only place where the order changes.

transforms3d converts quaternions and composes matrices; SciPy interpolates rotations.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation, Slerp
from transforms3d.affines import compose
from transforms3d.quaternions import mat2quat, quat2mat

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.types import F64

OPENCV_FROM_OPENGL: F64 = np.diag([1.0, -1.0, -1.0, 1.0])
"""Takes OpenGL camera axes (x right, y up, z back) to OpenCV's (x right, y down, z forward); its own inverse."""

RIGID_TOLERANCE = 1e-3
"""How far R^T R may be from the identity: text files round, a scaled or sheared matrix is far outside of this."""


def rigid(R: F64, t: F64) -> F64:
    """The transform (4, 4) of a rotation (3, 3) and a translation (3,)."""
    return np.asarray(compose(t, R, np.ones(3)), dtype=np.float64)


def check_rigid(T: F64, what: str = "pose", tolerance: float = RIGID_TOLERANCE) -> F64:
    """``T`` as a float64 (4, 4) with its rotation made exactly orthonormal. ``what`` names it in messages,
    ``tolerance`` is how far R^T R may be off the identity.

    Raises BAD_POSE where ``T`` has another shape, holds NaN or infinity, is scaled, sheared or mirrored.
    """
    T = np.asarray(T, dtype=np.float64)
    if T.shape != (4, 4):
        raise ReconstructionError(ErrorCode.BAD_POSE, f"{what}: a pose is a 4x4 matrix, this one is {T.shape}")
    if not np.isfinite(T).all():
        raise ReconstructionError(ErrorCode.BAD_POSE, f"{what}: the pose holds NaN or infinity; check its source")
    if np.abs(T[3] - [0.0, 0.0, 0.0, 1.0]).max() > RIGID_TOLERANCE:
        raise ReconstructionError(ErrorCode.BAD_POSE, f"{what}: the last row of a pose is 0 0 0 1, not {T[3].tolist()}")
    R = T[:3, :3]
    error = float(np.abs(R.T @ R - np.eye(3)).max())
    determinant = float(np.linalg.det(R))
    if error <= tolerance and determinant < 0.0:
        raise ReconstructionError(
            ErrorCode.BAD_POSE,
            f"{what}: the pose is mirrored (determinant {determinant:.3g}): the world or the camera is left-handed, as "
            "in Unity or Unreal; mirror one axis of it, so that x, y and z are right-handed",
        )
    if error > tolerance:
        raise ReconstructionError(
            ErrorCode.BAD_POSE,
            f"{what}: not a rotation (R^T R is off the identity by {error:.2g}, determinant {determinant:.3g}); "
            "poses must be rigid, without scale, shear or mirroring",
        )
    U, _, Vt = np.linalg.svd(R)
    return rigid(U @ Vt, T[:3, 3])


def inverse(T: F64) -> F64:
    """The inverse of rigid ``T`` (..., 4, 4)."""
    R_t = np.swapaxes(T[..., :3, :3], -1, -2)
    result = np.zeros_like(T)
    result[..., :3, :3] = R_t
    result[..., :3, 3] = -np.einsum("...ij,...j->...i", R_t, T[..., :3, 3])
    result[..., 3, 3] = 1.0
    return result


def transform(T_a_b: F64, points_b: F64) -> F64:
    """Points (..., 3) in b, expressed in a."""
    return points_b @ T_a_b[:3, :3].T + T_a_b[:3, 3]


def look_at(eye: F64, target: F64, up: F64 | tuple[float, float, float] = (0.0, 0.0, 1.0)) -> F64:
    """``T_world_camera`` of an OpenCV camera at ``eye`` whose z axis points to ``target``, image up along ``up``.

    An optical axis along ``up`` leaves the roll free; another axis is then taken. Raises BAD_POSE where ``eye`` is
    ``target``.
    """
    eye = np.asarray(eye, dtype=np.float64)
    forward = np.asarray(target, dtype=np.float64) - eye
    distance = float(np.linalg.norm(forward))
    if not distance > 0.0:
        raise ReconstructionError(ErrorCode.BAD_POSE, f"a camera at {eye.tolist()} cannot aim at its own centre")
    z = forward / distance
    x = np.cross(z, np.asarray(up, dtype=np.float64))
    if np.linalg.norm(x) < 1e-6:
        x = np.cross(z, np.eye(3)[int(np.argmin(np.abs(z)))])
    x /= np.linalg.norm(x)
    return rigid(np.stack([x, np.cross(z, x), z], axis=1), eye)


def matrix_to_quat(R: F64) -> F64:
    """Rotations (..., 3, 3) to unit quaternions (..., 4) wxyz, w >= 0."""
    quats = [mat2quat(matrix) for matrix in np.reshape(R, (-1, 3, 3))]
    return np.reshape(quats, (*np.shape(R)[:-2], 4)).astype(np.float64)


def quat_to_matrix(q_wxyz: F64) -> F64:
    """Quaternions wxyz (..., 4), of any length but zero, to rotations (..., 3, 3). Raises BAD_POSE on zero or NaN."""
    q = np.asarray(q_wxyz, dtype=np.float64)
    length = np.linalg.norm(q, axis=-1, keepdims=True)
    if not np.isfinite(q).all() or (length < 1e-9).any():
        raise ReconstructionError(ErrorCode.BAD_POSE, f"quaternion {q.tolist()}: zero or not finite, no rotation")
    matrices = [quat2mat(unit) for unit in np.reshape(q / length, (-1, 4))]
    return np.reshape(matrices, (*q.shape[:-1], 3, 3)).astype(np.float64)


def wxyz_to_xyzw(q: F64) -> F64:
    """(..., 4) from this package's order to ROS's."""
    return np.roll(q, -1, axis=-1)


def xyzw_to_wxyz(q: F64) -> F64:
    """(..., 4) from ROS's order to this package's."""
    return np.roll(q, 1, axis=-1)


def interpolate(T0: F64, T1: F64, s: float) -> F64:
    """The pose at ``s`` in [0, 1] between two: translation linear, rotation along the shorter arc."""
    rotations = Rotation.from_matrix(np.stack([T0[:3, :3], T1[:3, :3]]))
    return rigid(Slerp([0.0, 1.0], rotations)(s).as_matrix(), (1.0 - s) * T0[:3, 3] + s * T1[:3, 3])
