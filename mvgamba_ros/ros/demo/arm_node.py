"""The node `simulated_arm`: the arm of `mvgamba_ros.sim` in real time, with the topics of a real one (docs/demo.md).

Publishes `image` (rgb8), `camera_info`, `depth` (32FC1 metres, off by default), `joint_states`, /tf and /tf_static from
base_link to camera_optical_frame; latched, `~/view_poses` (camera poses around the object that it can reach),
`~/object_truth` (the object's true surface) and `robot_description` (its URDF, for RViz). `~/move_camera` drives there
and answers when the arm is still.
"""

from __future__ import annotations

import signal
import sys
import threading
from typing import Any

import numpy as np
import rclpy
from geometry_msgs.msg import PoseArray, TransformStamped
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import Header, String
from tf2_msgs.msg import TFMessage
from visualization_msgs.msg import Marker

from mvgamba_ros.errors import ReconstructionError
from mvgamba_ros.ros.conversions.geometry import (
    camera_to_camera_info,
    matrix_to_pose,
    matrix_to_transform,
    pose_to_matrix,
)
from mvgamba_ros.ros.conversions.images import array_to_image
from mvgamba_ros.ros.conversions.shapes import mesh_to_marker
from mvgamba_ros.ros.conversions.stamps import NANOSECONDS, make_header
from mvgamba_ros.ros.qos import latched
from mvgamba_ros.sim.description import fixed_links, robot_description
from mvgamba_ros.sim.kinematics import pose_error
from mvgamba_ros.sim.objects import OBJECTS
from mvgamba_ros.sim.robot_arm import OPTICAL_FRAME, ROOT_FRAME, SimulatedArm
from mvgamba_ros.sim.scene import JOINTS, Scene
from mvgamba_ros.sim.views import plan_views
from mvgamba_ros.sim.wrist_camera import WristCamera
from mvgamba_ros.srv import MoveCamera
from mvgamba_ros.types import F64

TICK_S = 0.02
"""Simulated time between two joint states and transforms."""
SLACK_S = 0.25
"""How far the simulation may fall behind the clock before it lets the lost time go."""
TARGET_HEIGHT_M = 0.06
"""The view poses aim at the point this far above the table where the object was put."""
MOVE_TIMEOUT_S = 60.0
ARRIVED_M = 0.005
STANDING_S = 0.15
"""A move is answered this long after the arm came to rest, so that the next image is of a still camera."""


