"""The thread that takes transforms: cheaply, from bytes, into tf2_ros's buffer or the own one, and ended in time."""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")

import rclpy
from geometry_msgs.msg import TransformStamped
from patience import PATIENCE
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.serialization import serialize_message
from ros_world import free_domain
from test_ros_time import Log, moved
from tf2_msgs.msg import TFMessage

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.ros.conversions.transform_bytes import fields_of, read_transforms
from mvgamba_ros.ros.node_time import NodeTime
from mvgamba_ros.ros.transform_listener import TransformListener, choose_store, listen
from mvgamba_ros.ros.transforms import TransformBuffer

pytestmark = pytest.mark.ros

SETTINGS: Any = SimpleNamespace(tf_cache_s=10.0, max_tf_frames=50, max_image_age_s=1.0)


def tf_message(*frames: tuple[str, str], stamp: tuple[int, int] = (0, 0), x: float = 0.0) -> TFMessage:
    message = TFMessage()
    for parent, child in frames:
        transform = TransformStamped(child_frame_id=child)
        transform.header.frame_id, transform.transform.rotation.w = parent, 1.0
        transform.header.stamp.sec, transform.header.stamp.nanosec = stamp
        transform.transform.translation.x = x
        message.transforms.append(transform)
    return message


def test_transforms_read_from_bytes_are_those_that_the_client_library_reads() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        names = ["".join(rng.choice(list("a/_ü木"), rng.integers(0, 12))) for _ in range(2 * int(rng.integers(0, 6)))]
        stamp = int(rng.integers(-(2**31), 2**31)), int(rng.integers(0, 10**9))
        message = tf_message(*zip(names[::2], names[1::2], strict=True), stamp=stamp, x=float(rng.normal()))
        expected = [fields_of(transform) for transform in message.transforms]
        assert read_transforms(serialize_message(message)) == expected


def test_transforms_of_a_big_endian_machine_are_read_too() -> None:
    header = b"\x00\x00\x00\x00"
    body = b"\x00\x00\x00\x01" + (7).to_bytes(4) + (5).to_bytes(4) + b"\x00\x00\x00\x02w\x00\x00\x00"
    body += b"\x00\x00\x00\x02c\x00" + b"\x00" * 2
    body += b"\x00" * (-len(body) % 8) + np.array([1.5, 2, 3, 0, 0, 0, 1], ">f8").tobytes()
    assert read_transforms(header + body) == [(7_000_000_005, "w", "c", (1.5, 2, 3, 0, 0, 0, 1))]


def test_bytes_that_end_early_are_refused_wherever_they_end() -> None:
    whole = serialize_message(tf_message(("base", "wrist"), ("wrist", "camera")))
    for end in range(4, len(whole) - 3):
        with pytest.raises(ValueError, match="ends early"):
            read_transforms(whole[:end])
    huge = whole[:4] + b"\xff\xff\xff\xff" + whole[8:]
    with pytest.raises(ValueError, match="ends early"):
        read_transforms(huge)


@pytest.mark.parametrize("broken", [b"", b"\x00\x00\x00\x00\xff\xff\xff\xff", b"\x00\x07\x00\x00", b"\xff" * 300])
def test_bytes_that_the_middleware_cannot_read_are_refused_as_those_that_end_early(broken: bytes) -> None:
    with pytest.raises(ValueError, match="bytes are no TFMessage"):
        read_transforms(broken)


def test_neither_broken_messages_nor_names_without_end_hold_up_the_listener_or_fill_its_memory() -> None:
    listener = TransformListener.__new__(TransformListener)
    listener._logger, listener.messages, listener.malformed = Log(), 0, 0  # type: ignore[assignment]
    listener._logger.warning = lambda line, throttle_duration_sec: None  # type: ignore[method-assign]
    assert listener._read(b"\x00\x00\x00\x00\xff") == [] and listener.malformed == 1
    names = ("base", "x" * 10_000), ("y" * 10_000, "wrist"), ("base", "wrist")
    assert [found[1:3] for found in listener._read(serialize_message(tf_message(*names)))] == [("base", "wrist")]


@pytest.fixture
def node() -> Iterator[Node]:
    context = rclpy.Context()
    context.init(domain_id=free_domain())
    made = rclpy.create_node("reconstructor", context=context, namespace="/cell", cli_args=[
        "--ros-args", "-r", "/tf:=/arm/tf"
    ])  # fmt: skip
    yield made
    made.destroy_node()
    context.try_shutdown()


def until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_transforms_come_in_while_nobody_spins_and_the_thread_ends_in_time(node: Node) -> None:
    listener = listen(node, NodeTime(node), lambda: SETTINGS)
    try:
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        moving = node.create_publisher(TFMessage, "/arm/tf", 100)
        node.create_publisher(TFMessage, "/tf_static", latched).publish(tf_message(("wrist", "camera"), x=0.5))
        until(lambda: listener.ancestors("camera") == ["wrist"] and moving.get_subscription_count() > 0)
        begin = time.time_ns() // 10**9
        for k in range(200):
            moving.publish(tf_message(("base", "wrist"), stamp=(begin, 10**6 * k), x=0.01 * k))
        until(lambda: listener.messages == 201)
        found = listener.lookup("base", "camera", begin * 10**9 + 100_500_000)
        assert found[0, 3] == pytest.approx(0.5 + 1.005)
        moving.publish(tf_message(("base", "wrist"), stamp=(begin + 3600, 0)))
        until(lambda: listener.gate.refused == 1)
        with pytest.raises(ReconstructionError, match="'wrist' to 'base' are not taken") as caught:
            listener.lookup("base", "wrist", begin * 10**9 + 500_000_000)
        assert caught.value.code is ErrorCode.TRANSFORM_UNAVAILABLE
        assert listener.topics == {"/tf": "/arm/tf", "/tf_static": "/tf_static"} and 0.0 <= listener.lag_s < PATIENCE
        assert "_reconstructor_tf" in node.get_node_names()
    finally:
        began = time.monotonic()
        listener.close()
        assert time.monotonic() - began < 1.0
    assert all(thread.name != "transforms" for thread in threading.enumerate())


