"""Where a frame was at a moment: tf2_ros where it is installed, the package's own listener where it is not.

Both offer ``lookup(target, source, stamp)``: ``T_target_source`` at exactly that moment, interpolated
between the two neighbouring transforms of each moving joint. The moment is the stamp of an image, never "the latest":
a transform that is not known for it raises TRANSFORM_UNAVAILABLE. The ROS wheels lack tf2_ros, hence the second way.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.se3 import interpolate, inverse
from mvgamba_ros.ros.conversions.geometry import transform_to_matrix
from mvgamba_ros.ros.conversions.stamps import NANOSECONDS, stamp_of
from mvgamba_ros.types import F64

if TYPE_CHECKING:
    from geometry_msgs.msg import TransformStamped
    from rclpy.node import Node
    from tf2_msgs.msg import TFMessage


class TransformSource(Protocol):
    """Gives ``T_target_source`` (4, 4) at ``stamp`` nanoseconds.

    Raises TRANSFORM_UNAVAILABLE where a frame is unknown, the two are not connected, or the moment lies outside what
    is known; BAD_POSE where the newest transform of a frame on the way is not a rigid one.
    """

    def lookup(self, target: str, source: str, stamp: int) -> F64: ...

    def ancestors(self, frame: str) -> list[str]:
        """The frames that ``frame`` hangs on, the nearest first; none where it is the root or unknown."""
        ...


def transform_source(node: Node, cache_s: float, most_frames: int) -> TransformSource:
    """The listener of ``node``: tf2_ros's where that is installed. ``cache_s`` seconds of history are kept, of
    ``most_frames`` frames; tf2_ros has no limit of frames."""
    try:
        import tf2_ros  # noqa: F401
    except ImportError:
        return TransformListener(node, cache_s, most_frames)
    return Tf2Listener(node, cache_s)


class Tf2Listener:
    """`TransformSource` by tf2_ros."""

    def __init__(self, node: Node, cache_s: float) -> None:
        import tf2_ros
        from rclpy.duration import Duration

        self._errors = tf2_ros.TransformException
        self._buffer = tf2_ros.Buffer(cache_time=Duration(seconds=cache_s))
        self._listener = tf2_ros.TransformListener(self._buffer, node)

    def lookup(self, target: str, source: str, stamp: int) -> F64:
        from rclpy.time import Time

        try:
            found = self._buffer.lookup_transform(target, source, Time(nanoseconds=stamp))
        except self._errors as error:
            raise ReconstructionError(
                ErrorCode.TRANSFORM_UNAVAILABLE, f"no transform from '{source}' to '{target}': {error}"
            ) from error
        return transform_to_matrix(found.transform, f"transform from '{source}' to '{target}'")

    def ancestors(self, frame: str) -> list[str]:
        import yaml

        frames = yaml.safe_load(self._buffer.all_frames_as_yaml()) or {}
        return _upwards(frame, {str(child): str(joint["parent"]) for child, joint in frames.items()})


class TransformListener:
    """`TransformSource` by subscriptions of its own to /tf and /tf_static."""

    def __init__(self, node: Node, cache_s: float, most_frames: int) -> None:
        from rclpy.qos import DurabilityPolicy, QoSProfile
        from tf2_msgs.msg import TFMessage

        self.buffer = TransformBuffer(cache_s, most_frames, lambda: int(node.get_clock().now().nanoseconds))
        latched = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._subscriptions = (
            node.create_subscription(TFMessage, "/tf", self._on_tf, QoSProfile(depth=100)),
            node.create_subscription(TFMessage, "/tf_static", self._on_tf_static, latched),
        )

    def _on_tf(self, message: TFMessage) -> None:
        for transform in message.transforms:
            self.buffer.insert(transform, static=False)

    def _on_tf_static(self, message: TFMessage) -> None:
        for transform in message.transforms:
            self.buffer.insert(transform, static=True)

    def lookup(self, target: str, source: str, stamp: int) -> F64:
        return self.buffer.lookup(target, source, stamp)

    def ancestors(self, frame: str) -> list[str]:
        return self.buffer.ancestors(frame)


@dataclass
class _Joint:
    """One frame's history: ``T_parent_child`` at rising ``stamps``; a static frame has one entry, true for ever."""

    static: bool
    arrived: int = 0
    """When the newest message about it came, nanoseconds of the node's clock."""
    stamps: list[int] = field(default_factory=list)
    parents: list[str] = field(default_factory=list)
    transforms: list[F64] = field(default_factory=list)
    refused: str = ""
    """Why the newest transform was not taken; empty once a good one follows."""


