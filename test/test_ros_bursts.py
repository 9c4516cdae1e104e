"""More than the node can take at once, or than it should: each call is answered, and nothing of it stays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import psutil
import pytest

pytest.importorskip("rclpy")

from patience import PATIENCE
from ros_world import World
from std_srvs.srv import Trigger
from test_ros_work import views_with_masks

from mvgamba_ros.action import ReconstructObject
from mvgamba_ros.errors import ErrorCode
from mvgamba_ros.msg import PointPrompt
from mvgamba_ros.ros.conversions.images import array_to_image
from mvgamba_ros.srv import CaptureView, Reconstruct

pytestmark = [pytest.mark.ros, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World(tmp_path_factory.mktemp("bursts")) as made:
        made.start_node()
        made.wait_for_log("node", "warmed up")
        yield made


def test_five_hundred_captures_at_once_are_all_answered(world: World) -> None:
    """Those that cannot wait for an image are refused at once, the others in turn."""
    calls = [world.begin(CaptureView, "/reconstructor/capture_view") for _ in range(500)]
    answers = [world.finish(call) for call in calls]
    codes = Counter(answer.error_code for answer in answers)
    assert set(codes) == {ErrorCode.NO_IMAGE, ErrorCode.BUSY} and codes[ErrorCode.BUSY] > 300
    assert all("(max_waiting)" in a.error_msg for a in answers if a.error_code == ErrorCode.BUSY)


def test_a_hundred_goals_at_once_all_have_a_result(world: World) -> None:
    sent = [world.action().send_goal_async(ReconstructObject.Goal()) for _ in range(100)]
    handles = [world.finish(goal) for goal in sent]
    assert all(handle.accepted for handle in handles)
    results = [world.finish(result).result for result in [handle.get_result_async() for handle in handles]]
    assert {result.error_code for result in results} == {ErrorCode.TOO_FEW_VIEWS}


def refusals() -> list[tuple[ErrorCode, Reconstruct.Request]]:
    """Requests of about a megabyte, each wrong in another way and found out in another place."""
    views, other, cut, empty = (views_with_masks(3) for _ in range(4))
    other[2].image.encoding = "rgb12"
    cut[2].image.data = cut[2].image.data[:-9]
    for view in empty:
        view.mask = array_to_image(np.zeros((240, 320), np.uint8), "mono8")
    made: list[tuple[ErrorCode, dict[str, Any]]] = [
        (ErrorCode.TOO_MANY_VIEWS, {"views": views * 6}),
        (ErrorCode.BAD_ENCODING, {"views": other}),
        (ErrorCode.BAD_IMAGE, {"views": cut}),
        (ErrorCode.EMPTY_SILHOUETTE, {"views": empty}),
        (ErrorCode.BAD_ROI, {"views": views, "point_prompts": [PointPrompt(view=9)]}),
        (ErrorCode.BAD_OPTION, {"views": views, "method": "none"}),
    ]
    return [(code, Reconstruct.Request(**fields)) for code, fields in made]


def test_refused_requests_leave_no_memory_behind(world: World) -> None:
    process = psutil.Process(world.processes[0].pid)
    requests, resident = refusals(), []
    for call in range(100):
        code, request = requests[call % len(requests)]
        answer = world.call(Reconstruct, "/reconstructor/reconstruct", request)
        assert answer.error_code == code, answer.error_msg
        resident.append(process.memory_info().rss)
    assert max(resident[20:]) < 1.05 * resident[19], [round(r / 2**20) for r in resident[19::20]]


def test_a_request_of_far_too_many_views_is_refused_unread_and_its_memory_given_back(world: World) -> None:
    """All but what DDS keeps for a message of that size."""
    process = psutil.Process(world.processes[0].pid)
    before = process.memory_info().rss
    view = views_with_masks(1)[0]
    view.image = array_to_image(np.zeros((480, 640, 3), np.uint8), "rgb8")
    answer = world.call(Reconstruct, "/reconstructor/reconstruct", Reconstruct.Request(views=[view] * 100), PATIENCE)
    assert answer.error_code == ErrorCode.TOO_MANY_VIEWS and "carries 100 views" in answer.error_msg
    world.call(Trigger, "/reconstructor/clear_views")  # once it is answered the refusal is over
    assert process.memory_info().rss - before < 1.5 * 100 * len(view.image.data)
