"""The client command against a node of its own process: what it prints, and its exit status."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")

import rclpy
import rendered
from ros_world import World

from mvgamba_ros.errors import ErrorCode
from mvgamba_ros.io.transforms_json import write_capture
from mvgamba_ros.msg import ReconstructedObject, ViewInfo
from mvgamba_ros.ros import object_summary
from mvgamba_ros.ros.client import main
from mvgamba_ros.ros.service_calls import CallError, NodeCalls, refused
from mvgamba_ros.srv import CaptureView, ListViews

pytestmark = [pytest.mark.ros, pytest.mark.slow, pytest.mark.timeout(600)]

CENTER, HALF = rendered.CENTER, 0.7 * rendered.SIZE
AIR = CENTER + np.array([0.0, 0.0, 0.1])
REGION = ["--roi", *map(str, [*(CENTER - HALF), *(CENTER + HALF)]), "--support-height", "0"]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with World(tmp_path) as made:
        monkeypatch.setenv("ROS_DOMAIN_ID", str(made.domain))
        yield made


class Person:
    """Moves the camera on and presses Enter."""

    def __init__(self, world: World) -> None:
        self.world, self.pressed = world, 0

    def readline(self) -> str:
        if self.pressed:
            self.world.next_view()
            self.world.spin(0.3)
        self.pressed += 1
        return "\n"


def test_a_person_captures_reconstructs_saves_and_watches_from_a_terminal(world, tmp_path, monkeypatch, capsys):
    write_capture(tmp_path / "capture", rendered.views(4))
    world.start_node(max_faces=1000, cloud_points=2000, refine=False)
    world.start_player(tmp_path / "capture")

    assert main(["save", "--node", "/left/reconstructor", "--find", "3"]) == 1
    error = capsys.readouterr().err
    assert "no node /left/reconstructor answers: start it by `ros2 launch" in error
    assert "there are: /reconstructor" in error and error.count("\n") == 1
    assert main(["save"]) == 1 and "save answered NOTHING_TO_SAVE" in capsys.readouterr().err

    monkeypatch.setattr(sys, "stdin", Person(world))
    assert main(["capture", "4"]) == 0
    printed = capsys.readouterr()
    assert printed.out.count("camera at") == 4 and "view 4 of 4" in printed.out and "press Enter" in printed.err
    assert main(["capture", "--json"]) == 1  # from the same place
    printed = capsys.readouterr()
    assert json.loads(printed.out)["error_code"] == ErrorCode.DUPLICATE_VIEW and "DUPLICATE_VIEW" in printed.err

    assert main(["object", "--object-id", "egg", *REGION, "--save", "egg"]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("quality         good\nexpected error  ")
    assert "egg by hull from 4 views" in printed.out and "mm in base_link" in printed.out
    assert str(tmp_path / "egg" / "mesh.ply") in printed.out and (tmp_path / "egg" / "mesh.ply").exists()
    assert "segment" in printed.err and "surface" in printed.err
    assert main(["object", "--method", "clay", "--json"]) == 1
    printed = capsys.readouterr()
    assert json.loads(printed.out)["error"] == "BAD_OPTION" and "clay" in printed.err
    assert main(["object", "--generator", "triposr", "--generator-seed", "9", "--complete", "sometimes"]) == 1
    assert "BAD_OPTION: complete 'sometimes' is not one of few, always, off" in capsys.readouterr().err

    air = ["--roi", *map(str, [*(AIR - HALF / 2), *(AIR + HALF / 2)])]
    assert main(["scene", *REGION, *air, "--save", "table"]) == 1  # as one of the two failed
    printed = capsys.readouterr()
    first, second, *_ = printed.out.splitlines()
    assert first.startswith("good; 'egg' ") and second.startswith("FAILED: 'object_1' EMPTY_SILHOUETTE: ")
    assert "1/2 segment" in printed.err and str(tmp_path / "table" / "scene.json") in printed.out
    assert main(["scene", *REGION, "--json"]) == 0
    answered = json.loads(capsys.readouterr().out)
    assert [found["id"] for found in answered["objects"]] == ["egg"] and answered["failures"] == []

    twin = rclpy.create_node("reconstructor", context=world.context)
    said = ""
    while "2 nodes are called /reconstructor" not in said:  # once both are discovered; until then pytest's timeout
        assert main(["watch", "--count", "1"]) == 0
        said = capsys.readouterr().err
    twin.destroy_node()
    assert main(["watch", "--count", "1"]) == 0
    assert capsys.readouterr().out.startswith("good; 'egg' ")
    assert main(["watch", "--count", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["views"] == 4

    def interrupt(self: Any, stage: str, fraction: float) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("mvgamba_ros.ros.client.StageLine.__call__", interrupt)
        assert main(["object", "--method", "mvgamba"]) == 130
    world.wait_for_log("node", "CANCELLED")

    monkeypatch.setattr(sys, "stdin", open("/dev/null"))  # noqa: SIM115, PTH123
    assert main(["capture", "2"]) == 1 and "--every S or --still" in capsys.readouterr().err


def test_the_captured_views_are_listed(world, capsys):
    view = ViewInfo(width=320, height=240, sharpness=41.0, has_depth=True)
    view.header.frame_id, view.header.stamp.sec = "base_link", 7

    def answer(_: Any, response: ListViews.Response) -> ListViews.Response:
        response.views, response.coverage = [view, view], 0.5
        return response

    from mvgamba_ros.srv import Reconstruct

    world.client.create_service(ListViews, "/reconstructor/list_views", answer)
    world.client.create_service(Reconstruct, "/reconstructor/reconstruct", lambda _, response: response)
    done = threading.Event()
    server = threading.Thread(target=lambda: [world.executor.spin_once(0.05) for _ in iter(done.is_set, True)])
    server.start()
    try:
        assert main(["list"]) == 0
        assert main(["list", "--json", "--node", "reconstructor"]) == 0
    finally:
        done.set()
        server.join()
    lines = capsys.readouterr().out.splitlines()
    assert "view 1: camera at (0.000, 0.000, 0.000) m in base_link at 7.000 s, 320 x 240, sharpness 41, depth" in lines
    assert lines[2] == "2 views cover 50 % of the directions from above"
    assert json.loads(lines[4]) == {"view": 1, "stamp": 7.0, "position": [0.0, 0.0, 0.0], "beside": ["depth"]}


class Answers(NodeCalls):
    """A node that answers captures with these codes, one after the other."""

    def __init__(self, *codes: ErrorCode) -> None:
        super().__init__()
        self.codes = list(codes)

    def call(self, kind: Any, name: str, request: Any, limit_s: float) -> CaptureView.Response:
        return CaptureView.Response(error_code=int(self.codes.pop(0)), error_msg="so it is")

    def spin(self, seconds: float) -> None:
        pass


def test_a_capture_waits_for_what_comes_by_itself_and_where_wanted_for_a_new_place():
    moving, same, done = ErrorCode.CAMERA_MOVING, ErrorCode.DUPLICATE_VIEW, ErrorCode.SUCCESS
    assert Answers(moving, ErrorCode.NO_IMAGE, done).capture_view(9.0).error_code == done
    assert Answers(same, moving, same, done).capture_view(9.0, until_new=True).error_code == done
    for node, until_new in ((Answers(same), False), (Answers(ErrorCode.TOO_MANY_VIEWS), True)):
        with pytest.raises(CallError, match=r"capture_view answered [A-Z_]+: so it is"):
            node.capture_view(9.0, until_new)
    with pytest.raises(CallError, match="CAMERA_MOVING"):
        Answers(moving, moving).capture_view(-1.0)


def test_a_code_of_a_newer_node_is_shown_as_it_is():
    answer = SimpleNamespace(error_code=60_000, error_msg="too round")
    assert str(refused("save", answer)) == "save answered error_code 60000: too round"


def test_a_goal_that_is_interrupted_before_it_is_accepted_is_cancelled(monkeypatch):
    """Ctrl-C comes while the goal is on its way."""
    cancelled, pressed = [], iter([KeyboardInterrupt()])

    def done() -> bool:
        for error in pressed:
            raise error
        return True

    handle = SimpleNamespace(accepted=True, cancel_goal_async=lambda: cancelled.append("goal"))
    sent = SimpleNamespace(done=done, result=lambda: handle)
    client = SimpleNamespace(server_is_ready=lambda: True, send_goal_async=lambda *_: sent)
    monkeypatch.setattr("mvgamba_ros.ros.service_calls.ActionClient", lambda *_: client)
    node = NodeCalls()
    node._node = None
    node._executor = SimpleNamespace(spin_until_future_complete=lambda *_, timeout_sec: None)
    with pytest.raises(KeyboardInterrupt):
        node.reconstruct(None, lambda *_: None, 1.0)
    assert cancelled == ["goal"]


def test_a_low_quality_stands_first_with_its_reasons():
    found = ReconstructedObject(id="mug", view_count=3)
    found.quality.low, found.quality.reasons = True, ["few views", "it floats"]
    found.quality.expected_error_mm = float("nan")
    assert object_summary.rows(found)[0] == ("quality", "LOW: few views; it floats")
    assert object_summary.line(found).startswith("LOW: few views; it floats; 'mug'")
    values = object_summary.values(found)
    assert next(iter(values.items())) == ("low", True) and values["quality"]["expected_error_mm"] is None
    json.dumps(values, allow_nan=False)


@pytest.mark.parametrize(
    "wrong",
    [
        *(
            ["capture", "0"],
            ["object", "--roi", "1"],
            ["fly"],
            [],
            ["object", "--max-faces=-1"],
            ["object", "--generator-seed=0"],
        ),
        *(["list", "--find", "nan"], ["list", "--timeout", "inf"], ["capture", "2", "--every=-1"]),
        *(["object", "--roi", *"12345", "nan"], ["object", "--support-height", "x"], ["list", "--node", "\udcff"]),
        *(["list", "--ros-args", "--bogus"], ["list", "--ros-args", "-r", "x"]),
    ],
)
def test_wrong_usage_ends_with_status_two(wrong, capsys):
    with pytest.raises(SystemExit) as caught:
        main(wrong)
    assert caught.value.code == 2 and "usage:" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["left hand", "a/{b}", "~"])
def test_a_name_that_is_none_is_one_line(capsys, name):
    assert main(["save", "--node", name, "--find", "0"]) == 1
    error = capsys.readouterr().err
    assert name in error and error.count("\n") == 1 and "Traceback" not in error
