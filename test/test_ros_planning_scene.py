"""MoveIt's side of it: real messages and services of moveit_msgs, a stand-in for move_group that keeps what it is sent.

Skipped where moveit_msgs is not installed (the ROS wheels lack it).
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

import numpy as np
import pytest

pytest.importorskip("moveit_msgs.msg", reason="moveit_msgs is not among the ROS wheels")

import rclpy
from moveit_msgs.msg import CollisionObject
from moveit_msgs.srv import ApplyPlanningScene
from ros_outputs import LOW, Robot, carton, parameters
from ros_world import LATCHED
from std_srvs.srv import Trigger

from mvgamba_ros.geometry.boxes import object_frame
from mvgamba_ros.ros.conversions.geometry import pose_to_matrix
from mvgamba_ros.ros.conversions.shapes import mesh_from_message

pytestmark = pytest.mark.ros


class MoveGroup:
    """Answers apply_planning_scene; ``takes`` says whether it takes a scene."""

    def __init__(self, robot: Robot, takes=lambda scene: True) -> None:
        self.scenes: list = []
        self.robot, self.takes = robot, takes
        self.node = rclpy.create_node("move_group", context=robot.context)
        self.node.create_service(ApplyPlanningScene, "apply_planning_scene", self._apply)
        robot.executor.add_node(self.node)

    def _apply(self, request, response):
        self.scenes.append(request.scene)
        response.success = self.takes(request.scene)
        return response

    def objects(self) -> list[tuple[str, bytes]]:
        return [(o.id, o.operation) for scene in self.scenes for o in scene.world.collision_objects]

    def stop(self) -> None:
        self.robot.executor.remove_node(self.node)
        self.node.destroy_node()


@pytest.fixture
def robot() -> Iterator[Robot]:
    made = Robot()
    yield made
    made.close()


def matrices(poses) -> list[np.ndarray]:
    return [pose_to_matrix(pose) for pose in poses]


def test_the_mesh_lies_in_a_frame_to_grasp_by(robot):
    got = robot.listen(CollisionObject, "collision_object")
    robot.show()
    robot.until(lambda: got)
    (found,) = got
    assert (found.id, found.header.frame_id, found.operation) == ("carton", "base_link", CollisionObject.ADD)
    T = pose_to_matrix(found.pose)
    np.testing.assert_allclose(T, object_frame(carton().box), atol=1e-9)
    np.testing.assert_allclose(T[:3, 0], [0, 1, 0], atol=1e-4)  # along its longest side
    (mesh,), (T_mesh,) = found.meshes, matrices(found.mesh_poses)
    local = mesh_from_message(mesh, []).vertices
    np.testing.assert_allclose(np.abs(local), np.broadcast_to([0.1, 0.025, 0.05], (8, 3)), atol=1e-5)
    world = (T @ T_mesh @ np.c_[local, np.ones(8)].T).T[:, :3]
    np.testing.assert_allclose(world, carton().mesh.vertices, atol=1e-9)
    frames = dict(zip(found.subframe_names, matrices(found.subframe_poses), strict=True))
    np.testing.assert_allclose(frames["centre"], np.eye(4))
    for name, z, outward in (("top", 0.1, 1), ("bottom", 0.0, -1)):
        np.testing.assert_allclose((T @ frames[name])[:3, 3], [0.425, 0.0, z], atol=1e-6)
        np.testing.assert_allclose((T @ frames[name])[:3, 2], [0, 0, outward], atol=1e-9)


def test_move_group_gets_the_object_and_its_colour_at_once_and_its_removal(robot):
    group = MoveGroup(robot)
    robot.until(robot.outputs._placed._scene._client.service_is_ready)
    robot.show()
    robot.until(lambda: group.scenes)
    scene = group.scenes[0]
    assert scene.is_diff and scene.robot_state.is_diff
    (color,) = scene.object_colors
    assert color.id == "carton" and (color.color.r, color.color.a) == (pytest.approx(200 / 255), 1.0)
    robot.call(Trigger, "reconstructor/clear_objects")
    robot.until(lambda: len(group.scenes) > 1)
    assert group.objects() == [("carton", CollisionObject.ADD), ("carton", CollisionObject.REMOVE)]
    late = robot.listen(
        CollisionObject, "collision_object", rclpy.qos.QoSProfile(depth=32, durability=LATCHED.durability)
    )
    robot.until(lambda: len(late) == 2)
    assert [o.operation for o in late] == [CollisionObject.ADD, CollisionObject.REMOVE]


def test_a_move_group_that_starts_later_or_again_learns_of_all_objects(robot):
    robot.show("a")
    robot.show("b")
    robot.spin(0.2)
    for _ in range(2):
        group = MoveGroup(robot)
        robot.until(lambda group=group: group.scenes)
        assert set(group.objects()) == {("a", CollisionObject.ADD), ("b", CollisionObject.ADD)}
        robot.spin(1.5)
        assert len(group.scenes) == 1  # once
        group.stop()


def test_what_is_refused_is_tried_again_until_move_group_knows_the_frame(robot):
    answers = iter([False, False])
    group = MoveGroup(robot, takes=lambda scene: next(answers, True))
    robot.until(robot.outputs._placed._scene._client.service_is_ready)
    robot.show()
    robot.until(lambda: len(group.scenes) == 3)
    robot.spin(1.5)
    assert len(group.scenes) == 3


def test_a_low_shape_is_no_collision_object_unless_asked_for_and_the_earlier_one_stays(robot):
    got = robot.listen(CollisionObject, "collision_object")
    robot.show()
    robot.until(lambda: got)
    robot.show(quality=LOW)
    robot.spin(0.3)
    assert len(got) == 1
    robot.parameters = parameters(publish_low=True)
    robot.show(quality=LOW)
    robot.until(lambda: len(got) == 2)
    robot.parameters = parameters(publish_collision_object=False)
    robot.show()
    robot.spin(0.3)
    assert len(got) == 2


def test_parts_are_meshes_of_one_object_and_their_time_is_measured(robot):
    got = robot.listen(CollisionObject, "collision_object")
    robot.parameters = parameters(collision_parts=1)
    assert robot.show()["collision_parts"] > 0
    robot.until(lambda: got)
    assert len(got[0].meshes) == len(got[0].mesh_poses) == 1 and len(got[0].meshes[0].triangles) == 12


@pytest.mark.skipif(find_spec("vhacdx") is None, reason="needs the extra convex")
def test_parts_that_cannot_be_made_cost_a_line_and_not_the_object(robot, monkeypatch):
    got = robot.listen(CollisionObject, "collision_object")
    robot.parameters = parameters(collision_parts=4)
    monkeypatch.setattr("mvgamba_ros.surface.convex_parts.sys.executable", "/nowhere/python")
    robot.show()
    robot.until(lambda: got)
    assert len(got[0].meshes) == 1
