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

from mvgamba_ros.errors import ErrorCode
from mvgamba_ros.geometry.se3 import inverse
from mvgamba_ros.io.transforms_json import write_capture
from mvgamba_ros.pose_refinement.twists import exponential, logarithm
from mvgamba_ros.ros.conversions.geometry import pose_to_matrix, transform_to_matrix
from mvgamba_ros.srv import Calibration

pytestmark = [pytest.mark.ros, pytest.mark.timeout(600)]


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
