"""The node's outputs on a node of their own, and a peer that listens: real DDS in one process."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import rclpy
from geometry_msgs.msg import TransformStamped
from patience import PATIENCE
from rclpy.executors import SingleThreadedExecutor
from ros_world import LATCHED, free_domain
from shapes import cuboid
from tf2_msgs.msg import TFMessage

from mvgamba_ros.config import ReconstructionConfig
from mvgamba_ros.geometry.boxes import oriented_box
from mvgamba_ros.reconstruction import Quality, Reconstruction
from mvgamba_ros.ros.conversions.shapes import reconstruction_to_object
from mvgamba_ros.ros.conversions.stamps import make_header
from mvgamba_ros.ros.node_time import NodeTime
from mvgamba_ros.ros.outputs import Outputs
from mvgamba_ros.ros.parameters import ROWS, Parameters, parameters_from
from mvgamba_ros.ros.transform_listener import listen
from mvgamba_ros.types import PointCloud

DEFAULTS = {row.name: row.default for row in ROWS}


def parameters(**values) -> Parameters:
    return parameters_from(DEFAULTS | values, ReconstructionConfig())


GOOD = Quality(0.95, 0.02, 0.9, low=False)
LOW = Quality(0.5, 0.2, 0.4, low=True, reasons=("the outlines disagree",))


def carton(quality: Quality = GOOD) -> Reconstruction:
    """20 cm wide along y, 10 cm high, 5 cm deep, 0.4 m in front of the robot."""
    mesh = cuboid([0.4, -0.1, 0.0], [0.45, 0.1, 0.1], (200, 100, 0))
    points = PointCloud(mesh.vertices, np.zeros_like(mesh.vertices), mesh.colors)
    return Reconstruction(mesh, points, oriented_box(mesh), quality, (), {}, "hull")


class Robot:
    """The outputs on a node, and another node that listens."""

    def __init__(self) -> None:
        self.context = rclpy.Context()
        self.context.init(domain_id=free_domain())
        self.executor = SingleThreadedExecutor(context=self.context)
        self.node = rclpy.create_node("reconstructor", context=self.context)
        self.peer = rclpy.create_node("peer", context=self.context)
        for node in (self.node, self.peer):
            self.executor.add_node(node)
        self.parameters = parameters()
        self.transforms = listen(self.node, NodeTime(self.node), lambda: self.parameters)
        self.outputs = Outputs(self.node, self.transforms, lambda: self.parameters)
        for kind, name, callback in self.outputs.services:
            self.node.create_service(kind, name, callback)
        self.tf: list[TransformStamped] = []
        self.peer.create_subscription(TFMessage, "/tf", lambda message: self.tf.extend(message.transforms), 10)

    def close(self) -> None:
        self.executor.shutdown()
        self.transforms.close()
        self.node.destroy_node()
        self.peer.destroy_node()
        self.context.shutdown()

    def listen(self, kind: type, name: str, qos=LATCHED) -> list:
        got: list = []
        self.peer.create_subscription(kind, name, got.append, qos)
        return got

    def show(self, name: str = "carton", quality: Quality = GOOD) -> dict[str, float]:
        result = carton(quality)
        message = reconstruction_to_object(result, name, make_header("base_link", 1_000))
        sheet = np.zeros((2, 2, 3), np.uint8)
        return self.outputs.reconstructions([(result, message)], sheet, self.parameters, lambda: False)

    def until(self, done: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not done():
            assert time.monotonic() < deadline
            self.executor.spin_once(timeout_sec=0.05)

    def spin(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.executor.spin_once(timeout_sec=0.02)

    def call(self, kind: type, name: str):
        client = self.peer.create_client(kind, name)
        self.until(client.service_is_ready)
        future = client.call_async(kind.Request())
        self.until(future.done)
        return future.result()
