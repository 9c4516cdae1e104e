"""Where a frame was at a moment: the tree of frames over time that both the node's listener and recordings fill.

``lookup(target, source, stamp)`` is ``T_target_source`` at exactly that moment, interpolated between the two
neighbouring transforms of each moving joint: a transform that is not known for it raises TRANSFORM_UNAVAILABLE. As in
tf2, stamp 0 is the latest moment that is known of all joints on the way.
"""

from __future__ import annotations

import math
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.se3 import inverse
from mvgamba_ros.ros.conversions.geometry import UNIT_QUATERNION_TOLERANCE, numbers_to_matrix
from mvgamba_ros.ros.conversions.stamps import NANOSECONDS
from mvgamba_ros.ros.conversions.transform_bytes import StampedTransform, fields_of
from mvgamba_ros.types import F64

if TYPE_CHECKING:
    from geometry_msgs.msg import TransformStamped


class TransformSource(Protocol):
    """Gives ``T_target_source`` (4, 4) at ``stamp`` nanoseconds; at the latest known moment where that is 0.

    Raises TRANSFORM_UNAVAILABLE where a frame is unknown, the two are not connected, or the moment lies outside what
    is known; BAD_POSE where the newest transform of a frame on the way is not a rigid one.
    """

    def lookup(self, target: str, source: str, stamp: int) -> F64: ...

    def ancestors(self, frame: str) -> list[str]:
        """The frames that ``frame`` hangs on, the nearest first; none where it is the root or unknown."""
        ...


@dataclass
class _Joint:
    """One frame's history: ``T_parent_child`` at rising ``stamps``; a static frame has one entry, true for ever."""

    static: bool
    arrived: int = 0
    """When the newest message about it came, nanoseconds of the node's clock."""
    stamps: list[int] = field(default_factory=list)
    entries: list[tuple[str, tuple[float, ...]]] = field(default_factory=list)
    """Parent and numbers, made a matrix once they are looked up."""
    refused: tuple[str, tuple[float, ...]] | None = None
    """The newest transform, where it was not taken; None once a good one follows."""


MOST_RATE = 1000
"""Transforms a second that are kept of one frame: those of a fast controller."""
MOST_NAME = 255
"""Characters of a frame's name."""


