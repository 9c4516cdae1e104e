"""Poses, transforms and camera_info to the core's types and back. ROS quaternions are xyzw, the core's wxyz."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.camera import check_camera, named_distortion
from mvgamba_ros.geometry.se3 import matrix_to_quat, quat_to_matrix, rigid, wxyz_to_xyzw, xyzw_to_wxyz
from mvgamba_ros.types import F64, Box, Camera, DistortionModel

if TYPE_CHECKING:
    from geometry_msgs.msg import Point, Pose, Quaternion, Transform, Vector3
    from sensor_msgs.msg import CameraInfo

UNIT_QUATERNION_TOLERANCE = 0.01
"""How far from 1 a quaternion's length may be before the pose is refused (tf2's own bound)."""


def matrix_from(position: Point | Vector3, orientation: Quaternion, what: str) -> F64:
    """``T`` (4, 4). Raises BAD_POSE on NaN, infinity or a quaternion that is not of unit length."""
    q = orientation
    return numbers_to_matrix((position.x, position.y, position.z, q.x, q.y, q.z, q.w), what)


def numbers_to_matrix(numbers: Sequence[float], what: str) -> F64:
    """``T`` (4, 4) of x y z, metres, and a quaternion x y z w. Raises as `matrix_from`."""
    t, xyzw = np.array(numbers[:3]), np.array(numbers[3:])
    length = float(np.linalg.norm(xyzw))
    if not np.isfinite(t).all() or not abs(length - 1.0) <= UNIT_QUATERNION_TOLERANCE:
        raise ReconstructionError(
            ErrorCode.BAD_POSE,
            f"{what}: position {t.tolist()}, quaternion xyzw {xyzw.tolist()} of length {length:g}: "
            "must be finite and of length 1",
        )
    return rigid(quat_to_matrix(xyzw_to_wxyz(xyzw)), t)


def pose_to_matrix(pose: Pose, what: str = "pose") -> F64:
    """``T`` (4, 4) of a pose."""
    return matrix_from(pose.position, pose.orientation, what)


def transform_to_matrix(transform: Transform, what: str = "transform") -> F64:
    """``T`` (4, 4) of a transform."""
    return matrix_from(transform.translation, transform.rotation, what)


def matrix_to_pose(T: F64) -> Pose:
    """``T`` (4, 4), rigid, metres, as a Pose; quaternion xyzw."""
    from geometry_msgs.msg import Point, Pose, Quaternion

    x, y, z, qx, qy, qz, qw = pose_numbers(T)
    return Pose(position=Point(x=x, y=y, z=z), orientation=Quaternion(x=qx, y=qy, z=qz, w=qw))


def box_to_message(box: Box) -> tuple[Pose, Vector3]:
    """Centre and axes, and the full side lengths, metres."""
    from geometry_msgs.msg import Vector3

    x, y, z = np.asarray(box.size, dtype=np.float64).tolist()
    return matrix_to_pose(box.T_world_box), Vector3(x=x, y=y, z=z)


def matrix_to_transform(T: F64) -> Transform:
    """``T`` (4, 4), rigid, metres, as a Transform; quaternion xyzw."""
    from geometry_msgs.msg import Quaternion, Transform, Vector3

    x, y, z, qx, qy, qz, qw = pose_numbers(T)
    return Transform(translation=Vector3(x=x, y=y, z=z), rotation=Quaternion(x=qx, y=qy, z=qz, w=qw))


def pose_numbers(T: F64) -> list[float]:
    """x y z, then the quaternion x y z w, of ``T`` (4, 4)."""
    return cast("list[float]", [*T[:3, 3].tolist(), *wxyz_to_xyzw(matrix_to_quat(T[:3, :3])).tolist()])


def camera_info_to_camera(info: CameraInfo, rectified: bool = False, what: str = "camera_info") -> Camera:
    """The camera of the images that ``info`` goes with.

    ROS puts pixel centres at integers, the core at +0.5: the principal point moves by half a pixel. Binning and the
    region of interest of ``info`` are applied. ``rectified``: the images were rectified by image_proc, so P holds and
    nothing is distorted. Raises BAD_CAMERA_INFO.
    """
    K = np.array(info.p, dtype=np.float64).reshape(3, 4)[:, :3] if rectified else np.array(info.k).reshape(3, 3)
    K = K.astype(np.float64)
    if not K.any():
        raise ReconstructionError(
            ErrorCode.BAD_CAMERA_INFO,
            f"{what}: {'P' if rectified else 'K'} is all zero: the camera is not calibrated",
        )
    K[:2, 2] += 0.5
    width, height = info.width, info.height
    if info.roi.width and info.roi.height:
        K[:2, 2] -= [info.roi.x_offset, info.roi.y_offset]
        width, height = info.roi.width, info.roi.height
    binning = np.array([max(1, info.binning_x), max(1, info.binning_y)])
    K[:2] /= binning[:, None]

    model, distortion = ("none", ()) if rectified else named_distortion(info.distortion_model, info.d)
    camera = Camera(
        K=K,
        width=int(width // binning[0]),
        height=int(height // binning[1]),
        distortion_model=cast(DistortionModel, model),
        distortion=distortion,
    )
    check_camera(camera, what)
    return camera


def camera_to_camera_info(camera: Camera) -> CameraInfo:
    """The CameraInfo, without a header, that `camera_info_to_camera` reads as ``camera``."""
    from sensor_msgs.msg import CameraInfo

    return CameraInfo(**camera_info_fields(camera))


def camera_info_fields(camera: Camera) -> dict[str, Any]:
    """What of a CameraInfo depends on the camera, by the names of its fields."""
    K = camera.K.copy()
    K[:2, 2] -= 0.5
    P = np.zeros((3, 4))
    P[:, :3] = K
    none = camera.distortion_model == "none"
    return {
        "width": camera.width,
        "height": camera.height,
        "distortion_model": "plumb_bob" if none else camera.distortion_model,
        "d": [0.0] * 5 if none else list(camera.distortion),
        "k": K.reshape(-1).tolist(),
        "r": np.eye(3).reshape(-1).tolist(),
        "p": P.reshape(-1).tolist(),
    }
