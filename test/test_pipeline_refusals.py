# mypy: no-check-untyped-defs
"""Bad input of the whole job: each its own code, value and remedy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import rendered

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.boxes import axis_parallel_box
from mvgamba_ros.pipeline import Options, reconstruct
from mvgamba_ros.types import Box, Prompts

SMALL = Options(method="hull", segmenter="masks", hull_resolution=64, cloud_points=4000, max_faces=2000)


@pytest.fixture(scope="module")
def views():
    return rendered.views(6)


def fails(code, views, options=SMALL, match=""):
    with pytest.raises(ReconstructionError, match=match) as error:
        reconstruct(views, options)
    assert error.value.code == code, error.value
    return error.value.message


def test_too_few_views_are_refused(views):
    message = fails(ErrorCode.TOO_FEW_VIEWS, views[:2], replace(SMALL, min_views=3))
    assert "2 view" in message and "3" in message
    fails(ErrorCode.TOO_FEW_VIEWS, [])


def test_one_view_that_says_nothing_of_distance_is_refused(views):
    fails(ErrorCode.TOO_FEW_VIEWS, [replace(views[0], depth=None)], match="add a view")


def test_a_pose_that_is_not_rigid_is_refused_by_view(views):
    for T in (np.full((4, 4), np.nan), np.diag([1.1, 1.1, 1.1, 1.0])):
        fails(ErrorCode.BAD_POSE, [views[0], replace(views[1], T_world_camera=T, name="second")], match="second")


def test_two_pictures_from_one_place_mean_a_wrong_pose(views):
    stale = replace(views[1], T_world_camera=views[0].T_world_camera)
    fails(ErrorCode.DUPLICATE_VIEW, [views[0], stale, *views[2:]], match="same place")


def test_the_same_view_twice_counts_once_and_is_noted(views):
    twice = reconstruct([*views[:3], views[0]], SMALL)
    assert any("count as one" in note for note in twice.notes)
    fails(ErrorCode.TOO_FEW_VIEWS, [views[0], views[0], views[1]], replace(SMALL, min_views=3), match="2 view")


def test_images_masks_and_depths_of_the_wrong_kind_are_refused(views):
    first = views[0]
    fails(ErrorCode.BAD_IMAGE, [replace(first, image=first.image[..., 0]), *views[1:]])
    fails(ErrorCode.BAD_IMAGE, [replace(first, image=first.image.astype(np.float32)), *views[1:]])
    fails(ErrorCode.BAD_CAMERA_INFO, [replace(first, image=first.image[:-10]), *views[1:]], match="230")
    fails(ErrorCode.BAD_CAMERA_INFO, [replace(first, camera=replace(first.camera, K=np.zeros((3, 3)))), *views[1:]])
    fails(ErrorCode.BAD_MASK, [replace(first, mask=first.mask[:-10]), *views[1:]])
    fails(ErrorCode.BAD_MASK, [replace(first, mask=None), *views[1:]])
    fails(ErrorCode.BAD_MASK, [replace(first, mask=~first.mask), *views[1:]], match="is it inverted")
    fails(ErrorCode.BAD_DEPTH, [replace(first, depth=first.depth.astype(np.float64)), *views[1:]])


def test_empty_and_disagreeing_silhouettes_are_told_apart(views):
    empty = replace(views[0], mask=np.zeros_like(views[0].mask))
    fails(ErrorCode.EMPTY_SILHOUETTE, [empty, *views[1:3]])
    beside = np.zeros_like(views[1].mask)
    beside[5:60, 5:60] = True
    fails(ErrorCode.SILHOUETTES_DISAGREE, [views[0], replace(views[1], mask=beside), views[2]])


def test_a_region_behind_the_cameras_or_without_size_is_refused(views):
    above = Prompts(roi=axis_parallel_box(np.array([0.4, 0.0, 2.0]), np.array([0.5, 0.1, 2.1])))
    fails(ErrorCode.ROI_NOT_VISIBLE, views, replace(SMALL, prompts=above))
    flat = Prompts(roi=Box(np.eye(4), np.array([0.1, 0.0, 0.1])))
    fails(ErrorCode.BAD_ROI, views, replace(SMALL, prompts=flat), match="positive")
    fails(ErrorCode.BAD_ROI, views, replace(SMALL, prompts=Prompts(support_height=float("nan"))))


@pytest.mark.parametrize(
    "change, word",
    [
        ({"method": "nerf"}, "nerf"),
        ({"segmenter": "magic"}, "magic"),
        ({"max_faces": 3}, "max_faces 3"),
        ({"max_faces": 100.5}, "whole number"),
        ({"min_views": 0}, "min_views 0"),
        ({"cloud_points": 0}, "cloud_points 0"),
        ({"hull_resolution": 4096}, "hull_resolution"),
    ],
)
def test_options_out_of_range_are_refused_when_they_are_made(change, word):
    with pytest.raises(ReconstructionError, match=word) as error:
        Options(**change)
    assert error.value.code == ErrorCode.BAD_OPTION
