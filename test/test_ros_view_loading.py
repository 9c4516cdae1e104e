"""What `~/load_views` reads, from where, and in which frame: without a node."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy")

from geometry_msgs.msg import TransformStamped
from ros_messages import CAMERA, SHARP, at, parameters, pose

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.io.transforms_json import write_capture
from mvgamba_ros.ros.conversions.geometry import matrix_to_transform
from mvgamba_ros.ros.transforms import TransformBuffer
from mvgamba_ros.ros.view_loading import ViewLoading, find_source, read_within_limits, readable
from mvgamba_ros.srv import LoadViews
from mvgamba_ros.types import View

pytestmark = pytest.mark.ros


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    write_capture(tmp_path / "capture", [View(SHARP, CAMERA, pose(0.1 * k)) for k in range(3)])
    return tmp_path / "capture"


def refused(code: ErrorCode, words: str, call: Any, *arguments: Any) -> None:
    with pytest.raises(ReconstructionError) as caught:
        call(*arguments)
    assert caught.value.code is code and words in caught.value.message, caught.value.message


def read(
    capture: Path | str, tf: TransformBuffer, views_file: str = "", output_dir: Path | None = None, **changes: Any
) -> tuple[list[np.ndarray], list[str]]:
    """The poses of what the worker's part of the service reads, and its log."""
    log: list[str] = []
    made = parameters(output_dir=str(output_dir or Path(capture).parent), load_outside=False, **changes)
    nothing: Any = None
    loading = ViewLoading(nothing, tf, lambda: made, nothing, nothing, nothing, lambda: 7, log.append)
    loaded = loading._read(
        LoadViews.Request(path=str(capture) if output_dir else Path(capture).name, views_file=views_file)
    )
    assert all(captured.stamp == 7 and captured.sharpness > 0 for captured in loaded)
    return [captured.view.T_world_camera for captured in loaded], log


def test_only_what_lies_below_the_output_folder_is_read(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "link").symlink_to(tmp_path)
    for path in (str(tmp_path / "other"), "../other", "link/other", "."):
        refused(ErrorCode.BAD_CAPTURE, "load_outside true", readable, path, str(tmp_path / "out"), False)
    assert readable("mug", str(tmp_path / "out"), False) == tmp_path / "out" / "mug"
    assert readable("../other", str(tmp_path / "out"), True) == tmp_path / "other"


@pytest.mark.parametrize(
    "path", ["x" * 300, "x/" * 5_000, "y" * 1_000_000, "a\0b", "pipe.mcap", "pipe.db3", "result", "tour"]
)
def test_a_path_that_is_none_and_a_pipe_are_refused_at_once(tmp_path: Path, path: str) -> None:
    os.mkfifo(tmp_path / "pipe.mcap")
    os.mkfifo(tmp_path / "pipe.db3")
    for name in ("result/views", "tour"):
        write_capture(tmp_path / name, [View(SHARP, CAMERA, pose())])
    os.mkfifo(tmp_path / "result" / "report.json")
    os.mkfifo(tmp_path / "tour" / "tour_0.mcap")
    (tmp_path / "tour" / "metadata.yaml").touch()
    (tmp_path / "tour" / "transforms.json").unlink()
    refused(ErrorCode.BAD_CAPTURE, "", read, path, TransformBuffer(10.0), "", tmp_path)


def test_a_list_of_views_without_end_is_refused(capture: Path) -> None:
    for views_file in ("x" * 1_000_000, "/" + "x" * 1_000_000, "@" + "x" * 1_000_000):
        refused(ErrorCode.BAD_CAPTURE, "at most 4096", read, capture, TransformBuffer(10.0), views_file)


@pytest.mark.parametrize("views_file", ["{other}/transforms.json", "../../other/transforms.json"])
def test_a_list_of_views_outside_the_output_folder_is_not_read(capture: Path, views_file: str) -> None:
    out = capture.parent / "out"
    out.mkdir()
    other = capture.rename(capture.parent / "other")
    write_capture(out / "mine", [View(SHARP, CAMERA, pose())])
    tf = TransformBuffer(10.0)
    refused(ErrorCode.BAD_CAPTURE, "load_outside true", read, out / "mine", tf, views_file.format(other=other))
    assert len(read(out / "mine", tf, "transforms.json")[0]) == 1


