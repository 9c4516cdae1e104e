"""Grasps with an answer, as standard tools get them."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy")

from geometry_msgs.msg import PoseArray
from ros_outputs import GOOD, LOW, Robot, carton, parameters
from std_msgs.msg import Float32MultiArray
from std_srvs.srv import Trigger
from visualization_msgs.msg import Marker, MarkerArray

from mvgamba_ros import Gripper, plan_grasps
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.ros.conversions.geometry import pose_to_matrix
from mvgamba_ros.ros.conversions.shapes import reconstruction_to_object
from mvgamba_ros.ros.conversions.stamps import make_header
from mvgamba_ros.ros.grasp_topics import GraspTopics

FAST = {"grasps.shapes": 1, "grasps.poses": 2}


@pytest.fixture
def robot() -> Iterator[Robot]:
    made = Robot()
    yield made
    made.close()


def show(robot: Robot, **objects) -> dict[str, float]:
    made = [
        (carton(quality), reconstruction_to_object(carton(quality), name, make_header("base_link", 1_000)))
        for name, quality in objects.items()
    ]
    return robot.outputs.reconstructions(made, np.zeros((2, 2, 3), np.uint8), robot.parameters, lambda: False)


@pytest.mark.ros
def test_grasps_come_with_an_answer_where_they_are_wanted_and_go_with_the_object(robot):
    poses = robot.listen(PoseArray, "reconstructor/grasps")
    tables = robot.listen(Float32MultiArray, "reconstructor/grasp_scores")
    shown = robot.listen(MarkerArray, "reconstructor/grasp_markers")

    def newest(count: int) -> tuple[np.ndarray, list[dict[str, float]], list[Marker]]:
        robot.until(lambda: len(poses) == len(tables) == len(shown) == count)
        names = tables[-1].layout.dim[1].label.split(",")
        rows = np.reshape(tables[-1].data, [dim.size for dim in tables[-1].layout.dim])
        frames = [pose_to_matrix(pose) for pose in poses[-1].poses]
        return np.array(frames), [dict(zip(names, row, strict=True)) for row in rows.tolist()], shown[-1].markers[1:]

    assert "grasps" not in show(robot, a=GOOD)  # by default none
    assert not len(newest(1)[0]) and not newest(1)[2]

    robot.parameters = parameters(max_grasps=3, **FAST)
    assert show(robot, a=GOOD, b=LOW, c=GOOD)["grasps"] > 0
    frames, rows, grippers = newest(2)
    assert (poses[-1].header.frame_id, poses[-1].header.stamp.nanosec) == ("base_link", 1_000)
    planned = plan_grasps(carton(), count=3, config=robot.parameters.grasps)
    np.testing.assert_allclose(frames, 2 * [grasp.T_world_grasp for grasp in planned], atol=1e-9)
    assert [row["object"] for row in rows] == 3 * [0] + 3 * [2]  # the low one has none
    for grasp, row in zip(planned, rows, strict=False):
        assert row["score"] == pytest.approx(grasp.score) and row["width_m"] == pytest.approx(grasp.width)
        assert row["robustness"] == pytest.approx(grasp.robustness)
    assert [(marker.ns, marker.id) for marker in grippers] == [(name, k) for name in "ac" for k in range(3)]
    assert grippers[0].colors[0].g > 0.5 > grippers[0].colors[0].b
    corners = np.array([[p.x, p.y, p.z] for p in grippers[0].points])
    local = (corners - frames[0][:3, 3]) @ frames[0][:3, :3]
    hand = Gripper()
    assert local[:, 2].max() == pytest.approx(hand.pad_length / 2)  # the tips
    assert np.abs(local[:36, 1]).min() == pytest.approx(planned[0].width / 2)  # a finger, closed

    robot.parameters = parameters(max_grasps=3, **FAST, **{"gripper.max_opening": 0.02})
    show(robot, a=GOOD)  # nothing fits: the object is there all the same
    assert not len(newest(3)[0])
    robot.until(lambda: robot.tf)

    robot.parameters = parameters(max_grasps=1, **FAST)
    show(robot, a=GOOD)
    assert len(newest(4)[0]) == 1
    robot.call(Trigger, "reconstructor/clear_objects")
    frames, rows, grippers = newest(5)
    assert not len(frames) and not rows and not grippers and shown[-1].markers[0].action == Marker.DELETEALL


@pytest.mark.parametrize("wild", [True, False])
def test_grasps_that_no_trial_holds_come_with_a_warning(wild):
    lines = []
    log = SimpleNamespace(warning=lines.append, error=lines.append)
    topics = GraspTopics(SimpleNamespace(get_logger=lambda: log, create_publisher=lambda *given: None))
    off = {"grasps.position_sigma": 0.1, "grasps.rotation_sigma": 45.0, "grasps.tried": 8} if wild else {}
    found = topics.plan({"mug": carton()}, parameters(max_grasps=3, **FAST, **off), lambda: False)
    assert found["mug"] and all((grasp.robustness == 0.0) is wild for grasp in found["mug"])
    assert ["'mug'" in line and "capture more views" in line for line in lines] == [True] * wild


@pytest.mark.parametrize(("name", "value"), [("gripper.max_opening", 9.0), ("grasps.shapes", 0)])
def test_a_gripper_out_of_range_is_refused_by_its_name(name, value):
    with pytest.raises(ReconstructionError, match=name) as caught:
        parameters(**{name: value})
    assert caught.value.code is ErrorCode.BAD_PARAMETER
