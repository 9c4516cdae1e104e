"""tf2_msgs/TFMessage to plain tuples, read from its bytes: rclpy's message objects cost ten times as much."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, TypeAlias

from mvgamba_ros.ros.conversions.stamps import NANOSECONDS, stamp_of

if TYPE_CHECKING:
    from geometry_msgs.msg import TransformStamped

StampedTransform: TypeAlias = tuple[int, str, str, tuple[float, ...]]
"""Stamp in nanoseconds, parent, child, and ``T_parent_child`` as x y z, metres, and quaternion x y z w."""

CDR_LITTLE_ENDIAN = b"\x00\x01"
"""The first two bytes of a plain CDR message (OMG DDSI-RTPS 2.5, 10.2) of a little-endian machine."""
_HEADER = 4
"""Bytes before the fields; the fields' alignment counts from there."""
_count = struct.Struct("<I").unpack_from
_stamp_and_length = struct.Struct("<iII").unpack_from
_numbers = struct.Struct("<7d").unpack_from


def read_transforms(message: bytes) -> list[StampedTransform]:
    """The transforms of a serialized TFMessage. Raises ValueError where its bytes end early or are none."""
    if message[:2] != CDR_LITTLE_ENDIAN:
        from rclpy.serialization import deserialize_message
        from tf2_msgs.msg import TFMessage

        try:
            return [fields_of(transform) for transform in deserialize_message(message, TFMessage).transforms]
        except Exception as error:  # of the middleware's own kinds
            raise ValueError(f"{len(message)} bytes are no TFMessage: {error}") from error
    try:
        return _fields(message)
    except struct.error as error:
        raise ValueError(f"a TFMessage of {len(message)} bytes ends early: {error}") from error


def _fields(message: bytes) -> list[StampedTransform]:
    (count,) = _count(message, _HEADER)
    at, found = _HEADER + 4, []
    for _ in range(count):
        at = (at + 3) & ~3
        sec, nanosec, length = _stamp_and_length(message, at)
        at += 12
        parent = str(message[at : at + length - 1], "utf-8", "replace")  # the length counts the closing 0
        at = (at + length + 3) & ~3
        (length,) = _count(message, at)
        at += 4
        child = str(message[at : at + length - 1], "utf-8", "replace")
        at = ((at + length - _HEADER + 7) & ~7) + _HEADER
        found.append((sec * NANOSECONDS + nanosec, parent, child, _numbers(message, at)))
        at += 56
    return found


def fields_of(message: TransformStamped) -> StampedTransform:
    """The same of a message object."""
    t: Any = message.transform.translation
    q: Any = message.transform.rotation
    return stamp_of(message), message.header.frame_id, message.child_frame_id, (t.x, t.y, t.z, q.x, q.y, q.z, q.w)
