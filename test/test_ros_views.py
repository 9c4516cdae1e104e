"""Views that the node holds are listed, dropped, loaded, and taken by itself: as a client meets it."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy")

import rendered
from geometry_msgs.msg import PoseArray
from patience import PATIENCE
from ros_world import World
from std_srvs.srv import Trigger

from mvgamba_ros.errors import ErrorCode
from mvgamba_ros.io.transforms_json import write_capture
from mvgamba_ros.msg import ReconstructedObject
from mvgamba_ros.ros.conversions.geometry import pose_to_matrix
from mvgamba_ros.srv import ListViews, LoadViews, RemoveView, SuggestViews

pytestmark = [pytest.mark.ros, pytest.mark.slow]


def test_views_are_loaded_listed_dropped_and_outlive_the_node(tmp_path: Path) -> None:
    views = rendered.views(5)
    write_capture(tmp_path / "five", views)
    write_capture(tmp_path / "saved" / "views", views[:2])
    (tmp_path / "saved" / "report.json").write_text(json.dumps({"frame": "moon"}))
    poses = [view.T_world_camera for view in views]

    with World(tmp_path) as world:

        def load(path: str, keep: bool = False) -> LoadViews.Response:
            return world.call(LoadViews, "/reconstructor/load_views", LoadViews.Request(path=path, keep=keep))

        def listed() -> list[np.ndarray]:
            answer = world.call(ListViews, "/reconstructor/list_views")
            assert (answer.error_code, answer.error_msg) == (0, "")
            assert all(view.header.frame_id == "base_link" for view in answer.views)
            return [pose_to_matrix(view.pose) for view in answer.views]

        world.start_node(spool_dir=tmp_path / "spool", max_views=6)
        assert listed() == []
        answer = load("five")
        assert (answer.error_code, answer.loaded, answer.view_count) == (0, 5, 5), answer.error_msg
        assert answer.coverage > 0.9
        np.testing.assert_allclose(listed(), poses, atol=1e-9)
        (first, *_) = world.call(ListViews, "/reconstructor/list_views").views
        assert (first.width, first.height, first.has_depth, first.has_mask) == (320, 240, True, True)
        assert first.sharpness > 5.0

        removed = world.call(RemoveView, "/reconstructor/remove_view", RemoveView.Request(index=1))
        assert (removed.error_code, removed.view_count) == (0, 4)
        np.testing.assert_allclose(listed(), [poses[0], *poses[2:]], atol=1e-9)
        beyond = world.call(RemoveView, "/reconstructor/remove_view", RemoveView.Request(index=4))
        assert (beyond.error_code, beyond.view_count) == (ErrorCode.BAD_OPTION, 4)
        assert "4 views are held (0 to 3)" in beyond.error_msg

        # what fails leaves the views as they are
        for path, words in (
            ("/etc", "load_outside"),
            ("saved", "'moon'"),
            ("nothing", "does not exist"),
            ("", "empty"),
        ):
            refused = load(path)
            assert (refused.error_code, refused.view_count) == (ErrorCode.BAD_CAPTURE, 4), path
            assert words in refused.error_msg
        assert load("five", keep=True).loaded == 1  # the others are held
        np.testing.assert_allclose(listed(), [poses[0], *poses[2:], poses[1]], atol=1e-9)

        def suggested() -> SuggestViews.Response:
            return world.call(SuggestViews, "/reconstructor/suggest_views", SuggestViews.Request(count=3))

        covered = suggested()
        assert covered.error_code == ErrorCode.NO_ESTIMATE and "~/reconstruct first" in covered.error_msg
        assert covered.coverage == pytest.approx(answer.coverage)
        answer = world.reconstruct(use_support_height=True)
        assert (answer.error_code, answer.object.view_count) == (0, 5), answer.error_msg
        next_views = suggested()
        assert (next_views.error_code, len(next_views.poses.poses)) == (0, 3), next_views.error_msg
        assert next_views.poses.header.frame_id == "base_link" and list(next_views.gains) == sorted(next_views.gains)

        world.save("result")
        world.call(Trigger, "/reconstructor/clear_views")
        assert load("result").loaded == 5  # its frame is target_frame
        deadline = time.monotonic() + PATIENCE
        while len(list((tmp_path / "spool").glob("view-*.npz"))) < 5 and time.monotonic() < deadline:
            world.spin(0.05)
        world.processes[0].kill()
    with World(tmp_path) as world:
        world.start_node(spool_dir=tmp_path / "spool")
        world.wait_for_log("node", "5 views of spool_dir")


def test_the_node_captures_itself_and_shows_a_shape_before_it_is_requested(tmp_path: Path) -> None:
    write_capture(tmp_path / "capture", rendered.views(4))
    with World(tmp_path) as world:
        world.start_node(
            auto_capture=True, auto_capture_coverage=0.0, preliminary=True, min_views=3, support_height_m=0.0
        )
        world.start_player(tmp_path / "capture")
        poses = world.listen(PoseArray, "/reconstructor/view_poses")
        objects = world.listen(ReconstructedObject, "/reconstructor/object")

        def wait_for_views(count: int) -> None:
            deadline = time.monotonic() + PATIENCE
            while not poses or len(poses[-1].poses) < count:
                assert time.monotonic() < deadline, world.log("node")
                world.spin(0.05)

        for count in (1, 2, 3):
            wait_for_views(count)
            if count < 3:
                world.next_view()
        first = world.await_message(objects)
        assert (first.view_count, first.id) == (3, "object")
        world.spin(1.0)
        assert world.log("node").count("auto_capture: done with 3 views") == 1
        assert len(poses[-1].poses) == 3

        world.set_parameter("reconstructor", "auto_capture_coverage", 1.0)  # another one, and its shape at once
        world.next_view()
        wait_for_views(4)
        answer = world.reconstruct(object_id="egg")
        assert (answer.error_code, answer.object.view_count) == (0, 4), answer.error_msg
        assert "preliminary: 'object' from 3 views" in world.log("node")
        assert not [line for line in world.log("node").splitlines() if "WARN" in line or "ERROR" in line]
