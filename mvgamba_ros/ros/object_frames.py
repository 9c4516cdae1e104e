"""The objects' own frames on /tf, as those of a robot's links: repeated, so that the frame of an object that is gone
ages, which one on /tf_static never does."""

from __future__ import annotations

from geometry_msgs.msg import TransformStamped
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile
from tf2_msgs.msg import TFMessage

from mvgamba_ros.ros.conversions.geometry import matrix_to_transform
from mvgamba_ros.ros.transforms import MOST_NAME, TransformSource
from mvgamba_ros.types import F64

PERIOD_S = 0.1


class ObjectFrames:
    """Publishes while there are any. All of it runs in the executor's thread."""

    def __init__(self, node: Node, transforms: TransformSource) -> None:
        self._node, self._transforms, self._log = node, transforms, node.get_logger()
        self._publisher = node.create_publisher(TFMessage, "/tf", QoSProfile(depth=100))
        self._held: dict[str, TransformStamped] = {}
        self._names: dict[str, str] = {}
        self._ours: set[str] = set()
        """The frames that are published, and those that are gone and TF still knows."""
        node.create_timer(PERIOD_S, self._publish, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def add(self, name: str, frame: str, parent: str, T_parent_object: F64) -> None:
        """The object ``name`` gets ``frame``; where TF has one of that name already, none, and the log has the
        reason."""
        self.remove(name)
        if len(frame) > MOST_NAME:
            self._log.warning(
                f"'{name}' gets no frame: its name would have {len(frame)} characters, at most {MOST_NAME}"
            )
            return
        self._ours = {own for own in self._ours if own in self._held or self._transforms.ancestors(own)}
        above = self._transforms.ancestors(frame)
        if frame in (parent, *self._transforms.ancestors(parent)) or (above and frame not in self._ours):
            self._log.warning(
                f"'{name}' gets no frame: TF has a frame '{frame}' already. Choose another object_id, or the parameter "
                "object_frame"
            )
            return
        if frame in self._held:
            self._log.warning(f"'{name}' gets no frame: '{frame}' is that of another object")
            return
        self._names[name] = frame
        self._ours.add(frame)
        self._held[frame] = TransformStamped(child_frame_id=frame, transform=matrix_to_transform(T_parent_object))
        self._held[frame].header.frame_id = parent
        self._publish()

    def remove(self, name: str) -> None:
        """Its frame, if it has one, is published no more."""
        self._held.pop(self._names.pop(name, ""), None)

    def _publish(self) -> None:
        if self._held:
            stamp = self._node.get_clock().now().to_msg()
            for transform in self._held.values():
                transform.header.stamp = stamp
            self._publisher.publish(TFMessage(transforms=list(self._held.values())))
