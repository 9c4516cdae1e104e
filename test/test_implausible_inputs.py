# mypy: no-check-untyped-defs
"""Values that no robot's camera gives are refused by name, with the remedy; what a robot's camera gives passes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import rendered

from mvgamba_ros.checks import check_views
from mvgamba_ros.config import ReconstructionConfig
from mvgamba_ros.config.views_config import ViewsConfig
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.boxes import axis_parallel_box
from mvgamba_ros.geometry.plausibility import check_depth, check_lens, check_unit
from mvgamba_ros.geometry.se3 import look_at
from mvgamba_ros.options import Options
from mvgamba_ros.pipeline import reconstruct
from mvgamba_ros.types import Camera, Prompts

VIEWS = rendered.views(4)
ROI = axis_parallel_box(rendered.CENTER - 0.07, rendered.CENTER + 0.07)


NOTHING_KNOWN = Prompts()


def refused(code, *words, views=VIEWS, prompts=NOTHING_KNOWN, config=ViewsConfig()):
    with pytest.raises(ReconstructionError) as caught:
        check_views(views, Options(prompts=prompts, config=ReconstructionConfig(views=config)))
    assert caught.value.code is code, caught.value.message
    for word in words:
        assert word in caught.value.message
    return caught.value.message


def lens(fx, fy, cx, cy, width=640, height=480):
    return Camera(np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]]), width, height)


@pytest.mark.parametrize(
    ("camera", "words"),
    [
        (lens(0.96, 1.28, 0.5, 0.5), "multiply the first row of K by the width"),
        (lens(1845.0, 1845.0, 960.0, 540.0), "(960.0, 540.0) px lies outside a 640 x 480 picture"),
        (lens(900.0, 900.0, 640.0, 360.0), "(640.0, 360.0) px lies outside a 640 x 480 picture or at its edge"),
        (lens(1230.0, 1230.0, 640.0, 480.0), "centre of a 1280 x 960 picture, not of a 640 x 480 picture"),
        (lens(307.0, 307.0, 160.0, 120.0), "centre of a 320 x 240 picture, not of a 640 x 480 picture"),
        (lens(615.0, 615.0, 320.0, 240.0, 480, 640), "a quarter, as a phone's orientation tag does"),
        (lens(615.0, 615.0, 240.0, 320.0), "or are cx and cy exchanged"),
        (lens(35.0, 35.0, 320.0, 240.0), "35 px shows 168 degrees over the width"),
        (lens(615.0, 4.0, 320.0, 240.0), "4 px shows 178 degrees over the height"),
        (lens(20000.0, 20000.0, 320.0, 240.0), "20000 px shows 1.83 degrees"),
    ],
)
def test_intrinsics_that_no_lens_has_are_refused_with_their_value(camera, words):
    with pytest.raises(ReconstructionError) as caught:
        check_lens(camera, "left")
    assert caught.value.code is ErrorCode.BAD_CAMERA_INFO
    assert words in caught.value.message and caught.value.message.startswith("left: ")


@pytest.mark.parametrize(
    "camera",
    [
        lens(615.0, 615.0, 312.0, 251.0),
        lens(1520.0, 1526.0, 302.0, 247.0),  # a long lens
        lens(286.0, 286.0, 424.0, 400.0, 848, 800),  # a fisheye
        lens(615.0, 615.0, 320.0, 120.0),  # the lower part of a picture
    ],
)
def test_intrinsics_of_real_lenses_pass(camera):
    check_lens(camera, "left")


def test_crops_pass_where_the_settings_allow_them():
    corner = lens(615.0, 615.0, 700.0, -30.0)
    with pytest.raises(ReconstructionError, match="for a crop: a negative margin"):
        check_lens(corner, "left")
    check_lens(corner, "left", ViewsConfig(principal_point_margin=-0.2))
    check_lens(lens(307.0, 307.0, 160.0, 120.0), "left", ViewsConfig(resized_tolerance=0.0))


def test_a_views_intrinsics_and_depth_are_checked_under_its_name():
    K = VIEWS[1].camera.K * [[1], [1], [1]]
    K[:2, 2] *= 2.0
    bad = replace(VIEWS[1], camera=replace(VIEWS[1].camera, K=K), name="left")
    refused(ErrorCode.BAD_CAMERA_INFO, "left: ", "640 x 480", views=[VIEWS[0], bad])
    dark = replace(VIEWS[1], depth=np.zeros_like(VIEWS[1].depth), name="left")
    refused(ErrorCode.BAD_DEPTH, "left: ", "no depth is above 0", views=[VIEWS[0], dark])


def test_depth_in_another_unit_or_without_values_is_refused():
    depth = VIEWS[0].depth
    check_depth(depth, "depth")
    for wrong, words in (
        (np.full_like(depth, np.nan), "no depth is above 0"),
        (1000.0 * depth, "between 0.05 and 10 m"),
        (0.001 * depth, "between 0.05 and 10 m"),
    ):
        with pytest.raises(ReconstructionError, match=words) as caught:
            check_depth(wrong.astype(np.float32), "depth")
        assert caught.value.code is ErrorCode.BAD_DEPTH
    with pytest.raises(ReconstructionError, match=rf"median depth is {1e3 * np.median(depth):.4g} m.*millimetres"):
        check_depth(1000.0 * depth, "depth")
    behind = np.where(np.arange(depth.size).reshape(depth.shape) % 10 > 0, np.float32(30.0), depth)
    check_depth(behind, "depth")  # a table in a hall: a tenth of the picture is near
    check_depth(1000.0 * depth, "depth", ViewsConfig(max_depth=1e4))


def scaled(scale):
    T = [view.T_world_camera.copy() for view in VIEWS]
    for pose in T:
        pose[:3, 3] *= scale
    return [replace(view, T_world_camera=pose) for view, pose in zip(VIEWS, T, strict=True)]


def test_poses_in_another_unit_are_refused_with_their_distance():
    refused(ErrorCode.BAD_POSE, "400 m from what they look at", "millimetres? Give metres", views=scaled(1000.0))
    refused(ErrorCode.BAD_POSE, "40 m from what they look at", views=scaled(100.0))
    refused(ErrorCode.BAD_POSE, "0.004 m from what they look at", "min_working_distance", views=scaled(0.01))
    refused(ErrorCode.BAD_POSE, "400 m from what", views=scaled(1000.0), prompts=Prompts(roi=ROI, support_height=0.0))
    check_views(scaled(1000.0), Options(config=ReconstructionConfig(views=ViewsConfig(max_working_distance=1e3))))


@pytest.mark.parametrize("scale", [0.1, 1.0, 12.0])
def test_the_scale_of_structure_from_motion_passes(scale):
    check_views(scaled(scale), Options())


def test_cameras_with_parallel_axes_are_held_to_their_distance_from_each_other():
    def row(step):
        down = look_at(np.array([0.0, 0.0, 0.5]), np.zeros(3))
        T = [down.copy() for _ in range(3)]
        for index, pose in enumerate(T):
            pose[0, 3] = step * index
        return [replace(view, T_world_camera=pose) for view, pose in zip(VIEWS, T, strict=False)]

    check_unit(row(0.1), Prompts())
    with pytest.raises(ReconstructionError, match=r"about 200 m apart.*millimetres"):
        check_unit(row(100.0), Prompts())


def test_a_region_or_a_support_height_in_millimetres_is_refused():
    large = replace(ROI, size=1000.0 * ROI.size)
    refused(ErrorCode.BAD_ROI, "size [140.0, 140.0, 140.0] m: is it in millimetres", prompts=Prompts(roi=large))
    T = ROI.T_world_box.copy()
    T[:3, 3] *= 1000.0
    refused(ErrorCode.BAD_ROI, "m from the nearest camera", prompts=Prompts(roi=replace(ROI, T_world_box=T)))
    refused(ErrorCode.BAD_ROI, "support height 750 m", "millimetres", prompts=Prompts(support_height=750.0))
    check_views(VIEWS, Options(prompts=Prompts(roi=ROI, support_height=-0.75)))


def test_numbers_among_the_depth_that_no_sensor_reads_count_as_unknown():
    """As uninitialised memory holds them, and sensors' marks; they overflow where depth is squared or inverted."""
    rng, odd = np.random.default_rng(0), np.array([1e-44, 1e-38, 3e38, np.inf, np.nan, -1.0], np.float32)
    views = []
    for view in VIEWS:
        noise = np.where(rng.random(view.depth.shape) < 0.4, rng.choice(odd, view.depth.shape), view.depth)
        views.append(replace(view, depth=noise))
    checked, _ = check_views(views, Options())
    for given, view in zip(VIEWS, checked, strict=True):
        assert ((view.depth == 0.0) | (view.depth == given.depth)).all() and (view.depth > 0.0).mean() > 0.5
    result = reconstruct(views, Options(refine=False, segmenter="masks", hull_resolution=48, cloud_points=500))
    assert result.mesh.vertices[:, 2].max() == pytest.approx(rendered.CENTER[2] + rendered.SIZE[2] / 2, abs=0.01)
