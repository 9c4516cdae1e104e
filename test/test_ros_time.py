"""Time may jump: what was kept of the time before is forgotten, said once, and captures go on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")

from rclpy.clock import ROSClock
from rclpy.time import Time
from ros_messages import SECOND, SHARP, STILL, info, parameters, photo, pose, transforms
from test_claims_ros_capture import Topics

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.ros.conversions.transform_bytes import StampedTransform
from mvgamba_ros.ros.inputs import Input, Inputs
from mvgamba_ros.ros.node_time import NodeTime, StreamTime
from mvgamba_ros.ros.transform_stamps import StampGate
from mvgamba_ros.ros.transforms import TransformBuffer
from mvgamba_ros.ros.view_capture import Capture

pytestmark = pytest.mark.ros

UNMOVED = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0)


def moved(seconds: float, x: float = 0.0, child: str = "camera") -> StampedTransform:
    return round(seconds * SECOND), "base", child, (x, *UNMOVED[1:])


class Log(list[str]):
    """A node's logger that keeps the lines."""

    def warning(self, line: str, **how: Any) -> None:
        self.append(line)

    error = warning


class Clocked:
    """A node whose clock is simulated, and stands where a test sets it."""

    def __init__(self) -> None:
        self.clock, self.log = ROSClock(), Log()
        self.clock._set_ros_time_is_active(True)
        self.time = NodeTime(self)  # type: ignore[arg-type]
        self.forgotten = 0
        self.time.forget.append(self.forget)

    def get_clock(self) -> ROSClock:
        return self.clock

    def get_logger(self) -> Log:
        return self.log

    def forget(self) -> None:
        self.forgotten += 1

    def set(self, seconds: float) -> None:
        self.clock.set_ros_time_override(Time(nanoseconds=round(seconds * SECOND)))


@pytest.fixture
def node() -> Clocked:
    return Clocked()


def test_a_clock_that_goes_back_makes_all_forget_and_says_so_once(node: Clocked) -> None:
    node.set(100.0)
    node.set(180.0)
    node.set(179.95)  # messages of two senders overtake each other
    assert (node.forgotten, node.log) == (0, [])
    node.set(3.0)
    node.time.jumped("the stamps on /image went back by 177.00 s")  # the same jump, met by a stream
    assert node.forgotten == 2 and len(node.log) == node.time.jumps == 1
    assert "went back by 176.95 s" in node.log[0] and "captured views are kept" in node.log[0]


def test_a_clock_that_is_closed_meets_no_more_jumps(node: Clocked) -> None:
    node.set(100.0)
    node.time.close()
    node.set(3.0)
    assert (node.forgotten, node.log) == (0, [])


def test_every_jump_of_a_recording_that_is_played_in_a_loop_is_said(
    node: Clocked, monkeypatch: pytest.MonkeyPatch
) -> None:
    steady = [0.0]
    monkeypatch.setattr("mvgamba_ros.ros.node_time.time", SimpleNamespace(monotonic=lambda: steady[0]))
    for turn in range(3):
        steady[0] = 20.0 * (turn + 1)
        for second in range(20):
            node.set(100.0 + second)
    assert node.forgotten == len(node.log) == 2


def test_turning_simulated_time_off_is_a_jump(node: Clocked) -> None:
    node.set(100.0)
    node.clock._set_ros_time_is_active(False)
    assert node.forgotten == 1 and "use_sim_time was changed" in node.log[0]


def test_a_simulated_clock_that_never_came_or_stands_is_silent(node: Clocked, monkeypatch: pytest.MonkeyPatch) -> None:
    steady = [0.0]
    monkeypatch.setattr("mvgamba_ros.ros.node_time.time", SimpleNamespace(monotonic=lambda: steady[0]))
    assert "nothing came on /clock" in node.time.silence(2.0)
    node.set(7.5)
    assert node.time.silence(2.0) == ""
    steady[0] = 5.0
    assert "/clock stands at 7.50 s for 5.0 s" in node.time.silence(2.0)
    node.set(7.6)
    assert node.time.silence(2.0) == ""
    node.clock._set_ros_time_is_active(False)
    steady[0] = 50.0
    assert node.time.silence(2.0) == ""


