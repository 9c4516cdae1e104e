"""Views that the node keeps by itself: where, when and how cheaply. Without a node."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")

from geometry_msgs.msg import TransformStamped
from ros_messages import EVEN, SECOND, SHARP, at, info, parameters, photo

from mvgamba_ros.geometry.se3 import look_at
from mvgamba_ros.ros import view_capture
from mvgamba_ros.ros.auto_capture import POLL_S, AutoCapture
from mvgamba_ros.ros.captured_views import CapturedViews
from mvgamba_ros.ros.conversions.geometry import matrix_to_transform
from mvgamba_ros.ros.failures import Failures
from mvgamba_ros.ros.health import Health
from mvgamba_ros.ros.inputs import Input
from mvgamba_ros.ros.transforms import TransformBuffer
from mvgamba_ros.ros.view_capture import Capture
from mvgamba_ros.ros.view_spool import ViewSpool
from mvgamba_ros.types import U8

pytestmark = pytest.mark.ros


class Inputs(dict[str, Input]):
    by_name = property(lambda self: self)

    def explain_silence(self, name: str, silent_after_s: float) -> str:
        return f"{name} is silent"


class Robot:
    """A camera whose images and transforms come every `POLL_S`, and the node's parts that keep views of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
        defaults = {
            "auto_capture": True,
            "auto_capture_coverage": 1.0,
            "min_view_distance_m": 0.01,
            "tf_timeout_s": 0.5,
        }
        self.parameters = parameters(**(defaults | changes))
        self.seconds, self.picture, self.log = 10.0, SHARP, []
        self.inputs = Inputs(image=Input("image"), camera_info=Input("camera_info"))
        self.tf = TransformBuffer(60.0)
        self.capture = Capture(self.inputs, self.tf, lambda: self.parameters, self.now)  # type: ignore[arg-type]
        self.awaited: Any = SimpleNamespace(waiting=False)
        spool, nothing = ViewSpool("", "base", pytest.fail), lambda *_: None
        self.health, self.errors = Health(), []
        logger: Any = SimpleNamespace(error=self.errors.append, warning=self.errors.append)
        failures = Failures(logger, self.health)
        self.views = CapturedViews(self.awaited, spool, lambda: self.parameters, nothing, failures, self.now, nothing)
        self.auto = AutoCapture(
            self.capture,
            self.awaited,
            self.views,
            lambda: self.parameters,
            failures,
            self.log.append,
            lambda: self.seconds,
        )
        self.decoded = 0
        make_view = view_capture.make_view

        def counted(*arguments: Any, **named: Any) -> Any:
            self.decoded += 1
            return make_view(*arguments, **named)

        monkeypatch.setattr(view_capture, "make_view", counted)

    def now(self) -> int:
        return round(self.seconds * SECOND)

    def at(self, T: np.ndarray, picture: U8 | None = None) -> None:
        """One period later: transform, image, camera_info and poll."""
        self.seconds += POLL_S
        transform = TransformStamped(child_frame_id="camera", transform=matrix_to_transform(T))
        self.tf.insert(at(transform, self.seconds, "base"), static=False)
        self.inputs["image"].messages.append(photo(self.seconds, self.picture if picture is None else picture))
        self.inputs["camera_info"].messages.append(info(self.seconds))
        self.auto.poll()

    def stand(self, T: np.ndarray, polls: int = 4, **how: Any) -> None:
        # what another place shows is another picture
        self.picture = np.roll(SHARP, round(1e3 * float(T[:3, 3].sum())), axis=1)
        for _ in range(polls):
            self.at(T, **how)


def around(degrees: float, elevation: float = 40.0) -> np.ndarray:
    a, e = np.radians([degrees, elevation])
    return look_at(0.4 * np.array([np.cos(a) * np.cos(e), np.sin(a) * np.cos(e), np.sin(e)]), np.zeros(3))


