"""Times of ROS messages as whole nanoseconds, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from std_msgs.msg import Header

NANOSECONDS = 1_000_000_000
"""In a second."""


def stamp_of(message: Any) -> int:
    """The stamp of a message's header, nanoseconds."""
    return int(message.header.stamp.sec) * NANOSECONDS + int(message.header.stamp.nanosec)


def make_header(frame: str, stamp: int) -> Header:
    """A header with a frame and a stamp in nanoseconds."""
    from std_msgs.msg import Header

    header = Header(frame_id=frame)
    header.stamp.sec, header.stamp.nanosec = divmod(stamp, NANOSECONDS)
    return header
