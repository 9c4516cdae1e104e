"""camera_info, poses and transforms to the core's types and back: read right, or refused by name."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy")

from geometry_msgs.msg import Point, Pose, Quaternion
from hypothesis import given
from hypothesis import strategies as st
from sensor_msgs.msg import CameraInfo

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.se3 import quat_to_matrix
from mvgamba_ros.ros.conversions.geometry import (
    camera_info_to_camera,
    camera_to_camera_info,
    matrix_to_pose,
    pose_to_matrix,
)
from mvgamba_ros.ros.conversions.images import (
    array_to_image,
)
from mvgamba_ros.ros.view_capture import make_view, sharpness
from mvgamba_ros.types import Camera

pytestmark = pytest.mark.ros


def info(width: int = 640, height: int = 480, f: float = 500.0, model: str = "plumb_bob", d=()) -> CameraInfo:
    k = [f, 0.0, width / 2 - 0.5, 0.0, f, height / 2 - 0.5, 0.0, 0.0, 1.0]
    p = [f, 0.0, 300.0, 0.0, 0.0, f, 200.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    return CameraInfo(width=width, height=height, k=k, p=p, d=list(d), distortion_model=model)


def test_a_centred_ros_camera_is_centred_at_half_the_width():
    camera = camera_info_to_camera(info())
    assert (camera.K[0, 2], camera.K[1, 2]) == (320.0, 240.0)
    assert camera.distortion_model == "none"


def test_camera_info_survives_the_way_there_and_back():
    camera = Camera(np.array([[500.0, 0, 311], [0, 510.0, 222], [0, 0, 1]]), 640, 480, "plumb_bob", (0.1, 0, 0, 0, 0.2))
    back = camera_info_to_camera(camera_to_camera_info(camera))
    np.testing.assert_allclose(back.K, camera.K)
    assert (back.distortion_model, back.distortion) == (camera.distortion_model, camera.distortion)


@pytest.mark.parametrize(
    ("model", "count"), [("plumb_bob", 4), ("plumb_bob", 5), ("rational_polynomial", 8), ("equidistant", 4)]
)
def test_the_three_distortion_models_are_taken(model, count):
    camera = camera_info_to_camera(info(model=model, d=[0.01] * count))
    assert (camera.distortion_model, len(camera.distortion)) == (model, count)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (CameraInfo(width=640, height=480), "not calibrated"),
        (info(model="thin_prism", d=[0.1] * 5), "thin_prism"),
        (info(model="plumb_bob", d=[0.1] * 3), "3"),
        (info(width=0), "size"),
        (info(f=float("nan")), "finite"),
    ],
)
def test_a_camera_info_that_cannot_be_a_camera_is_refused(message, said):
    with pytest.raises(ReconstructionError, match=said) as caught:
        camera_info_to_camera(message)
    assert caught.value.code is ErrorCode.BAD_CAMERA_INFO


def test_a_rectified_camera_uses_P_and_no_distortion():
    camera = camera_info_to_camera(info(d=[0.1, 0, 0, 0, 0]), rectified=True)
    assert (camera.K[0, 2], camera.K[1, 2], camera.distortion_model) == (300.5, 200.5, "none")


def test_binning_and_roi_move_the_rays_of_no_pixel():
    message = info()
    message.binning_x = message.binning_y = 2
    message.roi.x_offset, message.roi.y_offset, message.roi.width, message.roi.height = 100, 40, 400, 300
    full, part = camera_info_to_camera(info()), camera_info_to_camera(message)
    assert (part.width, part.height) == (200, 150)
    x, y, z = 0.1, -0.05, 1.3
    u_full = full.K[0, 0] * x / z + full.K[0, 2], full.K[1, 1] * y / z + full.K[1, 2]
    u_part = part.K[0, 0] * x / z + part.K[0, 2], part.K[1, 1] * y / z + part.K[1, 2]
    np.testing.assert_allclose(u_part, [(u_full[0] - 100) / 2, (u_full[1] - 40) / 2])


def test_an_image_of_another_size_than_its_camera_info_is_refused():
    image = array_to_image(np.zeros((24, 32, 3), np.uint8), "rgb8")
    with pytest.raises(ReconstructionError, match=r"640 x 480.*32 x 24") as caught:
        make_view(image, info(), np.eye(4))
    assert caught.value.code is ErrorCode.BAD_CAMERA_INFO


def test_depth_of_another_size_than_its_image_is_refused():
    image = array_to_image(np.zeros((480, 640, 3), np.uint8), "rgb8")
    depth = array_to_image(np.ones((12, 16), np.float32), "32FC1")
    with pytest.raises(ReconstructionError, match="16 x 12") as caught:
        make_view(image, info(), np.eye(4), depth=depth)
    assert caught.value.code is ErrorCode.BAD_DEPTH


def test_sharpness_falls_as_the_image_blurs():
    rng = np.random.default_rng(0)
    image = np.repeat(rng.integers(0, 256, (64, 64, 1), dtype=np.uint8), 3, axis=2)
    values = [sharpness(np.asarray(cv2.GaussianBlur(image, (0, 0), s))) for s in (0.5, 1.0, 2.0, 4.0)]
    assert values == sorted(values, reverse=True)
    assert values[0] > 100 * values[-1]


unit_vectors = (
    st.tuples(*[st.floats(-1, 1)] * 4)
    .map(np.array)
    .filter(lambda q: np.linalg.norm(q) > 0.1)
    .map(lambda q: q / np.linalg.norm(q))
)


@given(q=unit_vectors, t=st.tuples(*[st.floats(-10, 10)] * 3))
def test_a_pose_survives_the_way_to_ros_and_back(q, t):
    T = np.eye(4)
    T[:3, :3] = quat_to_matrix(q)
    T[:3, 3] = t
    np.testing.assert_allclose(pose_to_matrix(matrix_to_pose(T)), T, atol=1e-9)


def test_ros_quaternions_are_xyzw():
    quarter_turn = Pose(orientation=Quaternion(x=0.0, y=0.0, z=np.sin(np.pi / 4), w=np.cos(np.pi / 4)))
    np.testing.assert_allclose(pose_to_matrix(quarter_turn)[:3, :3] @ [1, 0, 0], [0, 1, 0], atol=1e-12)


@pytest.mark.parametrize(
    "pose",
    [
        Pose(position=Point(x=float("nan")), orientation=Quaternion(w=1.0)),
        Pose(orientation=Quaternion(x=0.0, y=0.0, z=0.0, w=0.0)),
        Pose(orientation=Quaternion(x=0.0, y=0.0, z=0.0, w=1.2)),
        Pose(orientation=Quaternion(x=float("inf"), w=1.0)),
    ],
)
def test_a_pose_that_is_no_pose_is_refused(pose):
    with pytest.raises(ReconstructionError) as caught:
        pose_to_matrix(pose)
    assert caught.value.code is ErrorCode.BAD_POSE
