"""Grasps of the last answer's objects, on latched topics, where the parameter ``max_grasps`` has them planned."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from geometry_msgs.msg import PoseArray
from rclpy.node import Node
from std_msgs.msg import Float32MultiArray, Header
from visualization_msgs.msg import MarkerArray

from mvgamba_ros.errors import ReconstructionError, stop_if
from mvgamba_ros.grasps.grasp import Grasp, doubt
from mvgamba_ros.grasps.planner import plan_grasps
from mvgamba_ros.reconstruction import Reconstruction
from mvgamba_ros.ros.conversions.grasp_messages import grasps_to_markers, grasps_to_poses, grasps_to_table
from mvgamba_ros.ros.parameters import Parameters
from mvgamba_ros.ros.qos import latched


class GraspTopics:
    """Publishers with the QoS `latched`."""

    def __init__(self, node: Node) -> None:
        self._log = node.get_logger()
        self._poses = node.create_publisher(PoseArray, "~/grasps", latched())
        self._table = node.create_publisher(Float32MultiArray, "~/grasp_scores", latched())
        self._markers = node.create_publisher(MarkerArray, "~/grasp_markers", latched())

    def plan(
        self, results: Mapping[str, Reconstruction], parameters: Parameters, cancelled: Callable[[], bool]
    ) -> dict[str, list[Grasp]]:
        """Of each object by its id; of one that is of low quality, which no planner gets, none, and neither of one that
        nothing holds, of which the log has the reason, as of one whose grasps no trial holds."""
        found: dict[str, list[Grasp]] = {}
        for name, result in results.items():
            stop_if(cancelled)
            found[name] = []
            if result.quality.low and not parameters.publish_low:
                continue
            try:
                found[name] = plan_grasps(
                    result, parameters.gripper, count=parameters.max_grasps, config=parameters.grasps
                )
                if why := doubt(found[name]):
                    self._log.warning(f"grasps of '{name}': {why}")
            except ReconstructionError as error:  # the object is there all the same
                self._log.warning(f"'{name}' has no grasps: {error.message}")
            except Exception as error:  # likewise
                self._log.error(f"'{name}' has no grasps: {error!r}")
        return found

    def messages(
        self, found: Mapping[str, Sequence[Grasp]], parameters: Parameters, header: Header
    ) -> list[tuple[Any, Any]]:
        """What each publisher is to publish of ``found``; nothing found takes away what was shown."""
        each = list(found.values())
        return [
            (self._poses, grasps_to_poses(each, header)),
            (self._table, grasps_to_table(each)),
            (self._markers, grasps_to_markers(found, parameters.gripper, header)),
        ]
