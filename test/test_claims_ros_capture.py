"""Which of the newest images becomes a view, how views are kept, and what a request asks for: without a node."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")

from geometry_msgs.msg import Vector3
from sensor_msgs.msg import CameraInfo, Image

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.se3 import inverse, look_at
from mvgamba_ros.msg import PixelBox, PointPrompt
from mvgamba_ros.msg import View as ViewMessage
from mvgamba_ros.options import Options
from mvgamba_ros.ros.conversions.geometry import camera_to_camera_info, matrix_to_pose, matrix_to_transform
from mvgamba_ros.ros.conversions.images import array_to_image
from mvgamba_ros.ros.inputs import Input
from mvgamba_ros.ros.requests import Task, resolve, views_and_options
from mvgamba_ros.ros.transforms import TransformBuffer
from mvgamba_ros.ros.view_buffer import CapturedView, ViewBuffer, coverage
from mvgamba_ros.ros.view_capture import Capture
from mvgamba_ros.srv import Reconstruct
from mvgamba_ros.types import Camera, View

pytestmark = pytest.mark.ros

SECOND = 1_000_000_000
CAMERA = Camera(np.array([[50.0, 0, 16], [0, 50.0, 12], [0, 0, 1]]), 32, 24)
SHARP = np.repeat(np.random.default_rng(0).integers(0, 256, (24, 32, 1), dtype=np.uint8), 3, axis=2)
EVEN = np.full((24, 32, 3), 128, np.uint8)


def parameters(**changes: Any) -> Any:
    """What capturing and requests read of the node's parameters, at their defaults but for ``changes``."""
    defaults = {
        "target_frame": "base", "camera_frame": "", "image_is_rectified": False, "sync_tolerance_s": 0.01,
        "max_image_age_s": 1.0, "silent_after_s": 2.0, "min_sharpness": 5.0, "motion_window_s": 0.1,
        "max_camera_speed_m_s": 0.02, "max_camera_turn_rate_rad_s": 0.1, "min_views": 3, "max_views": 16,
        "roi_m": [], "support_height_m": math.nan,
    }  # fmt: skip
    options = Options(min_views=changes.get("min_views", 3), max_faces=5000)
    return SimpleNamespace(**(vars(options) | defaults | changes), options=options)


def at(message: Any, seconds: float, frame: str = "camera") -> Any:
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(round(seconds * SECOND), SECOND)
    message.header.frame_id = frame
    return message


def photo(seconds: float, picture: np.ndarray = SHARP, frame: str = "camera") -> Image:
    return at(array_to_image(picture, "rgb8"), seconds, frame)


def info(seconds: float, focal: float = 50.0) -> CameraInfo:
    K = np.array([[focal, 0, 16], [0, focal, 12], [0, 0, 1]])
    return at(camera_to_camera_info(Camera(K, 32, 24)), seconds)


def pose(x: float = 0.0, turn: float = 0.0) -> np.ndarray:
    T = np.eye(4)
    T[:2, :2] = [[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]]
    T[0, 3] = x
    return T


def transforms(*moments: tuple[float, np.ndarray], child: str = "camera", parent: str = "base") -> TransformBuffer:
    from geometry_msgs.msg import TransformStamped

    buffer = TransformBuffer(60.0)
    for seconds, T in moments:
        message = at(TransformStamped(child_frame_id=child, transform=matrix_to_transform(T)), seconds, parent)
        buffer.insert(message, static=False)
    return buffer


STILL = ((5.0, pose(0.3)), (20.0, pose(0.3)))


class Topics:
    """The kept messages of each input, as the node's callbacks leave them."""

    def __init__(self, **messages: list[Any]) -> None:
        self.by_name = {name: Input(name) for name in messages}
        for name, kept in messages.items():
            self.by_name[name].messages.extend(kept)

    def __getitem__(self, name: str) -> Input:
        return self.by_name[name]

    def explain_silence(self, name: str, silent_after_s: float) -> str:
        return f"{name} silent for {silent_after_s} s"


def newest(topics: Topics, tf: TransformBuffer | None = None, now: float = 10.2, **changes: Any) -> CapturedView:
    made = parameters(**changes)
    capture = Capture(topics, tf or transforms(*STILL), lambda: made, lambda: round(now * SECOND))  # type: ignore
    return capture.newest_good_view()


def refused(code: ErrorCode, topics: Topics, *words: str, **how: Any) -> None:
    with pytest.raises(ReconstructionError) as caught:
        newest(topics, **how)
    assert caught.value.code is code, caught.value.message
    for word in words:
        assert word in caught.value.message