def test_one_late_message_is_no_jump_and_a_stream_that_stays_back_is() -> None:
    stream = StreamTime(SECOND)
    back = [stream.seconds_back(round(second * SECOND)) for second in (10, 10.5, 9.6, 3, 11, 3, 12, 4, 4.1, 4.2, 5.5)]
    assert back == [0, 0, 0, 0, 0, 0, 0, 0, pytest.approx(7.9), 0, 0]


class Gate:
    """A gate before a buffer, as the listener has them."""

    def __init__(self, now: float = 100.0, cache_s: float = 10.0, max_image_age_s: float = 1.0) -> None:
        self.now, self.log, self.jumps = now, Log(), Log()
        self.buffer = TransformBuffer(cache_s)
        self.gate = StampGate(self.time, cache_s, lambda: max_image_age_s, self.log.append, self.jumps.append)

    def time(self) -> int:
        return round(self.now * SECOND)

    def take(self, *transforms: StampedTransform) -> None:
        self.buffer.take(self.gate.admitted(transforms), static=False)

    def x(self, seconds: float) -> float:
        return float(self.buffer.lookup("base", "camera", round(seconds * SECOND))[0, 3])


def test_a_transform_far_ahead_is_refused_by_name_and_good_history_stays() -> None:
    made = Gate()
    for tick in range(200):
        made.now = 100.0 + 0.01 * tick
        made.take(
            moved(made.now, 0.001 * tick), moved(made.now + 3600.0, 9.0, "camera" if tick % 50 == 7 else "gripper")
        )
    assert made.x(100.505) == pytest.approx(0.0505) and made.x(101.99) == pytest.approx(0.199)
    with pytest.raises(ReconstructionError, match="older than the moment"):
        made.x(102.5)  # no answer from between the newest and a moment an hour ahead
    assert made.gate.refused == 200 and len(made.log) == 2
    assert any(
        "'camera' to 'base'" in line and "3600.00 s ahead" in line and "use_sim_time" in line for line in made.log
    )
    assert "'gripper'" in made.gate.last_refusal and not made.jumps


def test_a_transform_may_be_as_far_ahead_as_an_image_that_is_taken() -> None:
    for max_image_age_s, ahead, taken in ((0.1, 0.99, 1), (0.1, 1.01, 0), (5.0, 4.99, 1), (5.0, 5.01, 0)):
        made = Gate(max_image_age_s=max_image_age_s)
        assert len(made.gate.admitted([moved(100.0 + ahead)])) == taken


def test_a_simulated_clock_that_is_held_up_refuses_nothing_that_comes_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    steady, made = [50.0], Gate(now=100.0)
    monkeypatch.setattr("mvgamba_ros.ros.transform_stamps.time", SimpleNamespace(monotonic=lambda: steady[0]))
    for stood in (0.0, 1.5, 3.0):  # while one thread decodes a large request, the other goes on
        steady[0] = 50.0 + stood
        made.take(moved(100.0 + stood, stood), moved(101.1 + stood, child="ahead"))
    assert made.x(102.0) == pytest.approx(2.0) and made.gate.refused == 3


def test_before_the_first_clock_nothing_is_judged_by_it_but_one_word_for_all_frames() -> None:
    made = Gate(now=0.0)
    made.take(*(moved(50.0, child=f"frame{k}") for k in range(20)))
    assert made.log == ["no transform is taken while nothing comes on /clock (use_sim_time)"]
    made.now = 50.1
    made.take(moved(50.0, 1.0), moved(50.1, 2.0))
    assert made.x(50.05) == pytest.approx(1.5)


def test_transforms_whose_stamps_stay_further_back_than_the_history_show_a_jump_and_one_late_one_does_not() -> None:
    made = Gate(now=100.0)
    made.take(moved(100.0), moved(80.0, 9.0), moved(100.1, 0.1))
    assert not made.jumps and made.x(100.05) == pytest.approx(0.05)
    made.gate._jumped = lambda why: (made.jumps.append(why), made.buffer.clear(), made.gate.clear())  # type: ignore
    made.take(moved(80.0, 0.5))
    made.take(moved(80.1, 0.6), moved(80.2, 0.7))
    assert len(made.jumps) == 1 and "'camera' went back by 20.00 s" in made.jumps[0]
    assert made.x(80.15) == pytest.approx(0.65)