class TransformBuffer:
    """A tree of at most ``most_frames`` frames over the last ``cache_s`` seconds, for any threads. No ROS connection of
    its own, and no judgement of stamps: ``now``, the node's clock in nanoseconds, only dates what arrives.

    A moving frame of which nothing came for longer than that is forgotten once its place is needed.
    """

    def __init__(self, cache_s: float, most_frames: int = 2000, now: Callable[[], int] = lambda: 0) -> None:
        self._cache, self._most_frames, self._now = int(cache_s * NANOSECONDS), most_frames, now
        self._most_transforms = max(2, int(cache_s * MOST_RATE))
        self._joints: dict[str, _Joint] = {}
        self._swept, self._full = -NANOSECONDS, False
        self._lock = threading.Lock()

    def insert(self, message: TransformStamped, static: bool) -> None:
        """Takes one transform; see `take`."""
        self.take((fields_of(message),), static)

    def take(self, transforms: Iterable[StampedTransform], static: bool) -> None:
        """Takes transforms; a broken one (NaN, not rigid, a frame under itself) is kept out and remembered, one of a
        new frame where there is no place for it is kept out."""
        now = self._now()
        with self._lock:
            for stamp, parent, child, numbers in transforms:
                self._put(stamp, parent.lstrip("/"), child.lstrip("/"), numbers, static, now)

    def clear(self) -> None:
        """Forgets the moving frames. Static ones stay: they hold at any time, and are sent but once."""
        with self._lock:
            self._joints = {frame: joint for frame, joint in self._joints.items() if joint.static}

    def _put(self, stamp: int, parent: str, child: str, numbers: tuple[float, ...], static: bool, now: int) -> None:
        if max(len(child), len(parent)) > MOST_NAME or not self._has_place(child, now):
            return
        joint = self._joints.get(child) or self._joints.setdefault(child, _Joint(static))
        joint.arrived = now
        if not is_sound(parent, child, numbers):
            joint.refused = parent, numbers
            return
        joint.refused = None
        stamps, entries = joint.stamps, joint.entries
        if static or joint.static:
            joint.static, joint.stamps, joint.entries = static, [stamp], [(parent, numbers)]
            return
        if not stamps or stamp > stamps[-1]:
            stamps.append(stamp)
            entries.append((parent, numbers))
        elif stamp < stamps[-1] - self._cache:
            return
        else:
            at = bisect_left(stamps, stamp)
            if stamps[at] == stamp:
                entries[at] = parent, numbers
                return
            stamps.insert(at, stamp)
            entries.insert(at, (parent, numbers))
        # By number too: stamps that hardly advance would never expire.
        expired = max(bisect_left(stamps, stamps[-1] - self._cache), len(stamps) - self._most_transforms)
        if expired > 0:
            del stamps[:expired], entries[:expired]

    def _has_place(self, child: str, now: int) -> bool:
        """Whether the frame is known, or there is room for one more, made where frames have expired."""
        if child in self._joints:
            return True
        if len(self._joints) >= self._most_frames and abs(now - self._swept) >= NANOSECONDS:
            # A clock that jumped back, as where a recording starts again, expires nothing.
            self._joints = {f: j for f, j in self._joints.items() if j.static or now - j.arrived <= self._cache}
            self._swept = now
        self._full = len(self._joints) >= self._most_frames
        return not self._full

    def lookup(self, target: str, source: str, stamp: int) -> F64:
        """See `TransformSource`."""
        with self._lock:
            return self._lookup(target.lstrip("/"), source.lstrip("/"), stamp)

    def _lookup(self, target: str, source: str, stamp: int) -> F64:
        joints = [joint for joint in self._joints.values() if joint.entries]
        known = {*self._joints, *(joint.entries[0][0] for joint in joints), *(j.entries[-1][0] for j in joints)}
        full = f"; no more are taken than {self._most_frames} (max_tf_frames)" if self._full else ""
        for frame in (target, source):
            if frame not in known:
                raise unavailable(source, target, f"frame '{frame}' is not on TF; known: {_names(known)}{full}")
        stamp = stamp or self._latest(target, source)
        # Both ways up to the root, then down from the lowest frame they share.
        up_source, stopped_source = self._ascend(source, stamp)
        up_target, stopped_target = self._ascend(target, stamp)
        shared = next((frame for frame in up_source if frame in up_target), None)
        if shared is None:
            for reason in (stopped_source, stopped_target):
                if reason:
                    code, why = reason
                    raise ReconstructionError(code, f"no transform from '{source}' to '{target}': {why}")
            raise unavailable(source, target, "they are not connected: two separate trees")
        return inverse(up_target[shared]) @ up_source[shared]

    def _latest(self, target: str, source: str) -> int:
        """The latest moment that is known of each moving joint between the two; 0 where all are static."""
        up_source, up_target = [source, *self._above(source)], [target, *self._above(target)]
        apart = [frame for frame in up_source + up_target if (frame in up_source) != (frame in up_target)]
        moving = [self._joints[f] for f in apart if f in self._joints and not self._joints[f].static]
        return min((joint.stamps[-1] for joint in moving if joint.stamps), default=0)

    def ancestors(self, frame: str) -> list[str]:
        """See `TransformSource`."""
        with self._lock:
            return self._above(frame.lstrip("/"))

    def _above(self, frame: str) -> list[str]:
        found = [frame]
        while (
            (joint := self._joints.get(found[-1])) and joint.entries and (parent := joint.entries[-1][0]) not in found
        ):
            found.append(parent)
        return found[1:]

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


