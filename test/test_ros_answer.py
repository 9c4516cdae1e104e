"""What an answer carries: a caller who wants the box and the quality gets no megabytes."""

from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("rclpy")

from rclpy.serialization import serialize_message
from std_msgs.msg import ColorRGBA

from mvgamba_ros.action import ReconstructObject
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.msg import ReconstructedObject
from mvgamba_ros.ros.answer import Parts, carried, parts_of
from mvgamba_ros.ros.conversions.shapes import columns_to_cloud
from mvgamba_ros.ros.parameters import Parameters
from mvgamba_ros.srv import Reconstruct

pytestmark = pytest.mark.ros

YES, NO = Reconstruct.Request.YES, Reconstruct.Request.NO
ALL = Parts(cloud=True, mesh=True, gaussians=True)


def whole() -> ReconstructedObject:
    message = ReconstructedObject(id="mug", view_count=6, mesh_vertex_seen=[0, 3], mesh_vertex_colors=[ColorRGBA()] * 2)
    message.mesh_vertex_expected_error_mm = [1.0, 2.0]
    message.mesh.vertices = [message.box_pose.position] * 2
    message.cloud = columns_to_cloud({"x": [1.0, 2.0]})
    message.gaussians = columns_to_cloud({"x": [1.0]})
    message.quality.reasons = ["it floats"]
    return message


@pytest.mark.parametrize("request_kind", [Reconstruct.Request, ReconstructObject.Goal])
def test_a_request_chooses_and_otherwise_the_parameters_hold(request_kind) -> None:
    defaults = Parameters()
    assert parts_of(request_kind(), defaults) == Parts(cloud=True, mesh=True, gaussians=False)
    chosen = request_kind(answer_cloud=NO, answer_mesh=NO, answer_gaussians=YES)
    assert parts_of(chosen, defaults) == Parts(cloud=False, mesh=False, gaussians=True)
    small = replace(defaults, answer_mesh=False, answer_gaussians=True)
    assert parts_of(request_kind(answer_gaussians=NO), small) == Parts(cloud=True, mesh=False, gaussians=False)


def test_a_value_that_is_no_choice_is_refused_by_name() -> None:
    with pytest.raises(ReconstructionError, match=r"answer_mesh 7 must be 0 \(DEFAULT\)") as caught:
        parts_of(Reconstruct.Request(answer_mesh=7), Parameters())
    assert caught.value.code is ErrorCode.BAD_OPTION


def test_what_is_left_out_is_empty_and_the_rest_is_whole() -> None:
    message = whole()
    assert carried(message, ALL) == message
    answer = carried(message, replace(ALL, mesh=False))
    assert (answer.mesh.vertices, len(answer.mesh_vertex_colors)) == ([], 0)
    assert not answer.mesh_vertex_seen and not answer.mesh_vertex_expected_error_mm
    assert (answer.cloud, answer.gaussians, answer.quality) == (message.cloud, message.gaussians, message.quality)
    answer = carried(message, replace(ALL, cloud=False, gaussians=False))
    assert not answer.cloud.data and not answer.gaussians.data and answer.mesh == message.mesh
    assert (answer.id, answer.view_count, answer.box_size) == ("mug", 6, message.box_size)
    assert message == whole()  # what the topics carry is as it was


def test_an_answer_without_the_large_parts_fits_a_screen_and_begins_with_the_error() -> None:
    message = whole()
    message.cloud = columns_to_cloud({"x": [0.5] * 20000})
    answer = carried(message, Parts(cloud=False, mesh=False, gaussians=False))
    assert len(serialize_message(answer)) < 2000 < len(serialize_message(message))
    printed = str(Reconstruct.Response(error_code=30, error_msg="too few", object=answer))
    assert len(printed) < 4000
    assert 0 < printed.index("error_code=30") < printed.index("too few") < printed.index("object=")
