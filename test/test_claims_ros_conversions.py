"""What other nodes read out of our messages: the marks and rules of the formats themselves."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rclpy")

from mvgamba_ros.ros.conversions.geometry import camera_info_to_camera, camera_to_camera_info
from mvgamba_ros.ros.conversions.shapes import cloud_to_columns, columns_to_cloud
from mvgamba_ros.types import Camera

pytestmark = pytest.mark.ros

K = np.array([[500.0, 0, 311], [0, 510.0, 222], [0, 0, 1]])


def test_a_cloud_is_dense_unless_a_coordinate_is_no_number() -> None:
    """Colours are bit patterns: that one of them reads as NaN makes no point invalid."""
    x = np.array([1.0, 2.0], np.float32)
    colors = np.array([0x00FFFFFF, 0x7FC00001], np.uint32).view(np.float32)
    assert np.isnan(colors[1])
    assert columns_to_cloud({"x": x}).is_dense
    assert not columns_to_cloud({"x": np.array([1.0, np.nan])}).is_dense
    assert columns_to_cloud({"x": x, "rgb": colors}).is_dense
    assert not columns_to_cloud({"x": np.array([np.inf, 1.0]), "rgb": colors}).is_dense
    cloud = columns_to_cloud({"x": x, "rgb": colors, "y": -x})
    assert (cloud.height, cloud.width, cloud.point_step, cloud.row_step) == (1, 2, 12, 24)
    assert [(f.name, f.offset, f.count) for f in cloud.fields] == [("x", 0, 1), ("rgb", 4, 1), ("y", 8, 1)]
    columns = cloud_to_columns(cloud)
    assert (columns["rgb"].view(np.uint32) == colors.view(np.uint32)).all()
    np.testing.assert_array_equal(columns["y"], -x)


def test_a_camera_info_that_we_send_is_a_valid_one() -> None:
    """Of five zeros where there is no distortion, an identity for R, and P as K: for a monocular camera."""
    sent = camera_to_camera_info(Camera(K, 640, 480))
    assert (sent.distortion_model, sent.d.tolist()) == ("plumb_bob", [0.0] * 5)
    assert sent.r.tolist() == np.eye(3).ravel().tolist()
    centres_at_integers = [500.0, 0, 310.5, 0, 510.0, 221.5, 0, 0, 1]
    assert sent.k.tolist() == centres_at_integers
    np.testing.assert_array_equal(sent.p.reshape(3, 4)[:, :3].ravel(), centres_at_integers)
    assert not sent.p.reshape(3, 4)[:, 3].any()
    for rectified in (False, True):
        back = camera_info_to_camera(sent, rectified=rectified)
        np.testing.assert_array_equal(back.K, K)
        assert (back.distortion_model, back.distortion) == ("none", ())
    lens = camera_to_camera_info(Camera(K, 640, 480, "equidistant", (0.1, 0.2, 0.3, 0.4)))
    assert (lens.distortion_model, lens.d.tolist()) == ("equidistant", [0.1, 0.2, 0.3, 0.4])
