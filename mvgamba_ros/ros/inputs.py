"""The camera's topics: the newest messages of each, and whether they arrive at all.

Callbacks only keep the message. Nothing is decoded before a capture.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from mvgamba_ros.ros.conversions.stamps import NANOSECONDS, stamp_of
from mvgamba_ros.ros.node_time import BACK_S, StreamTime
from mvgamba_ros.ros.parameters import Parameters

KEPT = 8
"""Messages kept per input: a quarter of a second at 30 Hz."""
BYTES_PER_PIXEL = 8
"""More than any encoding that is taken has; rows may be padded."""


@dataclass
class Input:
    """One subscription. ``topic`` is the resolved name."""

    topic: str
    messages: deque[Any] = field(default_factory=lambda: deque(maxlen=KEPT))
    arrived: float | None = None
    """When the newest message came, seconds of the steady clock: simulated time may stand, or go back."""
    refused: str = ""
    """Why the newest message was not kept; empty where it was."""

    def nearest(self, stamp: int) -> Any | None:
        """The kept message whose stamp is nearest; None where none is. A jump, met in the thread of the transforms, may
        empty them meanwhile."""
        return min(list(self.messages), key=lambda message: abs(stamp_of(message) - stamp), default=None)


class Inputs:
    """Subscribes to image, camera_info and, by the parameters, depth and mask, with best-effort sensor QoS. ``jumped``
    learns where the stamps of the images go back: the system's clock was set, or a recording starts again."""

    def __init__(self, node: Node, parameters: Parameters, jumped: Callable[[str], None]) -> None:
        self._node, self._jumped = node, jumped
        self._image_time = StreamTime(int(BACK_S * NANOSECONDS))
        self._most_bytes = int(parameters.max_view_megapixels * 1e6 * BYTES_PER_PIXEL)
        image = (
            ("image/compressed", CompressedImage) if parameters.image_transport == "compressed" else ("image", Image)
        )
        wanted: dict[str, tuple[str, Any]] = {"image": image, "camera_info": ("camera_info", CameraInfo)}
        if parameters.use_depth:
            wanted["depth"] = ("depth", Image)
        if parameters.use_mask:
            wanted["mask"] = ("mask", Image)
        self.by_name = {name: self._subscribe(name, topic, kind) for name, (topic, kind) in wanted.items()}

    def _subscribe(self, name: str, topic: str, kind: Any) -> Input:
        kept = Input(self._node.resolve_topic_name(topic))

        def keep(message: Any) -> None:
            size = len(getattr(message, "data", ""))
            kept.refused = ""
            if size > self._most_bytes:
                kept.refused = (
                    f"a message of {size / 1e6:.0f} MB on {kept.topic} was not kept, more than a picture of "
                    "max_view_megapixels at the node's start has: publish smaller ones"
                )
                return
            if name == "image" and (back := self._image_time.seconds_back(stamp_of(message))):
                self._jumped(f"the stamps on {kept.topic} went back by {back:.2f} s")
            kept.messages.append(message)
            kept.arrived = time.monotonic()

        self._node.create_subscription(kind, topic, keep, qos_profile_sensor_data)
        return kept

    def __getitem__(self, name: str) -> Input:
        return self.by_name[name]

    def forget(self) -> None:
        """Drops the kept messages, as where time jumped."""
        self._image_time = StreamTime(int(BACK_S * NANOSECONDS))
        for kept in self.by_name.values():
            kept.messages.clear()

    def publishers(self, name: str) -> list[str]:
        """The nodes that publish an input, by full name."""
        found = self._node.get_publishers_info_by_topic(self.by_name[name].topic)
        return sorted(f"{end.node_namespace.rstrip('/')}/{end.node_name}" for end in found)

    def explain_silence(self, name: str, silent_after_s: float) -> str:
        """Why an input is silent and what to do about it, or "" where messages arrive."""
        kept = self.by_name[name]
        if kept.refused:
            return kept.refused
        silent_s = None if kept.arrived is None else time.monotonic() - kept.arrived
        if silent_s is not None and silent_s <= silent_after_s:
            return ""
        since = "ever" if silent_s is None else f"for {silent_s:.1f} s"
        publishers = self._node.count_publishers(kept.topic)
        if publishers == 0:
            return f"nobody publishes {kept.topic} (nothing {since}): start the camera, or remap `{name}`"
        return (
            f"{kept.topic} has {publishers} publisher(s) but nothing arrives {since}: large "
            "messages are dropped by the default shared-memory segment (set FASTDDS_DEFAULT_PROFILES_FILE to "
            "config/fastdds.xml on both sides), or the types differ"
        )