def test_the_newest_image_becomes_a_view_with_the_pose_at_its_stamp() -> None:
    topics = Topics(image=[photo(9.9), photo(10.0)], camera_info=[info(10.0)])
    slowly = transforms((9.0, pose(0.0)), (11.0, pose(0.02)))
    found = newest(topics, slowly)
    assert found.stamp == 10 * SECOND
    np.testing.assert_allclose(found.view.T_world_camera, pose(0.01), atol=1e-12)
    np.testing.assert_array_equal(found.view.image, SHARP)
    np.testing.assert_allclose(found.view.camera.K, CAMERA.K)
    assert found.view.depth is None and found.view.mask is None


def test_the_intrinsics_are_those_of_the_camera_info_nearest_in_time() -> None:
    topics = Topics(image=[photo(10.0)], camera_info=[info(9.0, 40.0), info(10.02, 50.0), info(10.1, 60.0)])
    assert newest(topics).view.camera.K[0, 0] == 50.0


def test_a_sharp_image_serves_while_the_newest_is_blurred() -> None:
    topics = Topics(image=[photo(9.8), photo(10.0, EVEN)], camera_info=[info(10.0)])
    assert newest(topics).stamp == round(9.8 * SECOND)
    refused(ErrorCode.BLURRED_IMAGE, Topics(image=[photo(10.0, EVEN)], camera_info=[info(10.0)]), "0.0", "min_sharp")
    assert newest(topics, min_sharpness=0.0).stamp == 10 * SECOND


def test_an_image_serves_while_the_newest_waits_for_its_transform() -> None:
    topics = Topics(image=[photo(9.8), photo(10.0)], camera_info=[info(10.0)])
    late = transforms((5.0, pose()), (9.9, pose()))
    assert newest(topics, late).stamp == round(9.8 * SECOND)
    later = transforms((5.0, pose()), (9.5, pose()))  # for neither: what is wrong with the newest is named
    refused(ErrorCode.TRANSFORM_UNAVAILABLE, topics, "0.500 s older", tf=later)


def test_an_image_is_stale_from_its_age_on_and_no_older_one_is_taken() -> None:
    topics = Topics(image=[photo(9.0), photo(9.2)], camera_info=[info(10.0)])
    assert newest(topics, now=10.2).stamp == round(9.2 * SECOND)
    refused(ErrorCode.STALE_IMAGE, topics, "1.05 s old", "max_image_age_s (1 s)", now=10.25)
    assert newest(topics, now=10.25, max_image_age_s=1.1).stamp == round(9.2 * SECOND)


@pytest.mark.parametrize(
    ("moved", "limits", "code"),
    [
        (pose(0.0015), {}, None),  # metres in a tenth of a second
        (pose(0.0025), {}, ErrorCode.CAMERA_MOVING),
        (pose(0.0025), {"max_camera_speed_m_s": 0.03}, None),
        (pose(0.0, 0.008), {}, None),  # radians in a tenth of a second
        (pose(0.0, 0.012), {}, ErrorCode.CAMERA_MOVING),
        (pose(0.0, 0.012), {"max_camera_turn_rate_rad_s": 0.2}, None),
        (pose(0.0025), {"motion_window_s": 0.2}, None),  # it stood before: half the speed over twice the time
    ],
)
def test_a_camera_is_still_below_both_its_limits(moved: np.ndarray, limits: dict[str, Any], code: Any) -> None:
    """And while it moves no image from before counts, which is from where the camera no longer is."""
    topics = Topics(image=[photo(9.7), photo(10.0)], camera_info=[info(10.0)])
    tf = transforms((5.0, pose()), (9.9, pose()), (10.0, moved))
    if code is None:
        assert newest(topics, tf, **limits).stamp == 10 * SECOND
    else:
        refused(code, topics, "0.1 s before the image", tf=tf, **limits)


def test_the_frame_is_the_headers_unless_a_parameter_names_one() -> None:
    topics = Topics(image=[photo(10.0, frame="lens")], camera_info=[info(10.0)])
    assert newest(topics, transforms(*STILL, child="lens")).stamp == 10 * SECOND
    refused(ErrorCode.TRANSFORM_UNAVAILABLE, topics, "'lens'")
    assert newest(topics, camera_frame="camera").stamp == 10 * SECOND
    nameless = Topics(image=[photo(10.0, frame="")], camera_info=[info(10.0)])
    refused(ErrorCode.TRANSFORM_UNAVAILABLE, nameless, "no frame_id")


def test_silent_topics_are_named_with_why() -> None:
    refused(ErrorCode.NO_IMAGE, Topics(image=[], camera_info=[info(10.0)]), "image silent for 2.0 s")
    refused(ErrorCode.NO_CAMERA_INFO, Topics(image=[photo(10.0)], camera_info=[]), "camera_info silent for 2.0 s")


DEPTH = np.full((24, 32), 0.7, np.float32)
MASK = np.pad(np.full((4, 6), 255, np.uint8), ((10, 10), (13, 13)))