def test_the_thread_ends_with_its_context(node: Node) -> None:
    listener = listen(node, NodeTime(node), lambda: SETTINGS)
    node.context.shutdown()
    until(lambda: not listener._thread.is_alive())


def test_a_transform_is_taken_within_twenty_microseconds() -> None:
    """Processor time, which other processes do not lengthen much; measured: 4."""
    arm = [(f"link{k}", f"link{k + 1}") for k in range(10)]
    stream = [serialize_message(tf_message(*arm, stamp=divmod(2_000_000 * k, 10**9))) for k in range(300)]
    buffer, times = TransformBuffer(10.0), []
    for _ in range(3):
        began = time.thread_time()
        for message in stream:
            buffer.take(read_transforms(message), static=False)
        times.append((time.thread_time() - began) / (10 * len(stream)))
    assert min(times) < 20e-6


def test_a_listener_that_cannot_keep_up_says_so_once(monkeypatch: pytest.MonkeyPatch) -> None:
    steady, log = [0.0], Log()
    clock = SimpleNamespace(monotonic=lambda: steady[0], time_ns=lambda: round(1e9 * (1000.0 + steady[0])))
    monkeypatch.setattr("mvgamba_ros.ros.transform_listener.time", clock)
    listener = TransformListener.__new__(TransformListener)
    listener._logger, listener._behind_since, listener._warned = log, None, False
    seen = []
    for tick in range(60):
        steady[0] = 0.1 * tick
        waited = 0.3 if tick in (5, *range(20, 40), *range(45, 58)) else 0.01
        listener._note_lag(round(1e9 * (1000.0 + steady[0] - waited)))
        seen.append(listener.behind)
    assert [tick for tick in range(60) if seen[tick]] == [*range(31, 40), *range(56, 58)]
    assert len(log) == 1 and "wait 0.30 s" in log[0] and "publish /tf less often" in log[0]
    listener._note_lag(0)  # a middleware that does not tell
    assert listener.lag_s == 0.0


def test_what_was_judged_before_a_jump_is_not_kept_after_it() -> None:
    done: list[str] = []
    jumps = threading.Thread(target=lambda: listener.forget())

    def take(transforms: Any, static: bool) -> None:
        jumps.start()
        time.sleep(0.05)
        done.append("kept")

    listener = TransformListener.__new__(TransformListener)
    listener._judging = threading.RLock()
    listener._store = SimpleNamespace(take=take, clear=lambda: done.append("cleared"))  # type: ignore[assignment]
    listener.gate = SimpleNamespace(admitted=lambda moving: moving, clear=lambda: None)  # type: ignore[assignment]
    listener._keep([moved(1.0)])
    jumps.join()
    assert done == ["kept", "cleared"]


def package(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A node where the package tf2_ros holds ``text``."""
    (folder / "tf2_ros").mkdir()
    (folder / "tf2_ros" / "__init__.py").write_text(text)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "tf2_ros", raising=False)
    log = Log()
    return SimpleNamespace(log=log, get_logger=lambda: log)


WORKING = """
class TransformException(Exception): ...
class Handle:
    gone = False
    def unregister(self): self.gone = True
class Buffer:
    def __init__(self, cache_time, node):
        self.cache_time, self.node, self.taken, self.jump_handle = cache_time, node, [], Handle()
    def set_transform(self, message, authority): self.taken.append((message.child_frame_id, False))
    def set_transform_static(self, message, authority): self.taken.append((message.child_frame_id, True))
    def lookup_transform(self, target, source, time): raise TransformException(f"{time.nanoseconds} is too early")
"""


def test_tf2_ros_is_used_where_it_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = package(tmp_path, WORKING, monkeypatch)
    name, store = choose_store(node, SETTINGS, lambda: 0)
    tf2: Any = store._buffer  # type: ignore[attr-defined]
    assert name == "tf2_ros" and tf2.node is node and tf2.cache_time.nanoseconds == 10 * 10**9
    assert tf2.jump_handle.gone  # time's jumps are told by the node
    store.take([moved(1.0, child="/wrist"), moved(1.0, math.nan, "hand")], static=False)
    store.take([moved(0.0, child="camera")], static=True)
    assert tf2.taken == [("wrist", False), ("camera", True)]
    for source, code, words in (
        ("camera", ErrorCode.TRANSFORM_UNAVAILABLE, "no transform from 'camera' to 'base': 7 is too early"),
        ("hand", ErrorCode.BAD_POSE, "nan"),
    ):
        with pytest.raises(ReconstructionError, match=words) as caught:
            store.lookup("base", source, 7)
        assert caught.value.code is code
    sys.modules.pop("tf2_ros")


def test_a_tf2_ros_that_cannot_be_imported_is_an_error_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = package(tmp_path, "raise ImportError('libtf2.so: cannot open shared object file')", monkeypatch)
    name, store = choose_store(node, SETTINGS, lambda: 0)
    assert name == "own" and isinstance(store, TransformBuffer)
    assert len(node.log) == 1 and "libtf2.so" in node.log[0] and "the node's own buffer" in node.log[0]
