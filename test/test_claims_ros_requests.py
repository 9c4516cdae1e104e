"""What a request asks for, in which frame, and what it leaves to the node's parameters: without a node."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")

from geometry_msgs.msg import Vector3
from ros_messages import MASK, SECOND, captured, info, parameters, photo, pose, transforms

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.se3 import inverse, look_at
from mvgamba_ros.msg import PixelBox, PointPrompt
from mvgamba_ros.msg import View as ViewMessage
from mvgamba_ros.options import Options
from mvgamba_ros.ros.conversions.geometry import matrix_to_pose
from mvgamba_ros.ros.conversions.images import array_to_image
from mvgamba_ros.ros.requests import Task, resolve, views_and_options
from mvgamba_ros.srv import Reconstruct
from mvgamba_ros.types import View

pytestmark = pytest.mark.ros


def carried(eye: tuple[float, float, float], mask: bool = False, stamp: float = 0.0) -> ViewMessage:
    message = ViewMessage(image=photo(stamp), camera_info=info(stamp))
    message.pose = matrix_to_pose(look_at(np.array(eye), np.zeros(3)))
    if mask:
        message.mask = array_to_image(MASK, "mono8")
    return message


THREE = (captured(0.3, 0, 0.3, stamp=3.0), captured(0, 0.3, 0.3, stamp=5.0), captured(-0.3, 0, 0.3, stamp=4.0))


def understood(request: Any, T: np.ndarray | None = None, **changes: Any) -> tuple[list[View], Options]:
    T = np.eye(4) if T is None else T
    return views_and_options(Task(request, parameters(**changes), THREE, "frame", T, 0))


class NoTransforms:
    def lookup(self, *_: Any) -> np.ndarray:
        pytest.fail("no transform is needed")


def test_a_request_is_met_in_its_own_frame_at_the_stamp_of_its_newest_view() -> None:
    plain = resolve(Reconstruct.Request(), parameters(), THREE, NoTransforms())  # type: ignore[arg-type]
    assert (plain.frame, plain.stamp) == ("base", 5 * SECOND)
    np.testing.assert_array_equal(plain.T_frame_captured, np.eye(4))
    request = Reconstruct.Request(target_frame="tray", views=[carried((0.3, 0, 0.3), stamp=7.0)])
    tf = transforms((6.0, pose(1.0)), (8.0, pose(3.0)), child="base", parent="tray")
    task = resolve(request, parameters(min_views=1), THREE, tf)
    assert (task.frame, task.stamp) == ("tray", 7 * SECOND)
    np.testing.assert_allclose(task.T_frame_captured, pose(2.0), atol=1e-12)
    with pytest.raises(ReconstructionError, match="'moon'"):
        resolve(Reconstruct.Request(target_frame="moon"), parameters(), THREE, tf)


def test_captured_views_move_into_the_frame_of_the_request_and_carried_ones_are_there() -> None:
    T = pose(0.5, 0.3)
    for found, view in zip(understood(Reconstruct.Request(), T)[0], THREE, strict=True):
        np.testing.assert_allclose(inverse(T) @ found.T_world_camera, view.view.T_world_camera, atol=1e-12)
    eyes = [(0.3, 0.0, 0.3), (0.0, 0.3, 0.3), (-0.3, 0.1, 0.3)]
    views, options = understood(Reconstruct.Request(views=[carried(eye) for eye in eyes]), T)
    np.testing.assert_allclose([v.T_world_camera[:3, 3] for v in views], eyes, atol=1e-9)
    assert [v.name for v in views] == ["views[0]", "views[1]", "views[2]"]
    assert not options.use_masks and all(v.mask is None for v in views)
    views, options = understood(Reconstruct.Request(views=[carried(eye, mask=True) for eye in eyes]), T)
    assert options.use_masks
    np.testing.assert_array_equal(views[2].mask, MASK > 0)


def test_what_a_carried_view_holds_of_another_camera_is_refused_by_field_and_frame() -> None:
    for field, code in (("camera_info", ErrorCode.BAD_CAMERA_INFO), ("mask", ErrorCode.BAD_MASK)):
        views = [carried((0.3, 0.1 * k, 0.3), mask=True) for k in range(3)]
        for view in views:
            view.image.header.frame_id = view.camera_info.header.frame_id = view.mask.header.frame_id = "colour"
        assert len(understood(Reconstruct.Request(views=views))[0]) == 3
        getattr(views[1], field).header.frame_id = "infrared"
        words = rf"views\[1\] image is in frame 'colour' but views\[1\] {field} in 'infrared'"
        with pytest.raises(ReconstructionError, match=words) as caught:
            understood(Reconstruct.Request(views=views))
        assert caught.value.code is code


def test_what_a_request_leaves_open_the_parameters_say() -> None:
    options = understood(Reconstruct.Request())[1]
    assert (options.method, options.max_faces, options.min_views) == (Options().method, 5000, 3)
    assert options.prompts.roi is None and options.prompts.support_height is None
    options = understood(Reconstruct.Request(method="hull", max_faces=700))[1]
    assert (options.method, options.max_faces) == ("hull", 700)


def test_the_support_height_is_the_requests_or_the_parameters_where_it_is_level_in_that_frame() -> None:
    raised, tilted = pose(), np.eye(4)
    raised[2, 3] = 0.5
    tilted[1:3, 1:3] = [[math.cos(0.1), -math.sin(0.1)], [math.sin(0.1), math.cos(0.1)]]

    def height(T: np.ndarray, **fields: Any) -> float | None:
        return understood(Reconstruct.Request(**fields), T, support_height_m=0.02)[1].prompts.support_height

    assert height(np.eye(4)) == pytest.approx(0.02)
    assert height(raised) == pytest.approx(0.52)
    assert height(tilted) is None
    for T in (raised, tilted):
        assert height(T, use_support_height=True, support_height=0.1) == 0.1


def test_the_region_is_the_requests_or_the_parameters_moved_into_that_frame() -> None:
    T, box = pose(1.0, 0.4), matrix_to_pose(pose(0.2, 0.7))
    roi = understood(Reconstruct.Request(), T, roi_m=[0.1, 0.2, 0.3, 0.4, 0.5, 0.6])[1].prompts.roi
    assert roi is not None
    np.testing.assert_allclose(roi.T_world_box[:3, :3], T[:3, :3], atol=1e-12)
    np.testing.assert_allclose(roi.T_world_box[:3, 3], (T @ [0.1, 0.2, 0.3, 1])[:3], atol=1e-12)
    assert roi.size.tolist() == [0.4, 0.5, 0.6]
    request = Reconstruct.Request(use_roi=True, roi_pose=box, roi_size=Vector3(x=0.1, y=0.2, z=0.3))
    roi = understood(request, T, roi_m=[0.0, 0, 0, 1, 1, 1])[1].prompts.roi
    assert roi is not None and roi.size.tolist() == [0.1, 0.2, 0.3]
    np.testing.assert_allclose(roi.T_world_box, pose(0.2, 0.7), atol=1e-12)
    request.roi_pose.orientation.w = 9.0
    with pytest.raises(ReconstructionError, match="roi_pose") as caught:
        understood(request)
    assert caught.value.code is ErrorCode.BAD_ROI


def test_pixel_prompts_are_kept_by_view() -> None:
    boxes = [PixelBox(view=1, x_min=1.0, y_min=2.0, x_max=3.0, y_max=4.5)]
    spots = [(2, 5.0, 6.0, True), (0, 7.0, 8.0, False), (2, 9.0, 1.0, False)]
    points = [PointPrompt(view=v, x=x, y=y, on_object=on) for v, x, y, on in spots]
    prompts = understood(Reconstruct.Request(pixel_boxes=boxes, point_prompts=points))[1].prompts
    assert prompts.pixel_boxes == {1: (1.0, 2.0, 3.0, 4.5)}
    assert {v: rows.tolist() for v, rows in prompts.points.items()} == {
        2: [[5.0, 6.0, 1.0], [9.0, 1.0, 0.0]],
        0: [[7.0, 8.0, 0.0]],
    }


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        ({"pixel_boxes": [PixelBox(view=3, x_max=3.0, y_max=4.0)]}, ErrorCode.BAD_ROI, "view 3, there are 3 (0 to 2)"),
        ({"pixel_boxes": [PixelBox(view=0, x_max=3.0)]}, ErrorCode.BAD_ROI, "max must lie above min"),
        ({"pixel_boxes": [PixelBox(view=0, x_max=math.inf, y_max=4.0)]}, ErrorCode.BAD_ROI, "pixel_boxes[0]"),
        ({"point_prompts": [PointPrompt(view=0, x=math.nan)]}, ErrorCode.BAD_ROI, "point_prompts[0]"),
        ({"point_prompts": [PointPrompt(view=3)]}, ErrorCode.BAD_ROI, "point_prompts[0] names view 3"),
    ],
)
def test_a_prompt_that_fits_no_view_is_refused(fields: dict[str, Any], code: ErrorCode, words: str) -> None:
    with pytest.raises(ReconstructionError) as caught:
        understood(Reconstruct.Request(**fields))
    assert caught.value.code is code
    assert words in caught.value.message


def refused(code: ErrorCode, words: str, request: Any, **changes: Any) -> None:
    with pytest.raises(ReconstructionError, match=words) as caught:
        resolve(request, parameters(**changes), THREE, NoTransforms())  # type: ignore[arg-type]
    assert caught.value.code is code


def test_as_many_views_as_the_parameters_allow_are_taken_and_no_others() -> None:
    three = Reconstruct.Request(views=[carried((0.3, 0.1 * i, 0.3)) for i in range(3)])
    for request in (Reconstruct.Request(), three):
        allowed = parameters(min_views=3, max_views=3)
        assert len(resolve(request, allowed, THREE, NoTransforms()).captured) == 3  # type: ignore[arg-type]
    refused(ErrorCode.TOO_FEW_VIEWS, "captured so far: 3 views, min_views is 4", Reconstruct.Request(), min_views=4)
    many, limits = ErrorCode.TOO_MANY_VIEWS, {"min_views": 2, "max_views": 2}
    refused(many, "the request carries 3 views, max_views is 2", three, **limits)
    refused(many, "captured so far: 3 views, max_views is 2", Reconstruct.Request(), **limits)


def test_a_request_beyond_a_limit_is_refused_by_its_counts_with_the_limit() -> None:
    three = Reconstruct.Request(views=[carried((0.3, 0.1 * i, 0.3)) for i in range(3)])
    refused(ErrorCode.TOO_MANY_VIEWS, "0 MB of pictures, max_request_mb is 0.001", three, max_request_mb=0.001)
    large = carried((0.3, 0.0, 0.3))
    large.depth.width, large.depth.height = 4000, 3000
    words = r"views\[0\] depth is 4000 x 3000, 12.0 megapixels, max_view_megapixels is 1:"
    refused(ErrorCode.BAD_IMAGE, words, Reconstruct.Request(views=[large] * 3))
    points = Reconstruct.Request(point_prompts=[PointPrompt()] * 9, pixel_boxes=[PixelBox()] * 2)
    refused(ErrorCode.BAD_ROI, "11 pixel boxes and points, max_prompts is 10", points)
    for field in ("object_id", "target_frame", "method", "refine_poses", "generator", "complete"):
        words = f"{field} has 256 characters, at most 255"
        refused(ErrorCode.BAD_OPTION, words, Reconstruct.Request(**{field: "x" * 256}))
