"""The demo's calls of the two nodes: plain functions that wait for the answer, each with a time limit."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
import rclpy
from geometry_msgs.msg import Pose, PoseArray, Vector3
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.signals import SignalHandlerOptions
from visualization_msgs.msg import Marker

from mvgamba_ros.errors import ErrorCode
from mvgamba_ros.geometry.se3 import rigid
from mvgamba_ros.ros.conversions.geometry import matrix_to_pose, pose_to_matrix
from mvgamba_ros.ros.conversions.shapes import mesh_from_message
from mvgamba_ros.srv import CaptureView, MoveCamera, Reconstruct, Save
from mvgamba_ros.types import F64, Box, Mesh

RETRY_CODES = (ErrorCode.NO_IMAGE, ErrorCode.NO_CAMERA_INFO, ErrorCode.STALE_IMAGE, ErrorCode.CAMERA_MOVING)
"""What a capture may answer while the first image after a move is still on its way."""
RETRY_S = 0.2


class DemoError(Exception):
    """A stage failed; the message names which and the cause."""


@dataclass(frozen=True)
class Answer:
    """The object that the node returned; lengths in metres, in ``base_link``."""

    name: str
    method: str
    mesh: Mesh
    points: int
    box: Box
    view_count: int
    low: bool
    reasons: tuple[str, ...]
    silhouette_iou: float
    stages: dict[str, float]


class Client:
    """A node of its own inside a ``with``. ``check``, called while waiting, raises where waiting is in vain."""

    def __init__(self, check: Callable[[], None]) -> None:
        self._check = check

    def __enter__(self) -> Client:
        # The caller keeps its own signal handlers: Ctrl-C must reach it, not only the middleware.
        rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
        self._node = Node("demo")
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._services: dict[str, Any] = {
            name: self._node.create_client(kind, name)
            for kind, name in (
                (MoveCamera, "simulated_arm/move_camera"),
                (CaptureView, "reconstructor/capture_view"),
                (Reconstruct, "reconstructor/reconstruct"),
                (Save, "reconstructor/save"),
            )
        }
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._executor.shutdown(timeout_sec=1.0)
        self._node.destroy_node()
        rclpy.try_shutdown()

    def wait_for_arm(self, limit_s: float) -> tuple[list[Pose], Mesh]:
        """The poses that the arm offers and the true object, once both nodes answer."""
        got: dict[str, Any] = {}
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        for kind, name in ((PoseArray, "simulated_arm/view_poses"), (Marker, "simulated_arm/object_truth")):
            self._node.create_subscription(kind, name, lambda message, name=name: got.update({name: message}), latched)
        self._wait(lambda: len(got) == 2, limit_s, "the simulated arm to start")
        for name, service in self._services.items():
            self._wait(service.service_is_ready, limit_s, f"the service {name}")
        poses, marker = got["simulated_arm/view_poses"], got["simulated_arm/object_truth"]
        corners = np.array([[p.x, p.y, p.z] for p in marker.points])
        faces = np.arange(len(corners), dtype=np.int32).reshape(-1, 3)
        return list(poses.poses), Mesh(corners, faces, np.full(corners.shape, 255, np.uint8))

    def move_camera(self, pose: Pose, limit_s: float) -> None:
        """Drives the camera to ``pose`` in ``base_link`` and returns when it is still there."""
        request = MoveCamera.Request()
        request.pose.header.frame_id = "base_link"
        request.pose.pose = pose
        answer = self._call("simulated_arm/move_camera", request, limit_s)
        if not answer.success:
            raise DemoError(f"the arm did not move: {answer.message}")

    def capture_view(self, limit_s: float) -> str:
        """Captures a view; returns a line about it for people."""
        deadline = time.monotonic() + limit_s
        while True:
            answer = self._call("reconstructor/capture_view", CaptureView.Request(), limit_s)
            if answer.error_code == ErrorCode.SUCCESS:
                p = answer.pose.pose.position
                return (
                    f"camera at ({p.x:.3f}, {p.y:.3f}, {p.z:.3f}) m; {answer.view_count} views cover "
                    f"{100 * answer.coverage:.0f} % of the directions from above"
                )
            if answer.error_code not in RETRY_CODES or time.monotonic() > deadline:
                raise self._refused("capture_view", answer)
            time.sleep(RETRY_S)

    def reconstruct(self, center: F64, sides: F64, limit_s: float) -> Answer:
        """The object that stands on the table, z = 0, inside the box around ``center`` (3,), metres."""
        request = Reconstruct.Request(object_id="demo", target_frame="base_link", use_roi=True, use_support_height=True)
        request.roi_pose = matrix_to_pose(rigid(np.eye(3), center))
        request.roi_size = Vector3(x=sides[0], y=sides[1], z=sides[2])
        response = self._call("reconstructor/reconstruct", request, limit_s)
        if response.error_code != ErrorCode.SUCCESS:
            raise self._refused("reconstruct", response)
        found = response.object
        size = found.box_size
        return Answer(
            name=found.id,
            method=found.method,
            mesh=mesh_from_message(
                found.mesh, found.mesh_vertex_colors, found.mesh_vertex_seen, found.mesh_vertex_expected_error_mm
            ),
            points=found.cloud.width * found.cloud.height,
            box=Box(pose_to_matrix(found.box_pose), np.array([size.x, size.y, size.z])),
            view_count=found.view_count,
            low=found.quality.low,
            reasons=tuple(found.quality.reasons),
            silhouette_iou=found.quality.silhouette_iou,
            stages={stage.name: stage.seconds for stage in response.stages},
        )

    def save(self, folder: str, limit_s: float) -> list[str]:
        """Has the node write the object as ``folder`` of its output_dir; returns the files."""
        answer = self._call("reconstructor/save", Save.Request(directory=folder), limit_s)
        if answer.error_code != ErrorCode.SUCCESS:
            raise self._refused("save", answer)
        return list(answer.files)

    def _call(self, name: str, request: Any, limit_s: float) -> Any:
        future = self._services[name].call_async(request)
        self._wait(future.done, limit_s, f"an answer of {name}")
        return future.result()

    def _wait(self, done: Callable[[], bool], limit_s: float, what: str) -> None:
        deadline = time.monotonic() + limit_s
        while not done():
            self._check()
            if time.monotonic() > deadline:
                raise DemoError(f"waited {limit_s:.0f} s for {what} in vain")
            self._executor.spin_once(timeout_sec=0.1)

    @staticmethod
    def _refused(what: str, answer: Any) -> DemoError:
        return DemoError(f"{what} answered {ErrorCode(answer.error_code).name}: {answer.error_msg}")
