"""Which of the newest images becomes a view, and how views are kept: without a node."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy")

from geometry_msgs.msg import TransformStamped
from ros_messages import (
    CAMERA,
    EVEN,
    MASK,
    SECOND,
    SHARP,
    STILL,
    at,
    captured,
    info,
    parameters,
    photo,
    pose,
    transforms,
)  # fmt: skip

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.se3 import look_at
from mvgamba_ros.geometry.view_coverage import coverage
from mvgamba_ros.ros.conversions.geometry import camera_to_camera_info, matrix_to_transform
from mvgamba_ros.ros.conversions.images import array_to_image
from mvgamba_ros.ros.inputs import Input
from mvgamba_ros.ros.transforms import TransformBuffer
from mvgamba_ros.ros.view_buffer import CapturedView, ViewBuffer
from mvgamba_ros.ros.view_capture import Capture
from mvgamba_ros.types import Camera

pytestmark = pytest.mark.ros


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
    assert newest(topics, now=8.5).stamp == round(9.2 * SECOND)
    refused(ErrorCode.STALE_IMAGE, topics, "9.20 s ahead of the node's clock", "use_sim_time", now=0.0)


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
    topics = Topics(image=[photo(10.0, frame="lens")], camera_info=[at(info(10.0), 10.0, "lens")])
    assert newest(topics, transforms(*STILL, child="lens")).stamp == 10 * SECOND
    refused(ErrorCode.TRANSFORM_UNAVAILABLE, topics, "'lens'")
    assert newest(topics, camera_frame="camera").stamp == 10 * SECOND
    nameless = Topics(image=[photo(10.0, frame="")], camera_info=[info(10.0)])
    refused(ErrorCode.TRANSFORM_UNAVAILABLE, nameless, "no frame_id")


def test_silent_topics_are_named_with_why() -> None:
    refused(ErrorCode.NO_IMAGE, Topics(image=[], camera_info=[info(10.0)]), "image silent for 2.0 s")
    refused(ErrorCode.NO_CAMERA_INFO, Topics(image=[photo(10.0)], camera_info=[]), "camera_info silent for 2.0 s")


DEPTH = np.full((24, 32), 0.7, np.float32)


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


def test_what_belongs_to_another_camera_is_refused_by_topic_and_frame() -> None:
    def topics(**frames: str) -> Topics:
        made = {
            "camera_info": info(10.0),
            "depth": at(array_to_image(DEPTH, "32FC1"), 10.0),
            "mask": at(array_to_image(MASK, "mono8"), 10.0),
        }
        for name, frame in frames.items():
            made[name].header.frame_id = frame
        return Topics(image=[photo(10.0)], **{name: [message] for name, message in made.items()})

    newest(topics(camera_info="", depth="/camera", mask="camera"))
    for name, code in (
        ("camera_info", ErrorCode.BAD_CAMERA_INFO),
        ("depth", ErrorCode.BAD_DEPTH),
        ("mask", ErrorCode.BAD_MASK),
    ):
        refused(code, topics(**{name: "infrared"}), "image is in frame 'camera'", f"{name} in 'infrared'")
    newest(topics(camera_info="lens"), transforms(*STILL, child="lens"), camera_frame="lens")


def test_depth_in_a_frame_of_another_name_passes_where_that_frame_is_in_the_same_place() -> None:
    depth = at(array_to_image(DEPTH, "32FC1"), 10.0, "infrared")
    topics = Topics(image=[photo(10.0)], camera_info=[info(10.0)], depth=[depth])
    for offset, code in ((0.0005, None), (0.015, ErrorCode.BAD_DEPTH)):
        tf = transforms(*STILL)
        for seconds in (5.0, 20.0):
            beside = TransformStamped(child_frame_id="infrared", transform=matrix_to_transform(pose(offset)))
            tf.insert(at(beside, seconds, "camera"), static=False)
        if code is None:
            assert newest(topics, tf).view.depth is not None
        else:
            refused(code, topics, "'infrared'", tf=tf)


def test_values_that_no_camera_gives_are_refused_at_the_capture() -> None:
    refused(ErrorCode.BAD_CAMERA_INFO, Topics(image=[photo(10.0)], camera_info=[info(10.0, 1.0)]), "1 px shows 173")
    depth = at(array_to_image(1000.0 * DEPTH, "32FC1"), 10.0)
    topics = Topics(image=[photo(10.0)], camera_info=[info(10.0)], depth=[depth])
    refused(ErrorCode.BAD_DEPTH, topics, "median depth is 700 m", "millimetres")


def seen(shift: int = 0, noise: float = 0.0, seed: int = 0) -> np.ndarray:
    """A finely textured scene, moved by ``shift`` pixels to the left, with noise."""
    scene = cv2.GaussianBlur(np.random.default_rng(1).normal(0, 255, (240, 400, 1)).astype(np.float32), (0, 0), 3.0)
    scene = 128 + 50 * scene[:, shift : shift + 320] / scene.std()
    scene = scene + np.random.default_rng(seed).normal(0, noise, scene.shape)
    return np.repeat(scene.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)


def large_info(seconds: float) -> Any:
    return at(camera_to_camera_info(Camera(np.array([[300.0, 0, 160], [0, 300, 120], [0, 0, 1]]), 320, 240)), seconds)


def test_pictures_that_move_while_the_camera_stands_by_tf_are_late() -> None:
    for shift, code in ((0, None), (1, None), (6, ErrorCode.CAMERA_MOVING), (60, ErrorCode.CAMERA_MOVING)):
        images = [photo(9.97, seen(noise=5, seed=2)), photo(10.0, seen(shift, noise=5, seed=3))]
        topics = Topics(image=images, camera_info=[large_info(10.0)])
        if code is None:
            assert newest(topics).stamp == 10 * SECOND
        else:
            refused(code, topics, "of the picture moved", "though the camera stood by TF")
    bright = [photo(9.97, seen(noise=5, seed=2)), photo(10.0, (seen() * 0.7).astype(np.uint8))]
    assert newest(Topics(image=bright, camera_info=[large_info(10.0)])).stamp == 10 * SECOND
    moving = transforms((5.0, pose(0.0)), (9.97, pose(0.0)), (9.98, pose(0.0012)), (20.0, pose(0.0012)))
    images = [photo(9.97, seen()), photo(10.0, seen(6))]  # TF moved as well, slowly enough
    assert newest(Topics(image=images, camera_info=[large_info(10.0)]), moving).stamp == 10 * SECOND


def test_a_picture_that_stays_while_the_camera_moves_by_tf_is_frozen() -> None:
    topics = Topics(image=[photo(10.0, seen(noise=5, seed=2))], camera_info=[large_info(10.0)])
    tf = transforms(*((t, pose(x)) for t, x in ((5, 0.0), (12, 0.0), (13, 0.05), (16, 0.05), (17, 0.07), (20, 0.07))))
    made, now = parameters(), [10.2]
    capture = Capture(topics, tf, lambda: made, lambda: round(now[0] * SECOND))  # type: ignore
    capture.newest_good_view()
    now[0] = 15.1
    topics["image"].messages.extend([photo(15.0, seen(noise=5, seed=3))])
    with pytest.raises(ReconstructionError, match=r"by TF the camera has moved 50 mm since.*frozen") as caught:
        capture.newest_good_view()
    assert caught.value.code is ErrorCode.STALE_IMAGE
    now[0] = 15.6
    topics["image"].messages.clear()
    topics["image"].messages.extend([photo(15.5, seen(40, noise=5, seed=4))])
    assert capture.newest_good_view().stamp == round(15.5 * SECOND)
    now[0] = 19.1
    topics["image"].messages.extend([photo(19.0, seen(41, noise=5, seed=5))])  # of 20 mm towards the object
    assert capture.newest_good_view().stamp == 19 * SECOND


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