def test_after_a_jump_what_is_still_under_way_is_refused_without_a_word() -> None:
    made = Gate(now=3.0)
    made.gate.clear()
    made.take(moved(180.0))
    assert (made.gate.refused, made.log, made.gate.last_refusal) == (1, [], "")


@pytest.fixture
def subscribed(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Inputs, dict[str, Callable[[Any], None]], Log]]:
    callbacks: dict[str, Callable[[Any], None]] = {}
    fake = SimpleNamespace(
        resolve_topic_name=lambda topic: f"/wrist/{topic}",
        create_subscription=lambda kind, topic, callback, qos: callbacks.update({topic: callback}),
        count_publishers=lambda topic: 1,
    )
    made, jumps = parameters(image_transport="raw", use_depth=False, use_mask=False), Log()
    yield Inputs(fake, made, jumps.append), callbacks, jumps  # type: ignore[arg-type]


def test_images_whose_stamps_go_back_show_a_jump_of_the_systems_clock(subscribed: Any) -> None:
    inputs, callbacks, jumps = subscribed
    inputs._jumped = lambda why: (jumps.append(why), inputs.forget())
    for second in (100.0, 100.03, 100.06, 97.0, 97.03, 97.06):
        callbacks["image"](photo(second))
    assert jumps == ["the stamps on /wrist/image went back by 3.03 s"]
    assert [message.header.stamp.sec for message in inputs["image"].messages] == [97, 97]


def test_the_silence_of_an_input_is_that_of_the_steady_clock(subscribed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, callbacks, _ = subscribed
    steady = [10.0]
    monkeypatch.setattr("mvgamba_ros.ros.inputs.time", SimpleNamespace(monotonic=lambda: steady[0]))
    callbacks["image"](photo(100.0))
    assert inputs.explain_silence("image", 2.0) == ""
    steady[0] = 12.5
    assert "nothing arrives for 2.5 s" in inputs.explain_silence("image", 2.0)


def test_the_last_view_is_compared_with_the_next_until_time_jumps() -> None:
    """A recording that is played again shows the same picture, from where the camera was then."""
    topics = Topics(image=[photo(9.9), photo(10.0)], camera_info=[info(10.0)])
    poses = [transforms(*STILL), transforms((5.0, pose(0.9)), (20.0, pose(0.9)))]
    made = parameters()
    source = SimpleNamespace(
        lookup=lambda *asked: poses[0].lookup(*asked), ancestors=lambda frame: poses[0].ancestors(frame)
    )
    capture = Capture(topics, source, lambda: made, lambda: round(10.2 * SECOND))  # type: ignore[arg-type]
    capture.newest_good_view()
    poses.reverse()
    with pytest.raises(ReconstructionError) as caught:
        capture.newest_good_view()
    assert caught.value.code is ErrorCode.STALE_IMAGE
    capture.forget()
    np.testing.assert_array_equal(capture.newest_good_view().view.image, SHARP)


def test_a_jump_in_the_midst_of_a_capture_costs_no_view_and_no_error() -> None:
    """The thread of the transforms meets it: what it empties may be in use here."""
    topics = Topics(image=[photo(9.9), photo(10.0)], camera_info=[info(10.0)])
    poses, made = transforms(*STILL), parameters()

    def lookup(*asked: Any) -> Any:
        topics["camera_info"].messages.clear()
        return poses.lookup(*asked)

    source = SimpleNamespace(lookup=lookup, ancestors=poses.ancestors)
    capture = Capture(topics, source, lambda: made, lambda: round(10.2 * SECOND), lambda: capture.forget())  # type: ignore
    np.testing.assert_array_equal(capture.newest_good_view().view.image, SHARP)


def test_messages_that_a_jump_empties_while_the_nearest_is_sought_are_still_those_of_then() -> None:
    kept = Input("image")

    class Emptying:
        @property
        def header(self) -> Any:
            kept.messages.clear()
            return photo(10.0).header

    kept.messages.extend([Emptying(), Emptying()])
    assert kept.nearest(10 * SECOND) is not None and kept.nearest(10 * SECOND) is None