def is_sound(parent: str, child: str, numbers: tuple[float, ...]) -> bool:
    """Whether a transform can be one: two frames, finite numbers, a quaternion of length 1."""
    x, y, z, qx, qy, qz, qw = numbers
    off = abs(math.sqrt(qx * qx + qy * qy + qz * qz + qw * qw) - 1.0)  # NaN where one of them is
    finite = math.isfinite(x) and math.isfinite(y) and math.isfinite(z)
    return finite and off <= UNIT_QUATERNION_TOLERANCE and parent != child and bool(parent) and bool(child)


def refusal(parent: str, child: str, numbers: tuple[float, ...]) -> str:
    """Why a transform is not sound."""
    what = f"transform from '{child}' to '{parent}'"
    try:
        numbers_to_matrix(numbers, what)
    except ReconstructionError as error:
        return error.message
    return f"{what}: no such joint"


def _at(joint: _Joint, frame: str, stamp: int) -> tuple[tuple[str, F64] | None, tuple[ErrorCode, str] | None]:
    """The parent and ``T_parent_frame`` at a moment, or why they are not known."""
    if joint.refused:
        return None, (ErrorCode.BAD_POSE, refusal(joint.refused[0], frame, joint.refused[1]))
    if joint.static:
        return _pose(joint, 0, frame), None
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
        return _pose(joint, after, frame), None
    (parent, before), (parent_after, numbers) = joint.entries[after - 1], joint.entries[after]
    if parent != parent_after:  # it changed in between
        return _pose(joint, after - 1, frame), None
    s = (stamp - stamps[after - 1]) / (stamps[after] - stamps[after - 1])
    return (parent, numbers_to_matrix(_between(before, numbers, s), f"transform from '{frame}' to '{parent}'")), None


def _pose(joint: _Joint, index: int, frame: str) -> tuple[str, F64]:
    parent, numbers = joint.entries[index]
    return parent, numbers_to_matrix(numbers, f"transform from '{frame}' to '{parent}'")


def _between(first: tuple[float, ...], second: tuple[float, ...], s: float) -> list[float]:
    """The numbers at ``s`` in [0, 1] between two transforms: position linear, rotation along the shorter arc (Shoemake,
    SIGGRAPH 1985). One pair at a time, for which array libraries cost ten times as much."""
    cosine = sum(a * b for a, b in zip(first[3:], second[3:], strict=True))
    angle = math.acos(min(1.0, abs(cosine)))
    sine = math.sin(angle)
    u, v = (1.0 - s, s) if sine < 1e-9 else (math.sin((1.0 - s) * angle) / sine, math.sin(s * angle) / sine)
    v = math.copysign(v, cosine)
    position = [(1.0 - s) * a + s * b for a, b in zip(first[:3], second[:3], strict=True)]
    return position + [u * a + v * b for a, b in zip(first[3:], second[3:], strict=True)]


def unavailable(source: str, target: str, why: str) -> ReconstructionError:
    """The error of a look-up that cannot be met."""
    return ReconstructionError(ErrorCode.TRANSFORM_UNAVAILABLE, f"no transform from '{source}' to '{target}': {why}")


def _names(frames: set[str], most: int = 12) -> str:
    names = sorted(frames)
    return ", ".join(names[:most]) + (" ..." if len(names) > most else "") if names else "none (nothing on /tf yet)"


def speeds(T_before: F64, T_now: F64, seconds: float) -> tuple[float, float]:
    """Mean speed in m/s and turn rate in rad/s of a frame that moved from one pose to the other."""
    turned = T_before[:3, :3].T @ T_now[:3, :3]
    angle = math.acos(float(np.clip((np.trace(turned) - 1.0) / 2.0, -1.0, 1.0)))
    return float(np.linalg.norm(T_now[:3, 3] - T_before[:3, 3])) / seconds, angle / seconds
