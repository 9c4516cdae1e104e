"""Grasps to messages that standard tools read: poses, a table of numbers, and grippers for RViz."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from geometry_msgs.msg import PoseArray
from std_msgs.msg import Float32MultiArray, Header, MultiArrayDimension
from visualization_msgs.msg import MarkerArray

from mvgamba_ros.config.grasp_config import Gripper
from mvgamba_ros.grasps.grasp import Grasp
from mvgamba_ros.grasps.grasp_picture import BEST, OTHERS, gripper_mesh
from mvgamba_ros.ros.conversions.geometry import matrix_to_pose
from mvgamba_ros.ros.conversions.markers import no_markers
from mvgamba_ros.ros.conversions.shapes import mesh_to_marker
from mvgamba_ros.types import Mesh

COLUMNS = ("object", "score", "width_m", "robustness", "firmness", "seen")
"""Of the table: ``object`` counts the objects of the answer from 0, the others are those of `Grasp`."""


def grasps_to_poses(found: Sequence[Sequence[Grasp]], header: Header) -> PoseArray:
    """The grasp frames of each object in turn, the best first."""
    return PoseArray(header=header, poses=[matrix_to_pose(grasp.T_world_grasp) for each in found for grasp in each])


def grasps_to_table(found: Sequence[Sequence[Grasp]]) -> Float32MultiArray:
    """A row for each pose of `grasps_to_poses`, in the same order; its columns are `COLUMNS`, which the label of the
    second dimension names."""
    rows = [
        [number, grasp.score, grasp.width, grasp.robustness, grasp.firmness, grasp.seen]
        for number, each in enumerate(found)
        for grasp in each
    ]
    table = Float32MultiArray(data=np.array(rows, np.float32).ravel().tolist())
    table.layout.dim = [
        MultiArrayDimension(label="grasp", size=len(rows), stride=len(rows) * len(COLUMNS)),
        MultiArrayDimension(label=",".join(COLUMNS), size=len(COLUMNS), stride=len(COLUMNS)),
    ]
    return table


def grasps_to_markers(found: Mapping[str, Sequence[Grasp]], gripper: Gripper, header: Header) -> MarkerArray:
    """In place of what was shown on their topic, the gripper closed at each grasp: the namespace is the object's id,
    the number the rank; the best one is green."""
    markers = [no_markers(header.frame_id)]
    for name, each in found.items():
        for rank, grasp in enumerate(each):
            vertices, faces = gripper_mesh(gripper, grasp)
            colors = np.full((len(vertices), 3), OTHERS if rank else BEST, np.uint8)
            marker = mesh_to_marker(Mesh(vertices, faces, colors), header, name)
            marker.id = rank
            markers.append(marker)
    return MarkerArray(markers=markers)