MOST_RATE = 1000
"""Transforms a second that are kept of one frame: those of a fast controller."""
MOST_NAME = 255
"""Characters of a frame's name."""


class TransformBuffer:
    """A tree of at most ``most_frames`` frames over the last ``cache_s`` seconds. No ROS connection of its own.

    A moving frame of which nothing came for longer than that is forgotten once its place is needed. ``now`` is the
    node's clock, nanoseconds.
    """

    def __init__(self, cache_s: float, most_frames: int = 2000, now: Callable[[], int] = lambda: 0) -> None:
        self._cache, self._most_frames, self._now = int(cache_s * NANOSECONDS), most_frames, now
        self._most_transforms = max(2, int(cache_s * MOST_RATE))
        self._joints: dict[str, _Joint] = {}
        self._swept, self._full = -NANOSECONDS, False

    def insert(self, message: TransformStamped, static: bool) -> None:
        """Takes one transform; a broken one (NaN, not rigid, a frame under itself) is kept out and remembered, one of a
        new frame where there is no place for it is kept out."""
        child = message.child_frame_id.lstrip("/")
        parent = message.header.frame_id.lstrip("/")
        stamp = stamp_of(message)
        if max(len(child), len(parent)) > MOST_NAME or not self._has_place(child):
            return
        joint = self._joints.setdefault(child, _Joint(static))
        joint.arrived = self._now()
        try:
            if not parent or not child or parent == child:
                raise ReconstructionError(ErrorCode.BAD_POSE, f"transform from '{child}' to '{parent}': no such joint")
            T = transform_to_matrix(message.transform, f"transform from '{child}' to '{parent}'")
        except ReconstructionError as error:
            joint.refused = error.message
            return
        joint.refused = ""
        if static or joint.static:
            joint.static, joint.stamps, joint.parents, joint.transforms = static, [stamp], [parent], [T]
            return
        if joint.stamps and stamp < joint.stamps[-1] - self._cache:
            return
        at = bisect_left(joint.stamps, stamp)
        if at < len(joint.stamps) and joint.stamps[at] == stamp:
            joint.parents[at], joint.transforms[at] = parent, T
            return
        joint.stamps.insert(at, stamp)
        joint.parents.insert(at, parent)
        joint.transforms.insert(at, T)
        # By number too: stamps that hardly advance would never expire.
        expired = max(
            bisect_left(joint.stamps, joint.stamps[-1] - self._cache), len(joint.stamps) - self._most_transforms
        )
        del joint.stamps[:expired], joint.parents[:expired], joint.transforms[:expired]

    def _has_place(self, child: str) -> bool:
        """Whether the frame is known, or there is room for one more, made where frames have expired."""
        if child in self._joints:
            return True
        now = self._now()
        if len(self._joints) >= self._most_frames and abs(now - self._swept) >= NANOSECONDS:
            # A clock that jumped back, as where a recording starts again, expires nothing.
            self._joints = {f: j for f, j in self._joints.items() if j.static or now - j.arrived <= self._cache}
            self._swept = now
        self._full = len(self._joints) >= self._most_frames
        return not self._full

    def lookup(self, target: str, source: str, stamp: int) -> F64:
        """See `TransformSource`."""
        target, source = target.lstrip("/"), source.lstrip("/")
        known = set(self._joints) | {parent for joint in self._joints.values() for parent in joint.parents}
        full = f"; no more are taken than {self._most_frames} (max_tf_frames)" if self._full else ""
        for frame in (target, source):
            if frame not in known:
                raise _unavailable(source, target, f"frame '{frame}' is not on TF; known: {_names(known)}{full}")
        # Both ways up to the root, then down from the lowest frame they share.
        up_source, stopped_source = self._ascend(source, stamp)
        up_target, stopped_target = self._ascend(target, stamp)
        shared = next((frame for frame in up_source if frame in up_target), None)
        if shared is None:
            for reason in (stopped_source, stopped_target):
                if reason:
                    code, why = reason
                    raise ReconstructionError(code, f"no transform from '{source}' to '{target}': {why}")
            raise _unavailable(source, target, "they are not connected: two separate trees")
        return inverse(up_target[shared]) @ up_source[shared]

    def ancestors(self, frame: str) -> list[str]:
        """See `TransformSource`."""
        joints = self._joints.items()
        return _upwards(frame.lstrip("/"), {child: joint.parents[-1] for child, joint in joints if joint.parents})

    def _ascend(self, frame: str, stamp: int) -> tuple[dict[str, F64], tuple[ErrorCode, str] | None]:
        """``T_ancestor_frame`` of each frame from ``frame`` upwards, and why the way ended before the root, if so."""
        T = np.eye(4)
        found = {frame: T}
        while (joint := self._joints.get(frame)) is not None:
            step, reason = _at(joint, frame, stamp)
            if step is None:
                return found, reason
            parent, T_parent_frame = step
            if parent in found:
                return found, (ErrorCode.TRANSFORM_UNAVAILABLE, f"the TF frames form a loop at '{parent}'")
            T = T_parent_frame @ T
            found[parent] = T
            frame = parent
        return found, None


