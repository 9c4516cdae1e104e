"""The hand-eye calibration by what captures show, as the node answers it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy")

from ros_player import MOUNT
from ros_world import World
from test_pose_refinement import HAND_EYE, orbit

from mvgamba_ros.config.pose_refinement_config import PosePriorConfig
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.se3 import inverse, look_at
from mvgamba_ros.io.transforms_json import write_capture
from mvgamba_ros.pose_refinement.twists import exponential, logarithm
from mvgamba_ros.reconstruction import PoseCorrection, Quality, Reconstruction
from mvgamba_ros.ros import calibration as node_calibration
from mvgamba_ros.ros.conversions.geometry import pose_to_matrix, transform_to_matrix
from mvgamba_ros.ros.view_buffer import Mount
from mvgamba_ros.srv import Calibration
from mvgamba_ros.types import Box, Mesh, PointCloud

pytestmark = [pytest.mark.ros, pytest.mark.timeout(600)]


_POSES = PoseCorrection(np.eye(4), np.nan, np.nan, np.zeros(4), np.zeros(4), np.nan, np.nan)
NOTHING = Reconstruction(
    Mesh(np.zeros((0, 3)), np.zeros((0, 3), np.int32), np.zeros((0, 3), np.uint8)),
    PointCloud(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros((0, 3), np.uint8)),
    Box(np.eye(4), np.ones(3)),
    Quality(1.0, 0.0, 1.0, low=False),
    (),
    {},
    "hull",
    poses=_POSES,
)
"""A result that shows nothing of the hand-eye calibration."""


def chain(joint: np.ndarray, hand_eye: np.ndarray) -> tuple[Mount, ...]:
    """From an optical frame up: the driver's transform, the mount on the arm, the robot's tool frame, and a joint."""
    return (
        Mount("camera_link", "camera_color_optical_frame", DRIVER),
        Mount("tool0", "camera_link", hand_eye @ inverse(DRIVER)),
        Mount("flange", "tool0", np.eye(4)),
        Mount("wrist", "flange", joint),
        Mount("base_link", "wrist", np.eye(4)),
    )


DRIVER = look_at(np.array([0.015, 0.0, 0.0]), np.array([1.0, 0.0, 0.0]))
WRONG = MOUNT @ exponential(HAND_EYE)


def seen_by(chains: list[tuple[Mount, ...]], calibration: node_calibration.Calibration) -> Calibration.Response:
    """The answer after a reconstruction that showed the correction of a hand-eye error of `HAND_EYE`."""
    twist = logarithm(inverse(exponential(HAND_EYE)))
    poses = replace(NOTHING.poses, hand_eye_information=np.eye(6) * 1e12, hand_eye_vector=1e12 * twist)  # type: ignore
    calibration.add(replace(NOTHING, poses=poses), chains)
    return calibration.answer(Calibration.Response(), False, PosePriorConfig())


def test_the_transform_to_publish_is_that_of_the_mount_on_the_arm() -> None:
    turned = [exponential(np.array([0.0, 0.0, angle, 0.0, 0.0, 0.0])) for angle in (0.1, 0.2, 0.3)]
    calibration = node_calibration.Calibration()
    found = seen_by([chain(joint, WRONG) for joint in turned], calibration)
    assert (found.transform.header.frame_id, found.transform.child_frame_id) == ("tool0", "camera_link")
    assert "flange > tool0 > camera_link > camera_color_optical_frame" in found.message
    right = transform_to_matrix(found.transform.transform, "") @ DRIVER
    np.testing.assert_allclose(right, MOUNT, atol=1e-6)
    assert seen_by([chain(joint, WRONG) for joint in turned[1:]], calibration).reconstructions == 2
    # another calibration starts anew
    assert seen_by([chain(joint, MOUNT) for joint in turned], calibration).reconstructions == 1


def test_a_camera_that_tf_moves_on_its_parent_has_no_transform_to_publish() -> None:
    poses = [(Mount("base_link", "optical", T),) for T in (WRONG, MOUNT)]
    found = seen_by(poses, node_calibration.Calibration())
    assert found.transform.child_frame_id == "" and "TF moves 'optical' against its parent" in found.message


def test_a_capture_that_shows_nothing_of_the_hand_eye_does_not_count() -> None:
    calibration, prior = node_calibration.Calibration(), PosePriorConfig()
    calibration.add(NOTHING, [(Mount("flange", "camera", np.eye(4)),)])
    with pytest.raises(ReconstructionError, match="no reconstruction has shown"):
        calibration.answer(Calibration.Response(), False, prior)
    seen = replace(_POSES, hand_eye_information=np.eye(6) * 1e9)
    calibration.add(replace(NOTHING, poses=seen), [(Mount("flange", "camera", np.eye(4)),)])
    assert calibration.answer(Calibration.Response(), True, prior).reconstructions == 1
    with pytest.raises(ReconstructionError, match="no reconstruction has shown"):
        calibration.answer(Calibration.Response(), False, prior)


def test_a_hand_eye_error_is_answered_with_the_transform_to_publish(tmp_path: Path) -> None:
    views = [replace(view, T_world_camera=view.T_world_camera @ exponential(HAND_EYE)) for view in orbit(4)]
    write_capture(tmp_path / "capture", views)
    with World(tmp_path) as world:
        world.start_node(use_mask=True, support_height_m=0.0)
        nothing = world.call(Calibration, "/reconstructor/calibration")
        assert nothing.error_code == ErrorCode.NO_ESTIMATE and "textured table" in nothing.error_msg
        world.start_player(tmp_path / "capture", "--masks", "--flange")
        world.capture_all(4)
        answer = world.reconstruct()
        assert answer.error_code == 0, answer.error_msg
        poses = answer.object.poses
        assert not answer.object.quality.low and len(poses.view_mm) == 4 and not poses.left_out
        assert poses.residual_after_px < 0.5 < poses.residual_before_px
        found = world.call(Calibration, "/reconstructor/calibration", Calibration.Request(reset=True))
        assert found.error_code == 0 and found.reconstructions == 1
        left = logarithm(exponential(HAND_EYE) @ pose_to_matrix(found.correction))
        assert 1e3 * np.linalg.norm(left[3:]) < 1.0 and np.degrees(np.linalg.norm(left[:3])) < 0.1
        assert (found.transform.header.frame_id, found.transform.child_frame_id) == ("flange", "camera")
        true = MOUNT @ inverse(exponential(HAND_EYE))
        np.testing.assert_allclose(transform_to_matrix(found.transform.transform, ""), true, atol=2e-3)
        assert "static_transform_publisher" in found.message and "--child-frame-id camera" in found.message
        again = world.call(Calibration, "/reconstructor/calibration")
        assert again.error_code == ErrorCode.NO_ESTIMATE
