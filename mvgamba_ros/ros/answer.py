"""What the answer to a request carries of the object: a caller at a terminal, or one that listens to the latched
topics, needs neither the points nor the triangles in it."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import Any

from sensor_msgs.msg import PointCloud2
from shape_msgs.msg import Mesh as MeshMessage

from mvgamba_ros.msg import ReconstructedObject
from mvgamba_ros.ros.parameters import Parameters
from mvgamba_ros.ros.requests import switched


@dataclass(frozen=True)
class Parts:
    """Which of the large parts an answer carries. Box, quality and the correction of the poses are always there."""

    cloud: bool
    mesh: bool
    gaussians: bool


def parts_of(request: Any, parameters: Parameters) -> Parts:
    """What a request chooses by ``answer_cloud``, ``answer_mesh`` and ``answer_gaussians``; where it leaves that to the
    node, the parameters of these names hold. Raises BAD_OPTION."""

    def chosen(name: str) -> bool:
        return switched(name, getattr(request, name), getattr(parameters, name))

    return Parts(chosen("answer_cloud"), chosen("answer_mesh"), chosen("answer_gaussians"))


def carried(message: ReconstructedObject, parts: Parts) -> ReconstructedObject:
    """``message`` without what ``parts`` leaves out; what is left is shared with it."""
    answer = copy(message)
    if not parts.cloud:
        answer.cloud = PointCloud2()
    if not parts.mesh:
        answer.mesh = MeshMessage()
        answer.mesh_vertex_colors = []
        answer.mesh_vertex_seen, answer.mesh_vertex_expected_error_mm = [], []
    if not parts.gaussians:
        answer.gaussians = PointCloud2()
    return answer