def _at(joint: _Joint, frame: str, stamp: int) -> tuple[tuple[str, F64] | None, tuple[ErrorCode, str] | None]:
    """The parent and ``T_parent_frame`` at a moment, or why they are not known."""
    if joint.refused:
        return None, (ErrorCode.BAD_POSE, joint.refused)
    if joint.static:
        return (joint.parents[0], joint.transforms[0]), None
    stamps = joint.stamps
    if not stamps[0] <= stamp <= stamps[-1]:
        late = stamp > stamps[-1]
        seconds = (stamp - stamps[-1] if late else stamps[0] - stamp) / NANOSECONDS
        return None, (
            ErrorCode.TRANSFORM_UNAVAILABLE,
            f"the {'newest' if late else 'oldest'} transform of '{frame}' is {seconds:.3f} s "
            f"{'older' if late else 'newer'} than the moment requested; nothing is extrapolated. Publish TF "
            "faster than the images, on one clock, and keep more history (tf_cache_s) if it is too old",
        )
    after = bisect_left(stamps, stamp)
    if stamps[after] == stamp:
        return (joint.parents[after], joint.transforms[after]), None
    before = after - 1
    if joint.parents[before] != joint.parents[after]:  # its parent changed in between
        return (joint.parents[before], joint.transforms[before]), None
    s = (stamp - stamps[before]) / (stamps[after] - stamps[before])
    return (joint.parents[before], interpolate(joint.transforms[before], joint.transforms[after], s)), None


def _unavailable(source: str, target: str, why: str) -> ReconstructionError:
    return ReconstructionError(ErrorCode.TRANSFORM_UNAVAILABLE, f"no transform from '{source}' to '{target}': {why}")


def _upwards(frame: str, parents: Mapping[str, str]) -> list[str]:
    found: list[str] = []
    while (above := parents.get(found[-1] if found else frame)) is not None and above not in (frame, *found):
        found.append(above)
    return found


def _names(frames: set[str], most: int = 12) -> str:
    names = sorted(frames)
    return ", ".join(names[:most]) + (" ..." if len(names) > most else "") if names else "none (nothing on /tf yet)"


def speeds(T_before: F64, T_now: F64, seconds: float) -> tuple[float, float]:
    """Mean speed in m/s and turn rate in rad/s of a frame that moved from one pose to the other."""
    turned = T_before[:3, :3].T @ T_now[:3, :3]
    angle = math.acos(float(np.clip((np.trace(turned) - 1.0) / 2.0, -1.0, 1.0)))
    return float(np.linalg.norm(T_now[:3, 3] - T_before[:3, 3])) / seconds, angle / seconds
