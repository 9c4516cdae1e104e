"""Several objects through the node: an action and a service, outputs, ids that stay, failures that cost nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")

import rendered
import two_reds
from action_msgs.msg import GoalStatus
from geometry_msgs.msg import Point, Pose, Pose2D, Quaternion, Vector3
from rclpy.action import ActionClient
from ros_world import World
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header
from std_srvs.srv import Trigger
from visualization_msgs.msg import Marker, MarkerArray

from mvgamba_ros.action import ReconstructScene as SceneAction
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.boxes import scaled_box
from mvgamba_ros.msg import ObjectPrompts, ReconstructedObject, ReconstructedObjects
from mvgamba_ros.msg import View as ViewMessage
from mvgamba_ros.ros.conversions.detections import prompts_of_boxes, prompts_of_pixels
from mvgamba_ros.ros.conversions.geometry import box_to_message, camera_to_camera_info, matrix_to_pose, pose_to_matrix
from mvgamba_ros.ros.conversions.images import array_to_image
from mvgamba_ros.ros.object_names import ObjectNames
from mvgamba_ros.srv import ReconstructScene
from mvgamba_ros.types import Box

pytestmark = pytest.mark.ros

LEFT, RIGHT = rendered.regions()
AIR = scaled_box(rendered.CENTER + np.array([-0.03, -0.03, 0.1]), rendered.CENTER + np.array([0.03, 0.03, 0.16]), 1.0)


def prompts(region: Box, name: str = "") -> ObjectPrompts:
    pose, size = box_to_message(region)
    return ObjectPrompts(object_id=name, use_roi=True, roi_pose=pose, roi_size=size)


def messages() -> list[ViewMessage]:
    """With depth, without masks."""
    made = []
    for view in rendered.pair_views(3):
        assert view.depth is not None
        made.append(
            ViewMessage(
                image=array_to_image(view.image, "rgb8"),
                camera_info=camera_to_camera_info(view.camera),
                pose=matrix_to_pose(view.T_world_camera),
                depth=array_to_image(view.depth, "32FC1"),
            )
        )
    return made


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    path = two_reds.installed(tmp_path / "site")
    with World(tmp_path) as made:
        made.environment["PYTHONPATH"] += f":{path}"
        made.start_node(
            max_faces=300, cloud_points=500, hull_resolution=32, refine_poses="'off'", output_dir=tmp_path / "out"
        )
        yield made


def middles(objects: list[ReconstructedObject]) -> np.ndarray:
    return np.array([pose_to_matrix(found.box_pose)[:3, 3] for found in objects])


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_objects_are_answered_published_saved_and_keep_their_names(world: World, tmp_path: Path) -> None:
    views = messages()
    topics = {"objects": ReconstructedObjects, "mesh_markers": MarkerArray, "markers": MarkerArray}
    topics |= {"points": PointCloud2, "debug/regions": MarkerArray}
    shown: dict[str, list[Any]] = {name: world.listen(kind, f"/reconstructor/{name}") for name, kind in topics.items()}

    # by the action: two regions and one in which nothing is
    client = ActionClient(world.client, SceneAction, "/reconstructor/reconstruct_scene")
    assert client.wait_for_server(timeout_sec=60)
    feedback: list[str] = []
    goal = SceneAction.Goal(views=views, segmenter="two-reds", prompts=[prompts(LEFT), prompts(AIR), prompts(RIGHT)])
    handle = world.finish(client.send_goal_async(goal, feedback_callback=lambda m: feedback.append(m.feedback.stage)))
    answer = world.finish(handle.get_result_async())
    assert (answer.status, answer.result.error_code) == (GoalStatus.STATUS_SUCCEEDED, 0), answer.result.error_msg
    assert [found.id for found in answer.result.objects] == ["object_1", "object_3"]
    np.testing.assert_allclose(middles(answer.result.objects), rendered.PAIR, atol=0.01)
    assert all(found.mesh.triangles and not found.quality.low for found in answer.result.objects)
    (failure,) = answer.result.failures
    assert (failure.id, failure.error_code) == ("object_2", ErrorCode.EMPTY_SILHOUETTE) and failure.error_msg
    assert (failure.roi_pose, failure.roi_size) == box_to_message(AIR)
    assert {"1/3 method", "3/3 method"} <= set(feedback)
    assert answer.result.stages[-1].name == "total" and answer.result.stages[-1].seconds > 0

    # all of it is on the latched topics
    late = {name: world.await_message(received) for name, received in shown.items()}
    assert [found.id for found in late["objects"].objects] == ["object_1", "object_3"]
    assert [marker.ns for marker in late["mesh_markers"].markers] == ["object_1", "object_3"]
    assert late["points"].width == 2 * 500 and len(late["markers"].markers) == 4
    texts = [marker.text for marker in late["debug/regions"].markers if marker.text]
    assert texts == ["object_1", "object_2: EMPTY_SILHOUETTE", "object_3"]

    # by the service: found, and each still has its name
    def scene(**fields: Any) -> Any:
        no = ReconstructScene.Request.NO
        request = ReconstructScene.Request(views=views, answer_mesh=no, answer_cloud=no, **fields)
        return world.call(ReconstructScene, "/reconstructor/reconstruct_scene", request)

    found = scene(segmenter="two-reds")
    assert [thing.id for thing in found.objects] == ["object_1", "object_3"] and not found.failures
    assert not found.objects[0].mesh.triangles and not found.objects[0].cloud.data
    saved = world.save("table")
    assert saved.error_code == 0, saved.error_msg
    kept = json.loads((tmp_path / "out" / "table" / "scene.json").read_text())
    assert [thing["id"] for thing in kept["objects"]] == ["object_1", "object_3"] and kept["frame"] == "base_link"
    assert {"object_3/mesh.ply", "views/transforms.json", "scene.png"} <= set(kept["files"])
    assert [thing.id for thing in scene(segmenter="two-reds", prompts=[prompts(RIGHT, "mug")]).objects] == ["mug"]
    assert [thing.id for thing in scene(segmenter="two-reds").objects] == ["object_1", "mug"]
    assert world.call(Trigger, "/reconstructor/clear_objects").success
    assert [thing.id for thing in scene(segmenter="two-reds").objects] == ["object_1", "object_2"]

    # what is refused or fails leaves the node up
    failed = scene(segmenter="two-reds", prompts=[prompts(AIR)])
    assert failed.error_code == failed.failures[0].error_code == ErrorCode.EMPTY_SILHOUETTE and not failed.objects
    for code, words, fields in (
        (ErrorCode.BAD_ROI, "prompts[1] does not say where", {"prompts": [prompts(LEFT), ObjectPrompts()]}),
        (ErrorCode.BAD_ROI, "prompts[0] roi_size", {"prompts": [ObjectPrompts(use_roi=True)]}),
        (ErrorCode.BAD_OPTION, "is that of 2 prompts", {"prompts": [prompts(LEFT, "a"), prompts(RIGHT, "a")]}),
        (ErrorCode.BAD_OPTION, "segmenter classical finds one object", {"segmenter": "classical"}),
        (ErrorCode.BAD_OPTION, "'magic' is not one of", {"segmenter": "magic"}),
    ):
        refusal = scene(**fields)
        assert refusal.error_code == code and words in refusal.error_msg, refusal.error_msg

    # one object requested where two could be meant: both are shown
    world.set_parameter("reconstructor", "segmenter", "two-reds")
    shown["debug/regions"].clear()
    assert world.reconstruct(views=views).error_code == ErrorCode.AMBIGUOUS
    markers = world.await_message(shown["debug/regions"]).markers
    assert [marker.text for marker in markers if marker.text] == ["1 of 2", "2 of 2"]
    lines = [pose_to_matrix(marker.pose)[:3, 3] for marker in markers if marker.type == Marker.LINE_LIST]
    np.testing.assert_allclose(lines, rendered.PAIR)


def test_names_stay_with_their_things_whatever_the_order_and_new_ones_are_free() -> None:
    names = ObjectNames()
    places = [scaled_box(np.array([x, 0.0, 0.0]), np.array([x + 0.1, 0.1, 0.1]), 1.0) for x in (0.0, 0.2, 0.4)]
    assert names.choose(["", "mug", ""], "base_link", places) == ["object_1", "mug", "object_2"]
    for name, place in zip(("object_1", "mug", "object_2"), places, strict=True):
        names.remember(name, "base_link", place)
    moved = [Box(place.T_world_box + np.pad([[0.03]], ((0, 3), (3, 0))), place.size) for place in places]
    assert names.choose([""] * 3, "base_link", moved[::-1]) == ["object_2", "mug", "object_1"]
    assert names.choose(["", "object_1"], "base_link", [moved[0], None]) == ["object_3", "object_1"]
    assert names.choose([""], "world", moved[:1]) == ["object_3"]  # of another frame nothing is known
    names.forget()
    assert names.choose([""], "base_link", moved[1:2]) == ["object_1"]


def detection(name: str, bbox: Any) -> SimpleNamespace:
    return SimpleNamespace(id=name, bbox=bbox)


def test_detections_of_any_vision_msgs_become_prompts() -> None:
    newer = SimpleNamespace(center=SimpleNamespace(position=SimpleNamespace(x=50.0, y=40.0)), size_x=20.0, size_y=10.0)
    older = SimpleNamespace(center=Pose2D(x=80.0, y=60.0), size_x=4.0, size_y=2.0)
    arrays = {0: [detection("mug", newer), detection("", older)], 3: [detection("mug", older)]}
    mug, other = prompts_of_pixels({view: SimpleNamespace(detections=found) for view, found in arrays.items()})
    assert mug.object_id == "mug" and [box.view for box in mug.pixel_boxes] == [0, 3] and not mug.use_roi
    first = mug.pixel_boxes[0]
    assert (first.x_min, first.y_min, first.x_max, first.y_max) == (40.0, 35.0, 60.0, 45.0)
    assert not other.object_id and other.pixel_boxes[0].x_max == 82.0

    pose = Pose(position=Point(x=0.5), orientation=Quaternion(w=1.0))
    box = SimpleNamespace(center=pose, size=Vector3(x=0.1, y=0.2, z=0.3))
    array = SimpleNamespace(header=Header(frame_id="base_link"), detections=[detection("can", box)])
    (can,) = prompts_of_boxes(array, "base_link")
    assert (can.object_id, can.use_roi, can.roi_pose, can.roi_size.z) == ("can", True, pose, 0.3)
    with pytest.raises(ReconstructionError, match="detections are in 'base_link', the request is in 'world'"):
        prompts_of_boxes(array, "world")
