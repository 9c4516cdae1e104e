"""Messages, transforms and parameters as a camera driver, TF and a node would give them, without a node."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
from geometry_msgs.msg import TransformStamped
from sensor_msgs.msg import CameraInfo, Image

from mvgamba_ros.geometry.se3 import look_at
from mvgamba_ros.options import Options
from mvgamba_ros.ros.conversions.geometry import camera_to_camera_info, matrix_to_transform
from mvgamba_ros.ros.conversions.images import array_to_image
from mvgamba_ros.ros.transforms import TransformBuffer
from mvgamba_ros.ros.view_buffer import CapturedView
from mvgamba_ros.types import Camera, View

SECOND = 1_000_000_000
CAMERA = Camera(np.array([[50.0, 0, 16], [0, 50.0, 12], [0, 0, 1]]), 32, 24)
SHARP = np.repeat(np.random.default_rng(0).integers(0, 256, (24, 32, 1), dtype=np.uint8), 3, axis=2)
EVEN = np.full((24, 32, 3), 128, np.uint8)


def parameters(**changes: Any) -> Any:
    """What capturing and requests read of the node's parameters, at their defaults but for ``changes``."""
    defaults = {
        "target_frame": "base", "camera_frame": "", "image_is_rectified": False, "sync_tolerance_s": 0.01,
        "max_image_age_s": 1.0, "silent_after_s": 2.0, "min_sharpness": 5.0, "motion_window_s": 0.1,
        "max_camera_speed_m_s": 0.02, "max_camera_turn_rate_rad_s": 0.1, "min_views": 3, "max_views": 16,
        "max_view_megapixels": 1.0, "max_request_mb": 1.0, "max_prompts": 10,
        "roi_m": [], "support_height_m": math.nan,
    }  # fmt: skip
    options = Options(min_views=changes.get("min_views", 3), max_faces=5000)
    return SimpleNamespace(**(vars(options) | defaults | changes), options=options)


def at(message: Any, seconds: float, frame: str = "camera") -> Any:
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(round(seconds * SECOND), SECOND)
    message.header.frame_id = frame
    return message


def photo(seconds: float, picture: np.ndarray = SHARP, frame: str = "camera") -> Image:
    return at(array_to_image(picture, "rgb8"), seconds, frame)


def info(seconds: float, focal: float = 50.0) -> CameraInfo:
    K = np.array([[focal, 0, 16], [0, focal, 12], [0, 0, 1]])
    return at(camera_to_camera_info(Camera(K, 32, 24)), seconds)


def pose(x: float = 0.0, turn: float = 0.0) -> np.ndarray:
    T = np.eye(4)
    T[:2, :2] = [[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]]
    T[0, 3] = x
    return T


def transforms(*moments: tuple[float, np.ndarray], child: str = "camera", parent: str = "base") -> TransformBuffer:
    buffer = TransformBuffer(60.0)
    for seconds, T in moments:
        message = at(TransformStamped(child_frame_id=child, transform=matrix_to_transform(T)), seconds, parent)
        buffer.insert(message, static=False)
    return buffer


STILL = ((5.0, pose(0.3)), (20.0, pose(0.3)))


MASK = np.pad(np.full((4, 6), 255, np.uint8), ((10, 10), (13, 13)))


def captured(*eye: float, stamp: float = 0.0) -> CapturedView:
    return CapturedView(View(SHARP, CAMERA, look_at(np.array(eye), np.zeros(3))), round(stamp * SECOND))
