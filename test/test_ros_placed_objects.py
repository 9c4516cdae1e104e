"""What RViz and TF learn of an object, and for how long."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy")

from geometry_msgs.msg import TransformStamped
from patience import REPOSITORY
from ros_outputs import GOOD, LOW, Robot, carton, parameters
from ros_world import LATCHED
from sensor_msgs.msg import PointCloud2
from std_srvs.srv import Trigger
from tf2_msgs.msg import TFMessage
from transforms3d.axangles import axangle2mat
from visualization_msgs.msg import Marker, MarkerArray

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.boxes import object_frame
from mvgamba_ros.geometry.se3 import rigid
from mvgamba_ros.msg import ReconstructedObject, ReconstructedObjects
from mvgamba_ros.ros.conversions.geometry import matrix_to_transform, pose_to_matrix, transform_to_matrix
from mvgamba_ros.ros.conversions.shapes import reconstruction_to_object
from mvgamba_ros.ros.conversions.stamps import make_header
from mvgamba_ros.ros.request_limits import check_request
from mvgamba_ros.srv import Reconstruct

pytestmark = pytest.mark.ros


@pytest.fixture
def robot() -> Iterator[Robot]:
    made = Robot()
    yield made
    made.close()


def test_an_object_has_a_frame_of_its_id_until_it_is_cleared(robot):
    robot.show()
    robot.until(lambda: len(robot.tf) >= 2)  # repeated, so a node that joins late learns of it too
    assert {(t.header.frame_id, t.child_frame_id) for t in robot.tf} == {("base_link", "carton")}
    T = transform_to_matrix(robot.tf[0].transform)
    np.testing.assert_allclose(T, object_frame(carton().box), atol=1e-9)
    np.testing.assert_allclose(T[:3, 3], [0.425, 0, 0.05], atol=1e-6)
    answer = robot.call(Trigger, "reconstructor/clear_objects")
    assert answer.success and answer.message == "1 objects cleared: carton"
    robot.spin(0.3)
    robot.tf.clear()
    robot.spin(0.5)
    assert not robot.tf
    robot.show()  # TF remembers the frame, which is no reason to refuse it
    robot.until(lambda: robot.tf)


def test_a_frame_that_tf_has_already_is_left_alone(robot):
    known = robot.peer.create_publisher(TFMessage, "/tf_static", LATCHED)
    known.publish(TFMessage(transforms=[fixed("tool0", "base_link"), fixed("base_link", "world")]))
    robot.until(lambda: len(robot.transforms.ancestors("tool0")) == 2)
    for name in ("tool0", "base_link", "world"):
        robot.show(name)
    robot.spin(0.5)
    assert not robot.tf
    robot.parameters = parameters(object_frame="objects/{id}")
    robot.show("x" * 255)  # no listener takes a longer name
    robot.show("tool0")
    robot.until(lambda: robot.tf)
    assert {t.child_frame_id for t in robot.tf} == {"objects/tool0"}


def test_what_is_cleared_while_it_is_published_is_cleared_on_every_topic(robot, monkeypatch):
    """The one happens in the worker's thread, the other in the executor's."""
    newest = {}
    clearing = threading.Thread(target=lambda: robot.outputs._on_clear_objects(None, Trigger.Response()))

    def points(message):
        newest["points"] = message.width
        if not clearing.ident:
            clearing.start()
            clearing.join(0.2)  # as long as it takes, were it not held up

    def marker(message):
        newest["marker"] = message.action

    monkeypatch.setattr(robot.outputs, "_points", SimpleNamespace(publish=points))
    monkeypatch.setattr(robot.outputs, "_marker", SimpleNamespace(publish=marker))
    robot.show()
    clearing.join()
    assert newest == {"points": 0, "marker": Marker.DELETEALL}


def test_what_is_cleared_while_its_parts_are_computed_is_given_to_no_planner(robot, monkeypatch):
    place = robot.outputs._place

    def clearing(*arguments):
        robot.outputs._on_clear_objects(None, Trigger.Response())
        return place(*arguments)

    monkeypatch.setattr(robot.outputs, "_place", clearing)
    robot.show("gone")
    monkeypatch.setattr(robot.outputs, "_place", place)
    robot.show("kept")
    robot.until(lambda: robot.tf)
    robot.spin(0.3)
    assert {t.child_frame_id for t in robot.tf} == {"kept"}


def test_frames_that_tf_has_forgotten_are_forgotten_here(robot):
    frames = robot.outputs._placed._frames
    for name in ("a", "b", "c"):
        frames.add(name, name, "base_link", np.eye(4))
    robot.until(lambda: robot.transforms.ancestors("a"))
    frames.remove("a")
    frames.remove("b")
    frames.add("d", "d", "base_link", np.eye(4))
    assert frames._ours >= {"a", "c", "d"}  # TF knows a: it is still no stranger's
    robot.until(lambda: robot.transforms.ancestors("d"))  # and what was sent before has come
    robot.transforms.forget()
    frames.add("e", "e", "base_link", np.eye(4))
    assert frames._ours == {"c", "d", "e"}


def fixed(child: str, parent: str) -> TransformStamped:
    message = TransformStamped(child_frame_id=child)
    message.header.frame_id, message.transform.rotation.w = parent, 1.0
    return message


def test_a_shape_of_low_quality_is_shown_but_not_given_to_planners(robot):
    shown = robot.listen(MarkerArray, "reconstructor/markers")
    robot.show(quality=LOW)
    robot.until(lambda: shown)
    robot.spin(0.5)
    assert not robot.tf
    box, text = shown[0].markers
    assert box.color.r > box.color.g and "low quality\nthe outlines disagree" in text.text
    assert (box.scale.y, box.frame_locked, text.frame_locked) == (pytest.approx(0.2), True, True)
    robot.parameters = parameters(publish_low=True)
    robot.show(quality=LOW)
    robot.until(lambda: robot.tf)


def test_clearing_empties_what_late_subscribers_would_find(robot):
    robot.show()
    mesh = robot.listen(Marker, "reconstructor/mesh_marker")
    robot.until(lambda: mesh)
    assert mesh[0].action == Marker.ADD and mesh[0].frame_locked
    robot.call(Trigger, "reconstructor/clear_objects")
    found = [
        robot.listen(kind, f"reconstructor/{name}")
        for kind, name in (
            (ReconstructedObject, "object"),
            (PointCloud2, "points"),
            (Marker, "mesh_marker"),
            (MarkerArray, "markers"),
        )
    ]
    robot.until(lambda: all(found))
    (nothing,), (cloud,), (marker,), (markers,) = found
    assert not nothing.id and nothing.quality.low and not nothing.mesh.vertices and not cloud.data
    assert marker.action == markers.markers[0].action == Marker.DELETEALL


def test_several_objects_at_once_each_have_a_frame_but_the_low_one_and_are_shown_together(robot):
    made = [
        (carton(quality), reconstruction_to_object(carton(quality), name, make_header("base_link", 1_000)))
        for name, quality in (("a", GOOD), ("b", LOW), ("c", GOOD))
    ]
    robot.outputs.reconstructions(made, np.zeros((2, 2, 3), np.uint8), robot.parameters, lambda: False)
    robot.until(lambda: {t.child_frame_id for t in robot.tf} == {"a", "c"})
    objects = robot.listen(ReconstructedObjects, "reconstructor/objects")
    meshes = robot.listen(MarkerArray, "reconstructor/mesh_markers")
    points = robot.listen(PointCloud2, "reconstructor/points")
    robot.until(lambda: objects and meshes and points)
    assert [found.id for found in objects[0].objects] == [marker.ns for marker in meshes[0].markers] == ["a", "b", "c"]
    assert points[0].width == 3 * made[0][1].cloud.width and points[0].data[:32] == made[0][1].cloud.data[:32]
    robot.call(Trigger, "reconstructor/clear_objects")
    robot.until(lambda: len(objects) > 1 and len(meshes) > 1)
    assert not objects[1].objects and meshes[1].markers[0].action == Marker.DELETEALL


def test_beyond_max_objects_the_oldest_goes(robot):
    robot.parameters = parameters(max_objects=2)
    for name in ("a", "b", "a", "c"):
        robot.show(name)
    robot.until(lambda: robot.tf)
    robot.spin(0.3)
    robot.tf.clear()
    robot.until(lambda: robot.tf)
    assert {t.child_frame_id for t in robot.tf} == {"a", "c"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"object_frame": "object"}, r"'object' must hold \{id\}"),
        ({"object_frame": "/{id}"}, "does not begin with a slash"),
        ({"object_frame": "{id}" + "x" * 1000}, "at most 255 characters"),
        ({"object_frame": "{id}\n"}, "can be printed"),
    ],
)
def test_a_wrong_name_of_frames_is_refused(values, message):
    with pytest.raises(ReconstructionError, match=message):
        parameters(**values)


def test_parts_without_the_package_are_refused_with_the_remedy(monkeypatch):
    monkeypatch.setattr("mvgamba_ros.surface.convex_parts.find_spec", lambda name: None)
    with pytest.raises(ReconstructionError, match=r"pip install 'mvgamba_ros\[convex\]', or set it to 0 or 1"):
        parameters(collision_parts=8)
    assert parameters(collision_parts=1).collision_parts == 1


@pytest.mark.parametrize("name", ["/mug", "mug\n", "<octomap>"])
def test_an_id_that_can_be_no_frame_is_refused_before_the_work(name):
    with pytest.raises(ReconstructionError, match="no name of a frame") as raised:
        check_request(Reconstruct.Request(object_id=name), parameters())
    assert raised.value.code is ErrorCode.BAD_OPTION
    check_request(Reconstruct.Request(object_id="shelf 2/blue mug"), parameters())


def snippets() -> list[str]:
    page = (REPOSITORY / "docs" / "moveit.md").read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", page, re.DOTALL)


def test_the_code_of_the_page_about_moveit_fits_the_messages():
    for text in snippets():
        compile(text, "docs/moveit.md", "exec")
    page: dict = {}
    for text in snippets()[1:]:  # the first needs the task constructor
        exec(text, page)
    found = reconstruction_to_object(carton(), "carton", make_header("base_link", 0))
    found.mesh_vertex_seen = [1] * 8
    assert page["may_grasp"](found, 0.08, 0.06) and not page["may_grasp"](found, 0.04, 0.06)
    assert not page["may_grasp"](reconstruction_to_object(carton(LOW), "carton", make_header("base_link", 0)), 0.08)
    T = rigid(axangle2mat([0, 0, 1], 0.3), np.array([0.1, 0.2, 0.3]))
    marker = page["attached"]("/objects/mug/mesh.ply", matrix_to_transform(T))
    np.testing.assert_allclose(pose_to_matrix(marker.pose), T, atol=1e-12)
    assert (marker.type, marker.mesh_resource) == (Marker.MESH_RESOURCE, "/objects/mug/mesh.ply")