class SimulatedArmNode(Node):
    """See the module. Owns an OpenGL context, so make it and spin it in one thread."""

    def __init__(self) -> None:
        super().__init__("simulated_arm")
        name = self._declare("object", Scene.object_name, f"Object on the table: {', '.join(OBJECTS)}, or a mesh file")
        count = self._declare(
            "view_count", 6, "How many poses ~/view_poses offers", IntegerRange(from_value=1, to_value=16)
        )
        rate = self._declare(
            "image_rate_hz",
            4.0,
            "Images per second, while anyone listens",
            FloatingPointRange(from_value=0.2, to_value=30.0),
        )
        self._with_depth = self._declare("publish_depth", False, "Publish `depth` beside each image")
        self._arm = SimulatedArm(Scene(object_name=name))
        self._camera = WristCamera(self._arm)
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._zero = self._now() - self._arm.time
        self._image_period, self._next_image = 1.0 / rate, 0.0
        self._arrived: Future[None] | None = None
        self._give_up_at = float("inf")
        self._moved_at = self._arm.time

        self._tf = self.create_publisher(TFMessage, "/tf", 100)
        self._tf_static = self.create_publisher(TFMessage, "/tf_static", latched())
        self._joint_states = self.create_publisher(JointState, "joint_states", 10)
        self._image = self.create_publisher(Image, "image", qos_profile_sensor_data)
        self._info = self.create_publisher(CameraInfo, "camera_info", qos_profile_sensor_data)
        self._depth = self.create_publisher(Image, "depth", qos_profile_sensor_data) if self._with_depth else None
        self._truth = self.create_publisher(Marker, "~/object_truth", latched())
        self._poses = self.create_publisher(PoseArray, "~/view_poses", latched())

        x, y = self._arm.scene.object_xy
        target = np.array([x, y, TARGET_HEIGHT_M])
        poses = plan_views(self._arm.kinematics, target, count, self._arm.joint_positions)
        header = self._header(ROOT_FRAME)
        description = robot_description()
        self._description = self.create_publisher(String, "robot_description", latched())
        self._description.publish(String(data=description))
        drawn = [self._transform(header, *link) for link in fixed_links(description)]
        self._tf_static.publish(TFMessage(transforms=self._transforms(header, fixed=True) + drawn))
        self._truth.publish(mesh_to_marker(self._arm.object_mesh(), header, "truth"))
        self._poses.publish(PoseArray(header=header, poses=[matrix_to_pose(T) for T in poses]))
        # Reentrant: a move awaits the arrival that the timer notices.
        group = ReentrantCallbackGroup()
        self.create_service(MoveCamera, "~/move_camera", self._on_move_camera, callback_group=group)
        self.create_timer(TICK_S, self._on_tick, callback_group=group, clock=self._steady)
        self.get_logger().info(f"ready: '{name}' on the table, {len(poses)} view poses")

    async def _on_move_camera(self, request: MoveCamera.Request, response: MoveCamera.Response) -> Any:
        frame = request.pose.header.frame_id
        if frame not in ("", ROOT_FRAME):
            response.message = f"frame '{frame}': give the camera's pose in {ROOT_FRAME}"
            return response
        if self._arrived is not None:
            response.message = "the arm is moving: wait for the answer of the move before"
            return response
        try:
            goal = pose_to_matrix(request.pose.pose, "camera pose")
            self._arm.move_camera(goal)
        except ReconstructionError as error:
            response.message = error.message
            return response
        self._arrived = Future(executor=self.executor)
        self._moved_at, self._give_up_at = self._arm.time, self._arm.time + MOVE_TIMEOUT_S
        await self._arrived
        self._arrived = None
        off = pose_error(self._arm.T_base_camera, goal)
        response.position_error, response.angle_error = (float(np.linalg.norm(e)) for e in (off[:3], off[3:]))
        response.success = response.position_error < ARRIVED_M
        place = ", ".join(f"{v:.3f}" for v in self._arm.T_base_camera[:3, 3])
        response.message = f"the camera stands at ({place}) m" + ("" if response.success else ": something stopped it")
        return response

    def _on_tick(self) -> None:
        """Brings the simulation up to the clock; publishes the state at every step and an image when one is due."""
        behind = self._now() - self._zero - self._arm.time
        if behind > SLACK_S:
            self._zero += behind - TICK_S
            behind = TICK_S
        while behind >= TICK_S:
            self._arm.advance(TICK_S)
            behind -= TICK_S
            self._publish_state()
        if self._arm.moving and self._arm.time > self._give_up_at:
            self._arm.stop()
        if self._arm.moving:
            self._moved_at = self._arm.time
        stands = self._arm.time - self._moved_at > STANDING_S
        if self._arrived is not None and not self._arrived.done() and stands:
            self._arrived.set_result(None)
        if self._arm.time >= self._next_image and (self._image.get_subscription_count() or self._with_depth):
            self._next_image = self._arm.time + self._image_period
            self._publish_image()

    def _publish_state(self) -> None:
        header = self._header(ROOT_FRAME)
        self._tf.publish(TFMessage(transforms=self._transforms(header, fixed=False)))
        self._joint_states.publish(
            JointState(
                header=Header(stamp=header.stamp),
                name=[f"panda_{joint}" for joint in JOINTS],
                position=self._arm.joint_positions.tolist(),
                velocity=self._arm.joint_velocities.tolist(),
            )
        )

    def _publish_image(self) -> None:
        header = self._header(OPTICAL_FRAME)
        image = array_to_image(self._camera.image(), "rgb8")
        info = camera_to_camera_info(self._arm.camera)
        image.header = info.header = header
        if self._depth is not None:
            depth = array_to_image(self._camera.depth(), "32FC1")
            depth.header = header
            self._depth.publish(depth)
        self._info.publish(info)
        self._image.publish(image)

    def _transforms(self, header: Header, fixed: bool) -> list[TransformStamped]:
        links = self._arm.links()
        return [self._transform(header, parent, child, T) for parent, child, T, is_fixed in links if is_fixed is fixed]

    @staticmethod
    def _transform(header: Header, parent: str, child: str, T: F64) -> TransformStamped:
        return TransformStamped(
            header=Header(stamp=header.stamp, frame_id=parent), child_frame_id=child, transform=matrix_to_transform(T)
        )

    def _declare(self, name: str, default: Any, description: str, bounds: Any = None) -> Any:
        descriptor = ParameterDescriptor(description=description, read_only=True)
        if isinstance(bounds, IntegerRange):
            descriptor.integer_range = [bounds]
        elif bounds is not None:
            descriptor.floating_point_range = [bounds]
        return self.declare_parameter(name, default, descriptor).value

    def _now(self) -> float:
        return float(self.get_clock().now().nanoseconds) / NANOSECONDS

    def _header(self, frame: str) -> Header:
        """Stamped with the moment that the simulation shows, which is where its transforms hold."""
        return make_header(frame, round((self._zero + self._arm.time) * NANOSECONDS))

    def close(self) -> None:
        """Gives the OpenGL context back."""
        self._camera.close()


def main(args: list[str] | None = None) -> int:
    """Runs the node until SIGINT or SIGTERM."""
    stop = threading.Event()
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        node = SimulatedArmNode()
    except Exception as error:  # an object that cannot be loaded, most often
        print(f"simulated_arm: {error}", file=sys.stderr)
        rclpy.try_shutdown()
        return 1
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        while not stop.is_set():
            executor.spin_once(timeout_sec=0.1)
    except ExternalShutdownException:
        pass
    finally:
        node.close()
        node.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