def test_more_views_or_pixels_than_allowed_are_refused_before_a_picture_is_decoded(
    capture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = find_source(capture, "", "base")
    assert len(read_within_limits(source, parameters())) == 3
    monkeypatch.setattr(cv2, "imread", lambda *_: pytest.fail("decoded"))
    refused(ErrorCode.TOO_MANY_VIEWS, "max_views is 2", read_within_limits, source, parameters(max_views=2))
    little = parameters(max_view_megapixels=1e-4)
    refused(ErrorCode.BAD_IMAGE, "max_view_megapixels", read_within_limits, source, little)


def test_views_of_an_unknown_frame_are_taken_to_be_in_the_target_frame_and_the_log_tells(capture: Path) -> None:
    poses, log = read(capture, TransformBuffer(10.0))
    np.testing.assert_allclose(poses, [pose(0.1 * k) for k in range(3)], atol=1e-12)
    assert "taken to be in target_frame 'base'" in log[0]


def test_a_saved_results_views_move_into_the_target_frame_by_static_transforms_alone(capture: Path) -> None:
    result = capture.rename(capture.parent / "views").parent / "mug"
    result.mkdir()
    (capture.parent / "views").rename(result / "views")
    (result / "report.json").write_text(json.dumps({"frame": "/map"}))
    assert find_source(result / "views", "", "base").frame == find_source(result, "", "base").frame == "map"

    step = TransformStamped(child_frame_id="map", transform=matrix_to_transform(pose(1.0, 0.5)))
    fixed, moving = TransformBuffer(10.0), TransformBuffer(10.0)
    fixed.insert(at(step, 5.0, "base"), static=True)
    moving.insert(at(step, 5.0, "base"), static=False)
    poses, log = read(result, fixed)
    np.testing.assert_allclose(poses, [pose(1.0, 0.5) @ pose(0.1 * k) for k in range(3)], atol=1e-12)
    assert "in frame 'map'" in log[0]
    for tf in (moving, TransformBuffer(10.0)):
        refused(ErrorCode.BAD_CAPTURE, "target_frame map", read, result, tf)
    assert len(read(result, TransformBuffer(10.0), target_frame="map")[0]) == 3

    (result / "report.json").write_text("{")
    refused(ErrorCode.BAD_CAPTURE, "frame of its views is not known", find_source, result, "", "base")


def test_a_recording_gives_its_views_in_the_target_frame_or_the_one_that_is_named(tmp_path: Path) -> None:
    (tmp_path / "tour").mkdir()
    (tmp_path / "tour" / "metadata.yaml").touch()
    named = {"": ("@base", "base"), "/color": ("/color@base", "base"), "/color@/map": ("/color@map", "map")}
    for given, (views_file, frame) in named.items():
        found = find_source(tmp_path / "tour", given, "base")
        assert (found.views_file, found.frame) == (views_file, frame)


def test_a_recordings_views_are_those_of_its_reader_in_the_target_frame(tmp_path: Path) -> None:
    pytest.importorskip("rosbags")
    import rendered
    from test_bag_reader import record

    views = rendered.views(3)
    record(tmp_path / "tour", views)
    made = {"max_view_megapixels": 25.0, "target_frame": "base_link"}
    poses, log = read(tmp_path / "tour", TransformBuffer(10.0), **made)
    np.testing.assert_allclose(poses, [view.T_world_camera for view in views], atol=1e-6)
    assert "in frame 'base_link'" in log[0]
    made["target_frame"] = "map"
    refused(
        ErrorCode.BAD_CAPTURE,
        "name a frame of the recording",
        lambda: read(tmp_path / "tour", TransformBuffer(10.0), **made),
    )
