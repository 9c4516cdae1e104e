"""tf2_ros's buffer as a `TransformSource`, where tf2_ros is installed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.ros.conversions.geometry import transform_to_matrix
from mvgamba_ros.ros.conversions.stamps import NANOSECONDS
from mvgamba_ros.ros.conversions.transform_bytes import StampedTransform
from mvgamba_ros.ros.transforms import is_sound, refusal, unavailable
from mvgamba_ros.types import F64


class Tf2Buffer:
    """``cache_s`` seconds of history; tf2 has no limit of frames. ``node`` offers the service of tf2_ros about its
    frames; None: nobody does. Raises whatever the import of tf2_ros raises."""

    def __init__(self, node: Any | None, cache_s: float) -> None:
        import tf2_ros
        from geometry_msgs.msg import TransformStamped
        from rclpy.duration import Duration

        self._errors = tf2_ros.TransformException
        self._buffer = tf2_ros.Buffer(cache_time=Duration(seconds=cache_s), node=node)
        if handle := getattr(self._buffer, "jump_handle", None):
            handle.unregister()  # `clear` is called for every jump; in early Jazzy tf2_ros's own callback raises
        self._message = TransformStamped()
        self._parents: dict[str, str] = {}
        self._refused: dict[str, str] = {}

    def take(self, transforms: Iterable[StampedTransform], static: bool) -> None:
        """Gives tf2 transforms; a broken one is kept out and remembered."""
        message = self._message
        put = self._buffer.set_transform_static if static else self._buffer.set_transform
        for stamp, parent, child, numbers in transforms:
            parent, child = parent.lstrip("/"), child.lstrip("/")
            if not is_sound(parent, child, numbers):
                self._refused[child] = refusal(parent, child, numbers)
                continue
            self._refused.pop(child, None)
            self._parents[child] = message.header.frame_id = parent
            message.child_frame_id = child
            message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, NANOSECONDS)
            t, q = message.transform.translation, message.transform.rotation
            t.x, t.y, t.z, q.x, q.y, q.z, q.w = numbers
            put(message, "mvgamba_ros")

    def clear(self) -> None:
        """Forgets the moving frames; static ones stay."""
        self._buffer.clear()

    def lookup(self, target: str, source: str, stamp: int) -> F64:
        """See `TransformSource`."""
        from rclpy.time import Time

        target, source = target.lstrip("/"), source.lstrip("/")
        for frame in (source, *self.ancestors(source), target, *self.ancestors(target)) if self._refused else ():
            if why := self._refused.get(frame):
                raise ReconstructionError(ErrorCode.BAD_POSE, f"no transform from '{source}' to '{target}': {why}")
        if stamp < 0:  # no time of tf2's, which raises errors of other kinds
            raise unavailable(source, target, f"the moment requested is {-stamp / NANOSECONDS:.3f} s before time 0")
        try:
            found = self._buffer.lookup_transform(target, source, Time(nanoseconds=stamp))
        except self._errors as error:
            raise unavailable(source, target, str(error)) from error
        return transform_to_matrix(found.transform, f"transform from '{source}' to '{target}'")

    def ancestors(self, frame: str) -> list[str]:
        """See `TransformSource`."""
        found = [frame.lstrip("/")]
        while (parent := self._parents.get(found[-1])) is not None and parent not in found:
            found.append(parent)
        return found[1:]
