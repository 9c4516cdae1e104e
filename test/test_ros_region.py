"""A region drawn by clicked points: in one process, with a node but without the wire."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")

import rclpy
from geometry_msgs.msg import PointStamped, TransformStamped
from rclpy.parameter import Parameter
from ros_messages import at, parameters, pose
from ros_world import free_domain
from std_srvs.srv import Trigger

from mvgamba_ros.ros.conversions.geometry import matrix_to_transform
from mvgamba_ros.ros.declared_parameters import declare
from mvgamba_ros.ros.diagnostics import Health
from mvgamba_ros.ros.failures import Failures
from mvgamba_ros.ros.region import TOGETHER_S, Region, box_around
from mvgamba_ros.ros.transforms import TransformBuffer

pytestmark = pytest.mark.ros


class Drawing:
    """A node with a region, what it publishes, and a clock."""

    def __init__(self, node: Any) -> None:
        self.seconds, self.shown = 0.0, []
        self.settings = declare(node)
        tf = TransformBuffer(10.0)
        step = TransformStamped(child_frame_id="map", transform=matrix_to_transform(pose(1.0)))
        tf.insert(at(step, 0.0, "base_link"), static=True)
        self.health = Health()
        failures = Failures(node.get_logger(), self.health)
        self.region = Region(node, tf, self.settings, failures, lambda: self.seconds)
        self.region._marker.publish = self.shown.append

    def click(self, *point: float, frame: str = "base_link", after: float = 1.0) -> list[float]:
        self.seconds += after
        message = at(PointStamped(), 5.0, frame)
        message.point.x, message.point.y, message.point.z = point
        self.region.on_point(message)
        return self.settings().roi_m


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    context = rclpy.Context()
    context.init(domain_id=free_domain())
    made = rclpy.create_node("drawing", context=context)
    yield made
    made.destroy_node()
    context.shutdown()


def test_clicked_points_become_the_region_which_is_shown_and_cleared(node: Any) -> None:
    drawing = Drawing(node)
    assert drawing.click(0.4, 0.0, 0.0) == [] and not drawing.shown
    roi = drawing.click(-0.5, 0.2, 0.01, frame="map")  # 1 m further along x
    np.testing.assert_allclose(roi, [0.45, 0.1, 0.125, 0.12, 0.22, 0.27], atol=1e-9)
    (marker,) = drawing.shown
    assert marker.action == marker.ADD and marker.header.frame_id == "base_link"
    np.testing.assert_allclose([marker.pose.position.x, marker.scale.y], [0.45, 0.22])
    assert drawing.click(0.7, 0.1, 0.0)[0] == pytest.approx(0.55)  # a third one widens it

    again = drawing.click(2.0, 0.0, 0.0, after=TOGETHER_S + 1)  # a new one begins
    assert again[0] == pytest.approx(0.55)
    assert drawing.click(2.2, 0.2, 0.0)[0] == pytest.approx(2.1)

    cleared = drawing.region._on_clear_region(Trigger.Request(), Trigger.Response())
    assert cleared.success and drawing.settings().roi_m == []
    assert drawing.shown[-1].action == marker.DELETE
    node.set_parameters([Parameter("roi_m", value=[0.0, 0.0, 0.0, 1.0, 1.0, 1.0])])  # set elsewhere
    assert drawing.shown[-1].action == marker.ADD


def test_a_point_in_an_unknown_frame_or_not_finite_changes_nothing(node: Any) -> None:
    drawing = Drawing(node)
    assert drawing.click(0.4, 0.0, 0.0, frame="moon") == drawing.click(math.nan, 0.0, 0.0) == []
    assert drawing.click(0.4, 0.0, 0.0) == [] and drawing.click(0.5, 0.1, 0.0) != []


def test_the_box_stands_on_the_plane_and_holds_every_point() -> None:
    points = np.array([[0.0, 0.0, 0.05], [0.1, 0.2, 0.4]])
    how: dict[str, Any] = {"region_margin_m": 0.01, "region_height_m": 0.25}
    assert box_around(points, parameters(**how))[2::3] == pytest.approx([0.225, 0.37])
    on_plane = box_around(points, parameters(**how, support_height_m=0.0))
    assert on_plane == pytest.approx([0.05, 0.1, 0.2, 0.12, 0.22, 0.42])
