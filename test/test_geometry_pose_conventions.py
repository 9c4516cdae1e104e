# mypy: no-check-untyped-defs
"""Poses of another convention are named, right ones are not."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import rendered
from scipy.spatial.transform import Rotation

from mvgamba_ros.config.pose_conventions_config import PoseConventionsConfig
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.boxes import axis_parallel_box
from mvgamba_ros.geometry.pose_conventions import naming_conventions, recognise, refuse_other_conventions
from mvgamba_ros.geometry.se3 import OPENCV_FROM_OPENGL, inverse, look_at, rigid
from mvgamba_ros.options import Options
from mvgamba_ros.pipeline import reconstruct
from mvgamba_ros.types import Prompts, View

CONFIG = PoseConventionsConfig()
VIEWS = rendered.views(8)
GREY = [replace(view, image=np.full_like(view.image, 128)) for view in VIEWS]
LINK_FROM_OPTICAL = np.array([[0.0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
HALF_A_TURN = np.diag([-1.0, -1.0, 1.0, 1.0])
OPTIONS = Options(method="hull", segmenter="masks", hull_resolution=64, cloud_points=2000, max_faces=1000)


def given(convert, views=VIEWS):
    return [replace(view, T_world_camera=convert(view.T_world_camera)) for view in views]


def mirrored(T):
    return np.diag([1.0, -1.0, 1.0, 1.0]) @ T @ np.diag([1.0, -1.0, 1.0, 1.0])


def reordered(T):
    """A quaternion's w, x, y, z read as x, y, z, w."""
    x, y, z, w = Rotation.from_matrix(T[:3, :3]).as_quat()
    return rigid(Rotation.from_quat([w, x, y, z]).as_matrix(), T[:3, 3])


MISTAKES = {
    "OpenCV's in a file of OpenGL's": lambda T: T @ OPENCV_FROM_OPENGL,
    "world-to-camera": inverse,
    "are world-to-camera": lambda T: inverse(T) @ OPENCV_FROM_OPENGL,
    "link frame (x forward, z up)": lambda T: T @ inverse(LINK_FROM_OPTICAL),
    "x, y, z, w": lambda T: reordered(T),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_poses_of_another_convention_are_named_by_what_the_pictures_show(name):
    finding = recognise(given(MISTAKES[name]), CONFIG)
    assert finding is not None and finding.certain
    assert name in finding.sentence() and finding.agreeing >= 3 * finding.given
    with pytest.raises(ReconstructionError, match="look as if they") as caught:
        refuse_other_conventions(given(MISTAKES[name]), True, CONFIG)
    assert caught.value.code is ErrorCode.BAD_POSE


def test_right_poses_are_not_named_whatever_fails():
    upside_down = [replace(view, image=view.image[::-1, ::-1].copy()) for view in given(lambda T: T @ HALF_A_TURN)]
    for views in (VIEWS, VIEWS[:2], VIEWS[:1], GREY, upside_down, given(lambda T: HALF_A_TURN @ T)):
        assert recognise(views, CONFIG) is None
        refuse_other_conventions(views, True, CONFIG)
        with pytest.raises(ReconstructionError, match=r"^nothing was found$"), naming_conventions(views, CONFIG):
            raise ReconstructionError(ErrorCode.EMPTY_SILHOUETTE, "nothing was found")


def table(T):
    """A picture of a table with a pattern, 0.8 m wide, and nothing on it."""
    pattern = cv2.GaussianBlur(np.random.default_rng(1).integers(0, 256, (1024, 1024, 3), np.uint8), (0, 0), 3.0)
    pattern = cv2.normalize(pattern, None, 0, 255, cv2.NORM_MINMAX)
    camera = VIEWS[0].camera
    world = inverse(T)
    from_pattern = np.array([[0.8 / 1024, 0, -0.4], [0, 0.8 / 1024, -0.4], [0, 0, 1.0]])
    H = camera.K @ np.column_stack([world[:3, 0], world[:3, 1], world[:3, 3]]) @ from_pattern
    image = cv2.warpPerspective(pattern, H, (camera.width, camera.height))
    return View(image, camera, T)


def test_a_camera_that_is_turned_against_its_pictures_is_named():
    eyes = [np.array([0.3 * np.cos(a), 0.3 * np.sin(a), 0.35]) for a in np.radians([0.0, 45.0, 90.0, 135.0])]
    views = [table(look_at(eye, np.zeros(3))) for eye in eyes]
    finding = recognise(given(lambda T: T @ HALF_A_TURN, views), CONFIG)
    assert finding is not None and finding.certain and "turned about its optical axis" in finding.sentence()


def test_a_mirrored_world_is_named():
    turns = np.radians([0.0, 30.0, 60.0])
    eyes = [np.array([0.3 * np.cos(a), 0.3 * np.sin(a), 0.35]) for a in turns]
    views = [table(look_at(eye, np.zeros(3))) for eye in eyes]
    assert recognise(views, CONFIG) is None
    finding = recognise(given(mirrored, views), CONFIG)
    assert finding is not None and finding.certain and "mirrored" in finding.words
    refuse_other_conventions(views, False, CONFIG)
    with pytest.raises(ReconstructionError, match="mirrored"):  # suspicious in itself: every picture is upside down
        refuse_other_conventions(given(mirrored, views), False, CONFIG)


def test_a_mirrored_pose_is_named_with_its_determinant():
    T = VIEWS[0].T_world_camera @ np.diag([1.0, -1.0, 1.0, 1.0])
    with pytest.raises(ReconstructionError, match=r"mirrored \(determinant -1\).*left-handed") as caught:
        reconstruct([replace(VIEWS[0], T_world_camera=T, name="left"), *VIEWS[1:]], OPTIONS)
    assert caught.value.code is ErrorCode.BAD_POSE and "left" in caught.value.message


def test_plain_pictures_make_a_convention_likely_and_no_more():
    upside = given(lambda T: T @ OPENCV_FROM_OPENGL, GREY)
    finding = recognise(upside, CONFIG)
    assert finding is not None and not finding.certain and finding.matches == 0
    refuse_other_conventions(upside, True, CONFIG)
    with (
        pytest.raises(ReconstructionError, match=r"^no middle\. Perhaps the poses have the camera axes of") as caught,
        naming_conventions(upside, CONFIG),
    ):
        raise ReconstructionError(ErrorCode.BAD_ROI, "no middle")
    assert caught.value.code is ErrorCode.BAD_ROI


@pytest.mark.parametrize("name", ["OpenCV's in a file of OpenGL's", "world-to-camera"])
def test_a_reconstruction_that_fails_for_its_poses_names_their_convention(name):
    roi = axis_parallel_box(rendered.CENTER - 0.08, rendered.CENTER + 0.08)
    for options in (OPTIONS, replace(OPTIONS, prompts=Prompts(roi=roi))):
        with pytest.raises(ReconstructionError) as caught:
            reconstruct(given(MISTAKES[name]), options)
        assert caught.value.code is ErrorCode.BAD_POSE and name in caught.value.message
        assert "As they are: " in caught.value.message


def test_other_failures_keep_their_code():
    with pytest.raises(ReconstructionError) as caught, naming_conventions(given(inverse), CONFIG):
        raise ReconstructionError(ErrorCode.CANCELLED, "cancelled")
    assert caught.value.code is ErrorCode.CANCELLED