@pytest.mark.parametrize(
    ("name", "make", "code"),
    [
        ("depth", lambda s: at(array_to_image(DEPTH, "32FC1"), s), ErrorCode.BAD_DEPTH),
        ("mask", lambda s: at(array_to_image(MASK, "mono8"), s), ErrorCode.BAD_MASK),
    ],
)
def test_depth_and_mask_are_those_of_the_image_within_the_tolerance(name: str, make: Any, code: ErrorCode) -> None:
    def topics(*seconds: float) -> Topics:
        return Topics(image=[photo(10.0)], camera_info=[info(10.0)], **{name: [make(s) for s in seconds]})

    found = newest(topics(9.9, 10.008, 10.1)).view
    expected = {"depth": DEPTH, "mask": MASK > 0}[name]
    np.testing.assert_array_equal(getattr(found, name), expected)
    assert getattr(found, {"depth": "mask", "mask": "depth"}[name]) is None
    refused(code, topics(9.9, 10.012), f"nearest {name} is 0.012 s from the image", "sync_tolerance_s (0.01 s)")
    assert getattr(newest(topics(9.9, 10.012), sync_tolerance_s=0.02).view, name) is not None
    refused(code, topics(), f"no {name} yet", f"{name} silent")


def captured(*eye: float, stamp: float = 0.0) -> CapturedView:
    return CapturedView(View(SHARP, CAMERA, look_at(np.array(eye), np.zeros(3))), round(stamp * SECOND))


def test_a_buffer_keeps_views_in_order_and_a_refused_one_changes_nothing() -> None:
    buffer = ViewBuffer()
    first, second = captured(0.3, 0, 0.3), captured(0.0, 0.3, 0.3)
    buffer.add(first, 0.01, 2)
    before = buffer.snapshot()
    buffer.add(second, 0.01, 2)
    assert before == (first,) and buffer.snapshot() == (first, second)
    with pytest.raises(ReconstructionError, match="2 views are held already") as caught:
        buffer.add(captured(-0.3, 0, 0.3), 0.01, 2)
    assert caught.value.code is ErrorCode.TOO_MANY_VIEWS
    with pytest.raises(ReconstructionError, match=r"8\.0 mm from where view 1 .*at least 10 mm") as caught:
        buffer.add(captured(0.0, 0.3, 0.308), 0.01, 3)
    assert caught.value.code is ErrorCode.DUPLICATE_VIEW
    assert buffer.snapshot() == (first, second)
    buffer.add(captured(0.0, 0.3, 0.308), 0.005, 3)
    assert len(buffer) == 3 and buffer.clear() == 3 and buffer.clear() == len(buffer) == 0


def ring(count: int, elevation: float) -> np.ndarray:
    turns = 2 * np.pi * np.arange(count) / count + 0.2
    height, radius = np.sin(elevation), np.cos(elevation)
    eyes = [0.4 * np.array([radius * np.cos(t), radius * np.sin(t), height]) for t in turns]
    return np.stack([look_at(eye, np.zeros(3)) for eye in eyes])


def test_coverage_is_the_part_of_the_sky_within_60_degrees_of_a_view_and_the_widest_turn_without_one() -> None:
    assert coverage(np.zeros((0, 4, 4))) == (0.0, 2 * math.pi)
    above = look_at(np.array([1e-4, 0, 0.4]), np.zeros(3))[None]
    share, gap = coverage(above)
    assert share == pytest.approx(0.5, abs=0.01)  # 1 - cos 60 degrees of a half sphere
    assert gap == pytest.approx(2 * math.pi)
    for count in (2, 3, 4, 8):
        share, gap = coverage(ring(count, math.radians(45)))
        assert gap == pytest.approx(2 * math.pi / count)
    assert share == pytest.approx(1.0)
    assert coverage(ring(4, 0.2))[0] > coverage(ring(2, 0.2))[0] > coverage(ring(2, 0.2)[:1])[0] > 0.1


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
    task = resolve(request, parameters(), THREE, tf)
    assert (task.frame, task.stamp) == ("tray", 7 * SECOND)
    np.testing.assert_allclose(task.T_frame_captured, pose(2.0), atol=1e-12)
    empty = resolve(Reconstruct.Request(target_frame="tray"), parameters(), (), NoTransforms())  # type: ignore[arg-type]
    assert empty.stamp == 0
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


def test_as_many_views_as_the_parameters_allow_are_taken_and_no_others() -> None:
    assert len(understood(Reconstruct.Request(), min_views=3, max_views=3)[0]) == 3
    with pytest.raises(ReconstructionError, match="captured so far: 3 views, min_views is 4") as caught:
        understood(Reconstruct.Request(), min_views=4)
    assert caught.value.code is ErrorCode.TOO_FEW_VIEWS
    with pytest.raises(ReconstructionError, match="the request carries 3 views, max_views is 2") as caught:
        understood(
            Reconstruct.Request(views=[carried((0.3, 0.1 * i, 0.3)) for i in range(3)]), min_views=2, max_views=2
        )
    assert caught.value.code is ErrorCode.TOO_MANY_VIEWS
