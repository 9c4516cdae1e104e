"""/diagnostics says what is so: what failed, and what works again."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("rclpy")

from test_ros_time import Log

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.ros.diagnostics import Diagnostics
from mvgamba_ros.ros.failures import Failures
from mvgamba_ros.ros.health import Health

pytestmark = pytest.mark.ros

OK, WARN, ERROR = b"\x00", b"\x01", b"\x02"


def publisher(name: str) -> Any:
    return SimpleNamespace(node_name=name, node_namespace="/")


class Robot:
    """A node and its inputs whose image, time and transforms are as a test sets them."""

    by_name = ("image",)

    def __getitem__(self, name: str) -> Any:
        return SimpleNamespace(topic=f"/wrist/{name}")

    def explain_silence(self, name: str, silent_after_s: float) -> str:
        return self.silent

    def publishers(self, name: str) -> list[str]:
        return self.publish

    def __init__(self) -> None:
        self.silent, self.publish, self.clock = "", ["/wrist/driver"], ""
        self.tf_publishers, self.behind, self.refused = 3, False, ""
        node = SimpleNamespace(
            create_publisher=lambda *_: None,
            get_fully_qualified_name=lambda: "/reconstructor",
            get_name=lambda: "reconstructor",
            get_namespace=lambda: "/",
            get_publishers_info_by_topic=lambda topic: (
                [publisher("reconstructor")] + [publisher("driver")] * (self.tf_publishers if topic == "/tf" else 0)
            ),
        )
        time = SimpleNamespace(silence=lambda silent_after_s: self.clock, simulated=True, jumps=2, last_jump="back")
        self.tf = SimpleNamespace(
            name="own", topics={"/tf": "/tf", "/tf_static": "/tf_static"}, behind=False, messages=9, malformed=0,
            lag_s=0.2, gate=SimpleNamespace(refused=0, last_refusal=""), refusal=lambda: self.refused,
            explain_lag=lambda: "transforms wait 0.20 s",
        )  # fmt: skip
        self.health = Health()
        self.failures = Failures(Log(), self.health)
        self._diagnostics = Diagnostics(node, self, self.tf, time, self.health)  # type: ignore[arg-type]

    def status(self, name: str) -> tuple[bytes, str, dict[str, str]]:
        found = {status.name: status for status in self._diagnostics.statuses(2.0, 4, False)}
        status = found[f"reconstructor: {name}"]
        return status.level, status.message, {value.key: value.value for value in status.values}

    def fail(self, what: str, code: ErrorCode, words: str) -> None:
        self.failures.note(what, ReconstructionError(code, words))


@pytest.fixture
def robot() -> Robot:
    return Robot()


def test_a_robot_that_works_is_ok_in_every_part(robot: Robot) -> None:
    for name in ("image", "clock", "transforms", "captures", "reconstruction"):
        assert robot.status(name)[0] == OK
    assert robot.status("clock")[2] == {"time": "simulated (/clock)", "jumps": "2", "last jump": "back"}


def test_a_failed_capture_is_a_warning_until_one_succeeds_and_stays_in_the_values(robot: Robot) -> None:
    robot.fail("capture_view", ErrorCode.TRANSFORM_UNAVAILABLE, "the newest transform is old")
    robot.fail("capture_view", ErrorCode.BLURRED_IMAGE, "sharpness 2")
    assert robot.status("captures")[:2] == (WARN, "BLURRED_IMAGE: sharpness 2")
    assert robot.status("transforms")[:2] == (WARN, "the newest transform is old")
    robot.health.succeeded("capture")
    level, message, values = robot.status("captures")
    assert (level, message, values["failures"], values["last failure"]) == (OK, "no failure", "2", "sharpness 2")
    level, message, values = robot.status("transforms")
    assert (level, values["failures"], values["last failure"]) == (OK, "1", "the newest transform is old")


def test_the_values_name_the_generator_that_completed_the_last_object(robot: Robot) -> None:
    assert robot.status("reconstruction")[2]["completed by"] == "none"
    robot.health.completed_by = "triposr"
    assert robot.status("reconstruction")[2]["completed by"] == "triposr"


def test_a_reconstruction_of_held_views_does_not_mend_the_transforms_of_captures(robot: Robot) -> None:
    robot.fail("capture_view", ErrorCode.BAD_POSE, "nan")
    robot.fail("reconstruct", ErrorCode.TOO_FEW_VIEWS, "1 views")
    assert robot.status("reconstruction")[:2] == (WARN, "TOO_FEW_VIEWS: 1 views")
    robot.health.succeeded("reconstruct")
    assert robot.status("reconstruction")[0] == OK and robot.status("transforms")[0] == WARN


def test_a_refusal_that_is_the_requests_is_no_state_of_the_node(robot: Robot) -> None:
    for what, code in (("capture_view", ErrorCode.DUPLICATE_VIEW), ("reconstruct", ErrorCode.BUSY)):
        robot.fail(what, code, "not now")
    robot.fail("save", ErrorCode.CANNOT_WRITE, "full")
    assert robot.status("captures")[0] == robot.status("reconstruction")[0] == OK


def test_a_warm_up_that_failed_and_a_bug_are_errors_until_a_reconstruction_succeeds(robot: Robot) -> None:
    robot.failures.note("warm-up", ReconstructionError(ErrorCode.BAD_OPTION, "no such checkpoint"))
    assert robot.status("reconstruction")[:2] == (ERROR, "the warm-up failed: BAD_OPTION: no such checkpoint")
    robot.health.succeeded("reconstruct")
    assert robot.status("reconstruction")[0] == OK
    robot.failures.note("reconstruct", ValueError("a bug"))
    assert robot.status("reconstruction")[0] == ERROR


def test_the_publishers_of_an_input_are_counted_and_named(robot: Robot) -> None:
    robot.publish = ["/bag/player", "/wrist/driver"]
    level, message, values = robot.status("image")
    assert level == WARN and "2 publishers on /wrist/image: /bag/player, /wrist/driver" in message
    assert values["publishers"] == "2" and values["published by"] == "/bag/player, /wrist/driver"
    robot.publish = []
    assert robot.status("image")[0] == ERROR and "nobody publishes" in robot.status("image")[1]


def test_the_frames_of_objects_that_the_node_publishes_are_no_transforms_of_the_robot(robot: Robot) -> None:
    level, _, values = robot.status("transforms")
    assert level == OK and values["publishers of /tf"] == "3"
    robot.tf_publishers = 0
    level, message, values = robot.status("transforms")
    assert level == ERROR and "nobody publishes /tf or /tf_static" in message and values["publishers of /tf"] == "0"


def test_silence_under_a_clock_that_stands_names_both(robot: Robot) -> None:
    robot.silent, robot.clock = "nothing arrives for 9.0 s", "/clock stands at 7.00 s"
    assert robot.status("image")[:2] == (ERROR, "nothing arrives for 9.0 s; /clock stands at 7.00 s")
    assert robot.status("clock")[:2] == (ERROR, "/clock stands at 7.00 s")


def test_transforms_that_wait_or_are_refused_are_a_warning(robot: Robot) -> None:
    robot.refused = "stamped 9.00 s ahead"
    assert robot.status("transforms")[:2] == (WARN, "stamped 9.00 s ahead")
    robot.tf.behind = True
    assert robot.status("transforms")[:2] == (WARN, "transforms wait 0.20 s")
