"""Frames over time: both transform sources answer the same recorded transforms the same way."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("rclpy")

from geometry_msgs.msg import TransformStamped

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.se3 import interpolate, quat_to_matrix
from mvgamba_ros.ros.conversions.geometry import matrix_to_transform
from mvgamba_ros.ros.conversions.transform_bytes import fields_of
from mvgamba_ros.ros.transforms import TransformBuffer, speeds

pytestmark = pytest.mark.ros

SECOND = 1_000_000_000


def turn_z(angle: float, t: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> np.ndarray:
    T = np.eye(4)
    T[:3, :3] = quat_to_matrix(np.array([math.cos(angle / 2), 0.0, 0.0, math.sin(angle / 2)]))
    T[:3, 3] = t
    return T


def stamped(parent: str, child: str, T: np.ndarray, seconds: float = 0.0) -> TransformStamped:
    message = TransformStamped(child_frame_id=child, transform=matrix_to_transform(T))
    message.header.frame_id = parent
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(round(seconds * SECOND), SECOND)
    return message


RECORDED_STATIC = [
    stamped("wrist", "camera", turn_z(math.pi / 2, (0.0, 0.0, 0.1))),
    stamped("world", "base", turn_z(0.0, (5.0, 0.0, 0.0))),
    stamped("elsewhere", "lone", np.eye(4)),
]
RECORDED = [
    stamped("base", "wrist", turn_z(0.0, (0.0, 0.0, 0.5)), 100.0),
    stamped("base", "wrist", turn_z(1.0, (0.2, 0.0, 0.5)), 101.0),
    stamped("base", "wrist", turn_z(1.0, (0.2, 0.4, 0.5)), 102.0),
    stamped("base", "tray", turn_z(0.0, (1.0, 0.0, 0.0)), 100.0),
    stamped("base", "tray", turn_z(0.0, (1.0, 1.0, 0.0)), 102.0),
    stamped("base", "later", turn_z(0.0, (0.0, 0.0, 0.0)), 101.0),
]
ANSWERS = [
    # target, source, seconds -> T_target_source, worked out by hand
    ("base", "wrist", 100.0, turn_z(0.0, (0.0, 0.0, 0.5))),
    ("base", "wrist", 100.5, turn_z(0.5, (0.1, 0.0, 0.5))),
    ("base", "wrist", 101.25, turn_z(1.0, (0.2, 0.1, 0.5))),
    ("base", "camera", 102.0, turn_z(1.0, (0.2, 0.4, 0.5)) @ turn_z(math.pi / 2, (0.0, 0.0, 0.1))),
    ("world", "wrist", 101.0, turn_z(1.0, (5.2, 0.0, 0.5))),
    ("wrist", "base", 102.0, np.linalg.inv(turn_z(1.0, (0.2, 0.4, 0.5)))),
    ("tray", "wrist", 101.0, turn_z(1.0, (-0.8, -0.5, 0.5))),
    ("camera", "camera", 101.0, np.eye(4)),
    ("wrist", "camera", 7.0, turn_z(math.pi / 2, (0.0, 0.0, 0.1))),
    # stamp 0: the latest moment that is known of every joint on the way
    ("base", "wrist", 0.0, turn_z(1.0, (0.2, 0.4, 0.5))),
    ("tray", "later", 0.0, turn_z(0.0, (-1.0, -0.5, 0.0))),
    ("wrist", "camera", 0.0, turn_z(math.pi / 2, (0.0, 0.0, 0.1))),
]
REFUSED = [
    ("base", "wrist", 102.001),
    ("base", "wrist", 99.999),
    ("base", "camera", 1e-9),
    ("base", "nowhere", 101.0),
    ("base", "wrist", -0.1),
    ("base", "lone", 101.0),
]


class OwnSource:
    def __init__(self) -> None:
        self.buffer = TransformBuffer(10.0)
        self.lookup = self.buffer.lookup

    def insert(self, message: TransformStamped, static: bool) -> None:
        self.buffer.insert(message, static)


class Tf2Source:
    """tf2's own buffer behind the package's adapter, without a node."""

    def __init__(self) -> None:
        pytest.importorskip("tf2_ros", reason="tf2_ros is not among the ROS wheels")
        from mvgamba_ros.ros.tf2_buffer import Tf2Buffer

        self.buffer = Tf2Buffer(None, 10.0)
        self.lookup = self.buffer.lookup

    def insert(self, message: TransformStamped, static: bool) -> None:
        self.buffer.take([fields_of(message)], static)


@pytest.fixture(params=[OwnSource, Tf2Source])
def source(request):
    made = request.param()
    for message in RECORDED_STATIC:
        made.insert(message, static=True)
    for message in RECORDED:
        made.insert(message, static=False)
    return made


@pytest.mark.parametrize(("target", "frame", "seconds", "T"), ANSWERS)
def test_chains_interpolation_and_static_frames_are_answered(source, target, frame, seconds, T):
    np.testing.assert_allclose(source.lookup(target, frame, round(seconds * SECOND)), T, atol=1e-9)


@pytest.mark.parametrize(("target", "frame", "seconds"), REFUSED)
def test_what_is_not_known_for_that_moment_is_refused(source, target, frame, seconds):
    with pytest.raises(ReconstructionError, match=frame) as caught:
        source.lookup(target, frame, round(seconds * SECOND))
    assert caught.value.code is ErrorCode.TRANSFORM_UNAVAILABLE


def test_transforms_may_arrive_out_of_order():
    buffer = TransformBuffer(10.0)
    for message in reversed(RECORDED[:3]):
        buffer.insert(message, static=False)
    np.testing.assert_allclose(buffer.lookup("base", "wrist", round(100.5 * SECOND)), ANSWERS[1][3], atol=1e-9)


def test_history_older_than_the_cache_is_forgotten():
    buffer = TransformBuffer(1.5)
    for message in RECORDED[:3]:
        buffer.insert(message, static=False)
    buffer.lookup("base", "wrist", 101 * SECOND)
    with pytest.raises(ReconstructionError, match="tf_cache_s"):
        buffer.lookup("base", "wrist", 100 * SECOND)


def test_a_message_says_how_far_off_the_moment_is():
    buffer = TransformBuffer(10.0)
    for message in RECORDED[:3]:
        buffer.insert(message, static=False)
    with pytest.raises(ReconstructionError, match=r"'wrist' is 0\.250 s older than the moment"):
        buffer.lookup("base", "wrist", round(102.25 * SECOND))


def test_a_transform_with_nan_is_kept_out_and_named_until_a_good_one_follows(source):
    broken = stamped("base", "wrist", np.eye(4), 103.0)
    broken.transform.translation.x = float("nan")
    source.insert(broken, static=False)
    with pytest.raises(ReconstructionError, match=r"'wrist'.*nan") as caught:
        source.lookup("base", "camera", 100 * SECOND)
    assert caught.value.code is ErrorCode.BAD_POSE
    source.lookup("base", "tray", 101 * SECOND)
    source.insert(stamped("base", "wrist", turn_z(1.0, (0.2, 0.8, 0.5)), 104.0), static=False)
    np.testing.assert_allclose(source.lookup("base", "wrist", 103 * SECOND), turn_z(1.0, (0.2, 0.6, 0.5)), atol=1e-9)


def test_what_a_frame_hangs_on_is_known_and_clearing_keeps_only_what_holds_at_any_time(source):
    assert source.buffer.ancestors("camera") == ["wrist", "base", "world"]
    source.buffer.clear()
    source.lookup("wrist", "camera", 101 * SECOND)
    with pytest.raises(ReconstructionError, match="wrist"):
        source.lookup("base", "wrist", 101 * SECOND)
    source.insert(RECORDED[0], static=False)  # older than what was forgotten
    np.testing.assert_allclose(source.lookup("base", "wrist", 100 * SECOND), ANSWERS[0][3], atol=1e-9)


def test_moments_of_a_turning_frame_are_answered_as_matrices_are_interpolated():
    buffer, rng = TransformBuffer(10.0), np.random.default_rng(0)
    poses = [turn_z(a, tuple(t)) for a, t in zip(rng.uniform(-9, 9, 10), rng.normal(size=(10, 3)), strict=True)]
    for second, T in enumerate(poses):
        buffer.insert(stamped("base", "wrist", T, second), static=False)
    for moment in rng.uniform(0.0, 8.99, 200):
        before, s = divmod(moment, 1.0)
        T = interpolate(poses[int(before)], poses[int(before) + 1], s)
        np.testing.assert_allclose(buffer.lookup("base", "wrist", round(moment * SECOND)), T, atol=1e-8)


def test_frames_in_a_loop_are_refused_not_followed_for_ever():
    buffer = TransformBuffer(10.0)
    for parent, child in (("a", "b"), ("b", "c"), ("c", "a")):
        buffer.insert(stamped(parent, child, np.eye(4), 1.0), static=False)
    buffer.insert(stamped("y", "z", np.eye(4), 1.0), static=False)
    with pytest.raises(ReconstructionError, match="loop"):
        buffer.lookup("z", "a", SECOND)


def test_speed_and_turn_rate_of_a_moving_camera():
    speed, rate = speeds(turn_z(0.0), turn_z(0.2, (0.03, 0.04, 0.0)), 0.5)
    assert speed == pytest.approx(0.1)
    assert rate == pytest.approx(0.4)


def test_frames_beyond_the_limit_are_not_taken_until_others_expire_and_static_ones_never_do():
    clock = [0]
    buffer = TransformBuffer(1.0, most_frames=3, now=lambda: clock[0])
    buffer.insert(stamped("map", "base", np.eye(4)), static=True)
    for k in range(10_000):
        buffer.insert(stamped("base", f"frame{k}", np.eye(4), 1.0), static=False)
    buffer.insert(stamped("base", "x" * 256, np.eye(4), 1.0), static=False)
    buffer.lookup("map", "frame1", SECOND)
    with pytest.raises(ReconstructionError, match=r"'frame2' is not on TF.*no more.*3 \(max_tf_frames\)"):
        buffer.lookup("map", "frame2", SECOND)
    clock[0] = 2 * SECOND
    buffer.insert(stamped("base", "frame1", np.eye(4), 3.0), static=False)
    buffer.insert(stamped("base", "frame2", np.eye(4), 3.0), static=False)  # in the place of frame0
    for frame in ("frame1", "frame2"):
        buffer.lookup("map", frame, 3 * SECOND)
    with pytest.raises(ReconstructionError, match="'frame0' is not on TF"):
        buffer.lookup("map", "frame0", SECOND)


def test_stamps_that_hardly_advance_fill_no_memory():
    buffer = TransformBuffer(1.0)
    for k in range(2500):
        buffer.insert(stamped("base", "camera", np.eye(4), k * 1e-9), static=False)
    assert len(buffer._joints["camera"].stamps) == 1000
    buffer.lookup("base", "camera", 2400)
