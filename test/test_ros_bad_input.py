"""What goes wrong on a robot: each has its own code, names value and remedy, keeps the views and leaves the node up."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest

pytest.importorskip("rclpy")

import rendered
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import Pose, Vector3
from ros_world import World
from std_srvs.srv import Trigger

from mvgamba_ros.errors import ErrorCode
from mvgamba_ros.io.transforms_json import write_capture
from mvgamba_ros.msg import PixelBox, PointPrompt
from mvgamba_ros.msg import View as ViewMessage
from mvgamba_ros.ros.conversions.geometry import camera_to_camera_info, matrix_to_pose
from mvgamba_ros.ros.conversions.images import array_to_image
from mvgamba_ros.types import View

pytestmark = [pytest.mark.ros, pytest.mark.slow, pytest.mark.timeout(600)]

COUNT = 4


@pytest.fixture(scope="module")
def views() -> list[View]:
    return rendered.views(COUNT)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, views: list[View]) -> Iterator[World]:
    """A node and a player that every test here shares: whatever a test does to it, it must serve the next."""
    folder = tmp_path_factory.mktemp("rendered")
    write_capture(folder, views)
    with World(folder) as made:
        made.start_node(tf_timeout_s=0.3, silent_after_s=0.5, min_views=3)
        made.start_player(folder)
        yield made


@pytest.fixture
def world(running: World) -> Iterator[World]:
    running.set_parameter("player", "fault", "none")
    running.call(Trigger, "/reconstructor/clear_views")
    answer = running.capture_until_good()
    assert answer.error_code == 0, answer.error_msg
    yield running
    answer = running.capture()
    assert answer.view_count == 1, "the captured view must outlive the bad input"


@pytest.mark.parametrize(
    ("fault", "code", "said"),
    [
        ("no_image", ErrorCode.STALE_IMAGE, "max_image_age_s"),
        ("zero_camera_info", ErrorCode.BAD_CAMERA_INFO, "not calibrated"),
        ("small_camera_info", ErrorCode.BAD_CAMERA_INFO, "160 x 120"),
        ("encoding", ErrorCode.BAD_ENCODING, "'rgb12'"),
        ("step", ErrorCode.BAD_IMAGE, "step 17"),
        ("short", ErrorCode.BAD_IMAGE, "bytes of data"),
        ("stale", ErrorCode.STALE_IMAGE, "30."),
        ("blurred", ErrorCode.BLURRED_IMAGE, "min_sharpness"),
        ("moving", ErrorCode.CAMERA_MOVING, "m/s"),
        ("no_tf", ErrorCode.TRANSFORM_UNAVAILABLE, "'camera'"),
        ("late_tf", ErrorCode.TRANSFORM_UNAVAILABLE, "older than the moment"),
        ("nan_tf", ErrorCode.BAD_POSE, "nan"),
        ("other_frame", ErrorCode.TRANSFORM_UNAVAILABLE, "'other_camera'"),
    ],
)
def test_a_broken_stream_is_named_and_mended_streams_are_taken_again(world, fault, code, said):
    world.set_parameter("player", "fault", fault)
    world.spin(1.2)  # until every image from before is older than max_image_age_s
    answer = world.capture()
    assert (answer.error_code, answer.view_count) == (code, 1), answer.error_msg
    assert said in answer.error_msg
    world.set_parameter("player", "fault", "none")
    world.spin(0.5)
    assert world.capture().error_code == ErrorCode.DUPLICATE_VIEW  # a good image again, from where the first was taken


def test_a_view_from_the_same_place_is_refused_with_the_distance(world):
    answer = world.capture()
    assert answer.error_code == ErrorCode.DUPLICATE_VIEW
    assert "0.0 mm" in answer.error_msg and "min_view_distance_m" in answer.error_msg


def test_an_input_that_publishes_nothing_shows_in_the_diagnostics(world):
    received = world.listen(DiagnosticArray, "/diagnostics", 10)
    world.set_parameter("player", "fault", "no_camera_info")
    world.spin(2.5)
    world.set_parameter("player", "fault", "none")
    by_name = {status.name: status for status in received[-1].status}
    silent, fine = by_name["reconstructor: camera_info"], by_name["reconstructor: image"]
    assert silent.level == b"\x02" and "has 1 publisher(s) but nothing arrives" in silent.message
    assert fine.level == b"\x00" and fine.message == "arriving"
    assert by_name["reconstructor: reconstruction"].values[0].value == "1"


def test_fewer_views_than_the_minimum_are_refused(world):
    answer = world.reconstruct()
    assert answer.error_code == ErrorCode.TOO_FEW_VIEWS
    assert "1 views" in answer.error_msg and "min_views is 3" in answer.error_msg


def message_of(view: View, mask: bool = True) -> ViewMessage:
    message = ViewMessage(
        image=array_to_image(view.image, "rgb8"),
        camera_info=camera_to_camera_info(view.camera),
        pose=matrix_to_pose(view.T_world_camera),
    )
    if mask:
        assert view.mask is not None
        message.mask = array_to_image(view.mask.astype(np.uint8) * 255, "mono8")
    return message


def at(x: float, y: float, z: float) -> Pose:
    T = np.eye(4)
    T[:3, 3] = x, y, z
    return matrix_to_pose(T)


def test_views_inside_the_request_need_no_capture(world, views):
    answer = world.reconstruct(views=[message_of(v) for v in views], object_id="carried", max_faces=500)
    assert answer.error_code == 0, answer.error_msg
    assert (answer.object.view_count, answer.object.id) == (COUNT, "carried")
    assert len(answer.object.mesh.triangles) <= 500


@pytest.mark.parametrize(
    ("fields", "code", "said"),
    [
        ({"use_roi": True, "roi_size": Vector3(x=0.2, y=0.0, z=0.1)}, ErrorCode.BAD_ROI, "0.0"),
        ({"use_roi": True, "roi_size": Vector3(x=0.2, y=-0.1, z=0.1)}, ErrorCode.BAD_ROI, "-0.1"),
        ({"use_roi": True, "roi_size": Vector3(x=math.nan, y=0.1, z=0.1)}, ErrorCode.BAD_ROI, "nan"),
        (
            {"use_roi": True, "roi_size": Vector3(x=0.1, y=0.1, z=0.1), "roi_pose": at(0.45, 0.05, 3.0)},
            ErrorCode.ROI_NOT_VISIBLE,
            "",
        ),
        ({"pixel_boxes": [PixelBox(view=0, x_min=50.0, x_max=40.0, y_min=0.0, y_max=9.0)]}, ErrorCode.BAD_ROI, "50"),
        ({"pixel_boxes": [PixelBox(view=9, x_max=40.0, y_max=9.0)]}, ErrorCode.BAD_ROI, "view 9"),
        ({"point_prompts": [PointPrompt(view=9, x=3.0, y=3.0)]}, ErrorCode.BAD_ROI, "view 9"),
        ({"method": "magic"}, ErrorCode.BAD_OPTION, "'magic'"),
        ({"max_faces": 2}, ErrorCode.BAD_OPTION, "max_faces"),
        ({"refine": 7}, ErrorCode.BAD_OPTION, "refine 7"),
        ({"target_frame": "moon"}, ErrorCode.TRANSFORM_UNAVAILABLE, "'moon'"),
    ],
)
def test_a_request_that_cannot_be_met_is_refused_with_its_value(world, views, fields, code, said):
    answer = world.reconstruct(views=[message_of(v) for v in views], **fields)
    assert answer.error_code == code, answer.error_msg
    assert said in answer.error_msg


def nan_pose(message: ViewMessage) -> None:
    message.pose.position.x = math.nan


def no_rotation(message: ViewMessage) -> None:
    message.pose.orientation.w = message.pose.orientation.x = 5.0


def color_depth(message: ViewMessage) -> None:
    message.depth = message.image


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (nan_pose, ErrorCode.BAD_POSE),
        (no_rotation, ErrorCode.BAD_POSE),
        (color_depth, ErrorCode.BAD_DEPTH),
    ],
)
def test_a_spoilt_view_inside_a_request_is_refused_by_its_index(world, views, spoil, code):
    messages = [message_of(v) for v in views]
    spoil(messages[2])
    answer = world.reconstruct(views=messages)
    assert answer.error_code == code, answer.error_msg
    assert "views[2]" in answer.error_msg


def test_silhouettes_that_disagree_are_refused(world, views):
    messages = [message_of(v) for v in views]
    moved = np.zeros_like(views[1].mask)
    moved[5:60, 5:60] = True
    messages[1].mask = array_to_image(moved.astype(np.uint8) * 255, "mono8")
    answer = world.reconstruct(views=messages, refine_poses="off")
    assert answer.error_code == ErrorCode.SILHOUETTES_DISAGREE, answer.error_msg
    assert not answer.object.mesh.vertices
    answer = world.reconstruct(views=messages)
    assert answer.error_code == 0 and list(answer.object.poses.left_out) == [1], answer.error_msg


def test_an_output_folder_that_cannot_or_must_not_be_written_is_named(world, views, tmp_path):
    assert world.reconstruct(views=[message_of(v) for v in views]).error_code == 0
    blocked = world.logs / "file"
    blocked.write_text("not a folder")
    answer = world.save("file/out")
    assert answer.error_code == ErrorCode.CANNOT_WRITE
    assert str(blocked) in answer.error_msg
    answer = world.save(str(tmp_path / "out"))
    assert answer.error_code == ErrorCode.CANNOT_WRITE and not (tmp_path / "out").exists()
    assert str(tmp_path / "out") in answer.error_msg and "save_outside" in answer.error_msg


def test_a_second_request_while_one_runs_is_told_busy_at_once(world, views):
    messages = [message_of(v) for v in views]
    first = world.begin_long_work(messages)
    second = world.reconstruct(views=messages)
    assert second.error_code == ErrorCode.BUSY
    assert not first.done(), "the second answer must come while the first still runs"
    assert world.finish(first).error_code == 0
