"""The region `roi_m` drawn in RViz: clicked points become a box, and the box is shown."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from geometry_msgs.msg import PointStamped, Vector3
from rclpy.node import Node
from rclpy.parameter import Parameter
from std_msgs.msg import ColorRGBA
from std_srvs.srv import Trigger
from visualization_msgs.msg import Marker

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.se3 import transform
from mvgamba_ros.ros.conversions.stamps import make_header, stamp_of
from mvgamba_ros.ros.failures import Failures
from mvgamba_ros.ros.parameters import Parameters
from mvgamba_ros.ros.qos import latched
from mvgamba_ros.ros.transforms import TransformSource
from mvgamba_ros.types import F64

TOGETHER_S = 20.0
"""Points clicked within this time of the one before belong to one box: RViz's tool is chosen anew for each."""
MOST_POINTS = 100
"""No more points are kept."""
COLOR = ColorRGBA(r=0.2, g=0.7, b=1.0, a=0.25)


class Region:
    """Subscribes to `clicked_point`, publishes the region as `~/region`, serves `~/clear_region`. In the executor's
    thread. ``monotonic`` returns seconds."""

    def __init__(
        self,
        node: Node,
        transforms: TransformSource,
        settings: Callable[[], Parameters],
        failures: Failures,
        monotonic: Callable[[], float],
    ) -> None:
        self._node, self._transforms, self._settings = node, transforms, settings
        self._failures, self._monotonic = failures, monotonic
        self._points: list[F64] = []
        self._last = -math.inf
        self._marker = node.create_publisher(Marker, "~/region", latched())
        node.create_subscription(PointStamped, "clicked_point", self.on_point, 10)
        node.add_post_set_parameters_callback(self._on_parameters)
        self.services: tuple[tuple[type, str, Callable[..., Any]], ...] = (
            (Trigger, "~/clear_region", self._on_clear_region),
        )
        self._publish()

    def on_point(self, message: PointStamped) -> None:
        """Takes one more point; from the second on `roi_m` is the box around those of one go."""
        parameters = self._settings()
        try:
            point = self._in_target(message, parameters)
        except ReconstructionError as error:
            self._failures.note("clicked_point", error)
            return
        now = self._monotonic()
        if now - self._last > TOGETHER_S:
            self._points = []
        self._last = now
        self._points = [*self._points[-MOST_POINTS + 1 :], point]
        if len(self._points) < 2:
            self._node.get_logger().info("clicked_point: one corner of the region; click another one across it")
            return
        roi = box_around(np.array(self._points), parameters)
        (answer,) = self._node.set_parameters([Parameter("roi_m", value=roi)])
        what = "roi_m is " + ", ".join(f"{number:.3f}" for number in roi) if answer.successful else answer.reason
        self._node.get_logger().info(f"clicked_point: {len(self._points)} points, {what}")

    def _in_target(self, message: PointStamped, parameters: Parameters) -> F64:
        """(3,) in target_frame. Raises TRANSFORM_UNAVAILABLE, BAD_ROI where it is not finite."""
        frame, target = message.header.frame_id.lstrip("/"), parameters.target_frame
        point = np.array([message.point.x, message.point.y, message.point.z])
        if not np.isfinite(point).all():
            raise ReconstructionError(ErrorCode.BAD_ROI, f"point {point.tolist()} is not finite: click on something")
        if frame == target.lstrip("/"):
            return point
        return transform(self._transforms.lookup(target, frame, stamp_of(message)), point[None])[0]

    def _on_clear_region(self, request: Trigger.Request, response: Trigger.Response) -> Any:
        self._points = []
        (answer,) = self._node.set_parameters([Parameter("roi_m", value=[])])
        response.success, response.message = answer.successful, answer.reason or "no region"
        return response

    def _on_parameters(self, changed: list[Parameter[Any]]) -> None:
        if any(parameter.name == "roi_m" for parameter in changed):
            self._publish()

    def _publish(self) -> None:
        """The region as a box; where there is none, what was shown is taken away."""
        parameters = self._settings()
        stamp = int(self._node.get_clock().now().nanoseconds)
        marker = Marker(header=make_header(parameters.target_frame, stamp), ns="region", id=0, type=Marker.CUBE)
        marker.action = Marker.ADD if parameters.roi_m else Marker.DELETE
        marker.pose.orientation.w = 1.0
        if parameters.roi_m:
            position = marker.pose.position
            position.x, position.y, position.z, *sides = map(float, parameters.roi_m)
            marker.scale, marker.color = Vector3(**dict(zip("xyz", sides, strict=True))), COLOR
        self._marker.publish(marker)


def box_around(points: F64, parameters: Parameters) -> list[float]:
    """`roi_m` of clicked ``points`` (N, 3), two or more: the axis-parallel box around them. It stands on the support
    plane, where its height is known, else at the lowest point, and reaches region_height_m above that, or up to the
    highest point where this is higher; then it grows by region_margin_m on all sides."""
    low, high = points.min(axis=0), points.max(axis=0)
    floor = low[2] if math.isnan(parameters.support_height_m) else parameters.support_height_m
    low[2], high[2] = min(low[2], floor), max(high[2], floor + parameters.region_height_m)
    low, high = low - parameters.region_margin_m, high + parameters.region_margin_m
    return [*((low + high) / 2.0).tolist(), *(high - low).tolist()]