def test_one_view_is_kept_and_decoded_at_each_new_place_and_none_on_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    robot = Robot(monkeypatch)
    for place in (0.0, 50.0, 100.0):
        for step in np.linspace(-40.0, -10.0, 4):
            robot.at(around(place + step))
        robot.stand(around(place), polls=10)
    assert len(robot.views) == robot.decoded == 3
    assert [line.startswith(f"auto_capture: view {k} kept") for k, line in enumerate(robot.log)] == [True] * 3
    robot.stand(around(105.0))  # sees the same as the last
    robot.stand(around(50.0))  # held
    assert len(robot.views) == robot.decoded == 3 and len(robot.log) == 3


def test_it_begins_and_ends_with_the_parameter_and_waits_for_a_capture_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    robot = Robot(monkeypatch, auto_capture=False)
    robot.stand(around(0.0))
    assert len(robot.views) == 0 and robot.decoded == 0
    robot.parameters.auto_capture, robot.awaited.waiting = True, True
    robot.stand(around(0.0))
    assert len(robot.views) == 0 and robot.decoded == 0
    robot.awaited.waiting = False
    robot.stand(around(0.0))
    assert len(robot.views) == 1


def test_it_is_done_at_its_coverage_tells_so_once_and_goes_on_after_a_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    robot = Robot(monkeypatch, auto_capture_coverage=0.95)
    for turn in (0.0, 120.0, 240.0, 60.0, 180.0):
        robot.stand(around(turn))
    assert len(robot.views) == 3  # three from all around cover 0.99
    done = [line for line in robot.log if "done" in line]
    assert len(done) == 1 and "3 views" in done[0] and "max_views" not in done[0]
    robot.views._on_clear_views(SimpleNamespace(), SimpleNamespace())  # type: ignore[arg-type]
    robot.stand(around(180.0))
    assert len(robot.views) == 1


def test_it_is_done_at_max_views(monkeypatch: pytest.MonkeyPatch) -> None:
    robot = Robot(monkeypatch, max_views=4)
    for turn in range(0, 180, 30):
        robot.stand(around(turn))
    assert len(robot.views) == 4 and "(max_views)" in robot.log[-1]


def test_a_blurred_place_is_tried_once_a_second_and_named_once(monkeypatch: pytest.MonkeyPatch) -> None:
    robot = Robot(monkeypatch)
    robot.stand(around(0.0), polls=round(6 / POLL_S), picture=EVEN)
    # a try of the newest image looks at those before it too
    assert len(robot.views) == 0 and robot.decoded <= 7 * 8
    (line,) = robot.log
    assert line.startswith("auto_capture waits: BLURRED_IMAGE") and "min_sharpness" in line
    robot.stand(around(0.0), polls=round(2 / POLL_S))
    assert len(robot.views) == 1


def test_an_unforeseen_error_is_noted_once_and_the_next_view_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    robot = Robot(monkeypatch)
    good = robot.capture.newest_good_view

    def broken() -> Any:
        raise ValueError("a driver's bug")

    monkeypatch.setattr(robot.capture, "newest_good_view", broken)
    robot.stand(around(0.0), polls=30)
    assert len(robot.views) == 0 and robot.log == []
    assert [line for line in robot.errors if line.startswith("capture by auto_capture: INTERNAL: ValueError")]
    assert robot.health.failures["capture"].count == 1
    monkeypatch.setattr(robot.capture, "newest_good_view", good)
    robot.stand(around(0.0), polls=10)
    assert len(robot.views) == 1


def test_without_transforms_the_log_has_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    robot = Robot(monkeypatch)
    for _ in range(100):
        robot.seconds += POLL_S
        robot.inputs["image"].messages.append(photo(robot.seconds))
        robot.auto.poll()
    (line,) = robot.log
    assert "TRANSFORM_UNAVAILABLE" in line and robot.decoded == 0


def test_a_camera_that_does_not_see_the_region_gives_no_view(monkeypatch: pytest.MonkeyPatch) -> None:
    robot = Robot(monkeypatch, roi_m=[1.0, 0.0, 0.0, 0.1, 0.1, 0.1])
    robot.stand(around(0.0), polls=20)  # looks away from x = 1
    assert len(robot.views) == 0 and robot.decoded == 1
    robot.parameters.roi_m = [0.0, 0.0, 0.0, 0.1, 0.1, 0.1]
    robot.stand(around(20.0))
    assert len(robot.views) == 1
