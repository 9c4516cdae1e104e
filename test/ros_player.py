"""A process that plays a capture folder as a wrist camera: image, camera_info, depth, mask and TF, one view at a time.

    python test/ros_player.py FOLDER [--depth] [--masks] [--flange]

stands at the first view; each call of /next (std_srvs/Trigger) moves on to the next one, the last stays. The parameter
``fault`` breaks the stream in one of the ways named in `FAULTS`. With --flange the camera hangs on a flange by `MOUNT`.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from dataclasses import replace

import cv2
import numpy as np
import rclpy
from geometry_msgs.msg import TransformStamped
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image
from std_srvs.srv import Trigger
from tf2_msgs.msg import TFMessage

from mvgamba_ros.geometry.se3 import inverse, look_at
from mvgamba_ros.io.capture_readers import read_capture
from mvgamba_ros.ros.conversions.geometry import camera_to_camera_info, matrix_to_transform
from mvgamba_ros.ros.conversions.images import array_to_image

FAULTS = (
    "none",
    "no_image",
    "no_camera_info",
    "zero_camera_info",
    "small_camera_info",
    "encoding",
    "step",
    "short",
    "stale",
    "blurred",
    "moving",
    "no_tf",
    "late_tf",
    "nan_tf",
    "other_frame",
)

MOUNT = look_at(np.array([0.03, -0.02, 0.05]), np.array([0.05, 0.0, 1.0]))
"""``T_flange_camera``."""


class Player(Node):
    def __init__(self, folder: str, depth: bool, masks: bool, flange: bool) -> None:
        super().__init__("player")
        self.flange = flange
        self.views, self.index, self.ticks = read_capture(folder), 0, 0
        self.declare_parameter("fault", "none")
        self.images = self.create_publisher(Image, "image", qos_profile_sensor_data)
        self.infos = self.create_publisher(CameraInfo, "camera_info", qos_profile_sensor_data)
        self.depths = self.create_publisher(Image, "depth", qos_profile_sensor_data) if depth else None
        self.masks = self.create_publisher(Image, "mask", qos_profile_sensor_data) if masks else None
        self.tf = self.create_publisher(TFMessage, "/tf", 100)
        self.create_service(Trigger, "next", self.on_next)
        self.create_timer(0.05, self.tick)

    def on_next(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self.index = min(self.index + 1, len(self.views) - 1)
        response.success = True
        return response

    def tick(self) -> None:
        self.ticks += 1
        view, fault = self.views[self.index], self.get_parameter("fault").value
        assert fault in FAULTS
        now = self.get_clock().now()
        stamp = now.to_msg()
        if fault == "stale":
            stamp.sec -= 30
        T = view.T_world_camera.copy()
        if fault == "moving":
            T[0, 3] += 0.02 * self.ticks
        if fault == "blurred":
            view = replace(view, image=np.asarray(cv2.GaussianBlur(view.image, (0, 0), 25)))
        if fault != "no_tf":
            self.publish_transform(T, now, fault)
        if fault != "no_camera_info":
            self.publish_info(view, stamp, fault)
        for publisher, array, encoding in (
            (self.depths, view.depth, "32FC1"),
            (self.masks, None if view.mask is None else view.mask.astype(np.uint8) * 255, "mono8"),
        ):
            if publisher is not None and array is not None:
                message = array_to_image(array, encoding)
                message.header.stamp, message.header.frame_id = stamp, "camera"
                publisher.publish(message)
        if fault != "no_image":
            self.publish_image(view, stamp, fault)

    def publish_transform(self, T: np.ndarray, now: rclpy.time.Time, fault: str) -> None:
        joints = [("base_link", "camera", T)]
        if self.flange:
            joints = [("base_link", "flange", T @ inverse(MOUNT)), ("flange", "camera", MOUNT)]
        message = TFMessage()
        for parent, child, T_parent_child in joints:
            transform = TransformStamped(child_frame_id=child, transform=matrix_to_transform(T_parent_child))
            transform.header.frame_id, transform.header.stamp = parent, now.to_msg()
            if fault == "late_tf":
                transform.header.stamp.sec -= 5
            if fault == "nan_tf":
                transform.transform.translation.x = float("nan")
            message.transforms.append(transform)
        self.tf.publish(message)

    def publish_info(self, view: object, stamp: object, fault: str) -> None:
        info = camera_to_camera_info(view.camera)  # type: ignore[attr-defined]
        if fault == "zero_camera_info":
            info = CameraInfo(width=info.width, height=info.height)
        if fault == "small_camera_info":
            info.width, info.height = info.width // 2, info.height // 2
        info.header.stamp, info.header.frame_id = stamp, "camera"
        self.infos.publish(info)

    def publish_image(self, view: object, stamp: object, fault: str) -> None:
        message = array_to_image(view.image, "rgb8")  # type: ignore[attr-defined]
        message.header.stamp = stamp
        message.header.frame_id = "other_camera" if fault == "other_frame" else "camera"
        if fault == "encoding":
            message.encoding = "rgb12"
        if fault == "step":
            message.step = 17
        if fault == "short":
            message.data = message.data[: len(message.data) // 2]
        self.images.publish(message)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("--depth", action="store_true")
    parser.add_argument("--masks", action="store_true")
    parser.add_argument("--flange", action="store_true")
    arguments = parser.parse_args()
    rclpy.init()
    with contextlib.suppress(KeyboardInterrupt, ExternalShutdownException):
        rclpy.spin(Player(arguments.folder, arguments.depth, arguments.masks, arguments.flange))
    return 0


if __name__ == "__main__":
    sys.exit(main())
