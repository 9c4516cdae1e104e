"""What a transform of /tf costs: python -m benchmarks.transforms

An arm of ten joints sends 500 messages a second for twenty seconds, of which ten are kept. Processor time of a thread,
best of three. Beside the node's own buffer stand, where tf2_ros is installed, tf2's filled from the bytes as the node
does, and as tf2_ros's listener does: from message objects.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from geometry_msgs.msg import TransformStamped
from rclpy.serialization import deserialize_message, serialize_message
from tf2_msgs.msg import TFMessage

from benchmarks.machine import processor
from mvgamba_ros.ros.conversions.stamps import NANOSECONDS
from mvgamba_ros.ros.conversions.transform_bytes import read_transforms
from mvgamba_ros.ros.tf2_buffer import Tf2Buffer
from mvgamba_ros.ros.transform_listener import Store
from mvgamba_ros.ros.transforms import TransformBuffer

JOINTS, RATE, SECONDS, KEPT_S = 10, 500, 20, 10.0


def messages() -> list[bytes]:
    """The serialized messages."""
    message = TFMessage(transforms=[TransformStamped(child_frame_id=f"link{k + 1}") for k in range(JOINTS)])
    found = []
    for tick in range(RATE * SECONDS):
        for k, transform in enumerate(message.transforms):
            transform.header.frame_id = f"link{k}"
            transform.header.stamp.sec, transform.header.stamp.nanosec = divmod(
                100 * NANOSECONDS + tick * NANOSECONDS // RATE, NANOSECONDS
            )
            transform.transform.translation.x, transform.transform.rotation.w = 1e-6 * tick, 1.0
        found.append(serialize_message(message))
    return found


def best_of_three(work: Callable[[], float]) -> float:
    return min(work() for _ in range(3))


def microseconds(work: Callable[[], object], count: int) -> float:
    """Of processor time, of each of ``count`` parts of the work."""
    began = time.thread_time()
    work()
    return 1e6 * (time.thread_time() - began) / count


def main() -> None:
    stream = messages()
    count = JOINTS * len(stream)
    moment = (100 + SECONDS) * NANOSECONDS - NANOSECONDS // RATE * 3 // 2
    rows: list[tuple[str, float, float | None]] = []

    def row(name: str, make: Callable[[], Store], take: Callable[[Store, bytes], object]) -> None:
        def once() -> float:
            nonlocal store
            store = make()
            return microseconds(lambda: [take(store, message) for message in stream], count)

        store = make()
        taken = best_of_three(once)
        lookups = [lambda: store.lookup("link0", f"link{JOINTS}", moment)] * 100
        rows.append((name, taken, best_of_three(lambda: microseconds(lambda: [ask() for ask in lookups], 100))))

    def from_bytes(store: Store, message: bytes) -> None:
        store.take(read_transforms(message), static=False)

    def as_tf2_ros(store: Any, message: bytes) -> None:
        for transform in deserialize_message(message, TFMessage).transforms:
            store._buffer.set_transform(transform, "benchmark")

    row("own buffer, from bytes", lambda: TransformBuffer(KEPT_S), from_bytes)
    read = best_of_three(lambda: microseconds(lambda: [read_transforms(message) for message in stream], count))
    rows.append(("of which reading the bytes", read, None))
    some = stream[::10]
    objects = best_of_three(
        lambda: microseconds(lambda: [deserialize_message(m, TFMessage) for m in some], JOINTS * len(some))
    )
    rows.append(("rclpy's message objects alone", objects, None))
    if find_spec("tf2_ros"):
        row("tf2_ros's buffer, from bytes", lambda: Tf2Buffer(None, KEPT_S), from_bytes)
        row("tf2_ros's buffer, from message objects", lambda: Tf2Buffer(None, KEPT_S), as_tf2_ros)
    print(f"{processor()}, {JOINTS} joints, {RATE} Hz\n")
    print(f"| way | us a transform | core of {RATE} Hz, % | look-up through {JOINTS} joints, us |\n|---|---|---|---|")
    for name, taken, asked in rows:
        share = 1e-4 * taken * JOINTS * RATE
        print(f"| {name} | {taken:.1f} | {share:.1f} | {'' if asked is None else f'{asked:.0f}'} |")


if __name__ == "__main__":
    main()
