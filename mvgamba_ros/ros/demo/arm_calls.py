"""The demo's calls: those of the node, and the simulated arm's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from geometry_msgs.msg import Pose, PoseArray
from rclpy.qos import QoSProfile, ReliabilityPolicy
from visualization_msgs.msg import Marker

from mvgamba_ros.ros.service_calls import CallError, NodeCalls
from mvgamba_ros.srv import MoveCamera
from mvgamba_ros.types import Mesh

ARM = "/simulated_arm"
MANY = QoSProfile(depth=1000, reliability=ReliabilityPolicy.BEST_EFFORT)
"""For whoever misses nothing while it is busy for a moment."""


class ArmCalls(NodeCalls):
    """See `NodeCalls`."""

    def __enter__(self) -> ArmCalls:
        super().__enter__()
        return self

    def wait_for_arm(self, limit_s: float) -> tuple[list[Pose], Mesh]:
        """The poses that the arm offers and the true object, once the arm answers."""
        got: dict[str, Any] = {}
        self.listen(PoseArray, f"{ARM}/view_poses", lambda message: got.update(view_poses=message))
        self.listen(Marker, f"{ARM}/object_truth", lambda message: got.update(object_truth=message))
        self._wait(lambda: len(got) == 2, limit_s, "the simulated arm to start")
        self.wait_for_service(MoveCamera, f"{ARM}/move_camera", limit_s)
        corners = np.array([[p.x, p.y, p.z] for p in got["object_truth"].points])
        faces = np.arange(len(corners), dtype=np.int32).reshape(-1, 3)
        return list(got["view_poses"].poses), Mesh(corners, faces, np.full(corners.shape, 255, np.uint8))

    def record(self, kind: Any, topic: str, callback: Callable[[bytes], None], qos: QoSProfile = MANY) -> None:
        """Calls ``callback`` with every message of a topic as it is on the wire."""
        self._node.create_subscription(kind, topic, callback, qos, raw=True)

    def move_camera(self, pose: Pose, limit_s: float) -> None:
        """Drives the camera to ``pose`` in ``base_link`` and returns when it is still there."""
        request = MoveCamera.Request()
        request.pose.header.frame_id = "base_link"
        request.pose.pose = pose
        answer = self.call(MoveCamera, f"{ARM}/move_camera", request, limit_s)
        if not answer.success:
            raise CallError(f"the arm did not move: {answer.message}")
