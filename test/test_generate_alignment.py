"""A generated shape becomes metric: similarity registration to one picture, to two, and what makes scale known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
import pytest
from generated_objects import bottle, bracket, photograph
from oracle import canonical, true_similarity

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.generate.alignment import Alignment, align
from mvgamba_ros.generate.alignment_config import AlignmentConfig
from mvgamba_ros.generate.similarity import Similarity
from mvgamba_ros.types import Mesh

OBJECTS = {"bottle": bottle, "bracket": bracket}


def errors(found: Alignment, truth: Similarity) -> tuple[float, float]:
    """Of the scale, as a part of it, and of the position, millimetres."""
    return found.similarity.scale / truth.scale - 1.0, 1e3 * float(np.linalg.norm(found.similarity.t - truth.t))


@pytest.mark.parametrize("make", OBJECTS.values(), ids=OBJECTS)
def test_one_depth_picture_gives_scale_within_a_hundredth_and_place_within_two_millimetres(
    make: Callable[[], Mesh],
) -> None:
    mesh, view = make(), photograph(make())
    found = align(canonical(mesh, view.T_world_camera), [view], None, photo_azimuth=0.0)
    scale, place = errors(found, true_similarity(mesh, view.T_world_camera))
    assert abs(scale) < 0.01 and place < 2.0
    assert found.cues == ("depth",) and found.silhouette_iou > 0.98
    assert abs(scale) < 3.0 * found.scale_sigma < 0.1 and place < 3.0 * found.position_sigma_mm < 15.0


@pytest.mark.parametrize("make", OBJECTS.values(), ids=OBJECTS)
def test_one_colour_picture_of_what_stands_on_a_known_plane_gives_scale_within_three_hundredths(
    make: Callable[[], Mesh],
) -> None:
    mesh, view = make(), photograph(make(), with_depth=False)
    found = align(canonical(mesh, view.T_world_camera), [view], 0.0, photo_azimuth=0.0)
    scale, place = errors(found, true_similarity(mesh, view.T_world_camera))
    assert abs(scale) < 0.03 and place < 5.0
    assert found.cues == ("the support plane",)


def test_two_colour_pictures_give_the_scale_without_a_plane() -> None:
    mesh = bracket()
    views = [photograph(mesh, azimuth, with_depth=False) for azimuth in (30.0, 100.0)]
    found = align(canonical(mesh, views[0].T_world_camera), views, None, photo_azimuth=0.0)
    scale, place = errors(found, true_similarity(mesh, views[0].T_world_camera))
    assert abs(scale) < 0.01 and place < 2.0
    assert found.cues == ("the camera poses of several views",)


def test_a_shape_whose_front_the_generator_does_not_tell_is_turned_the_right_way() -> None:
    mesh, view = bracket(), photograph(bracket())
    truth = true_similarity(mesh, view.T_world_camera)
    found = align(canonical(mesh, view.T_world_camera), [view], 0.0)
    off = np.degrees(np.arccos(np.clip((np.trace(found.similarity.R.T @ truth.R) - 1.0) / 2.0, -1.0, 1.0)))
    assert off < 3.0


def test_a_generator_that_takes_its_picture_to_be_level_is_tipped_back() -> None:
    mesh, view = bracket(), photograph(bracket())
    truth = true_similarity(mesh, view.T_world_camera)
    tip = np.radians(35.0)
    c, s = np.cos(tip), np.sin(tip)
    tipped = np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])  # what looks down from +x looks level
    made = canonical(mesh, view.T_world_camera)
    found = align(replace(made, vertices=made.vertices @ tipped.T), [view], 0.0, photo_azimuth=0.0)
    off = np.degrees(np.arccos(np.clip((np.trace(found.similarity.R @ tipped @ truth.R.T) - 1.0) / 2.0, -1.0, 1.0)))
    assert off < 3.0 and abs(errors(found, truth)[0]) < 0.01


def test_a_scale_that_nothing_measures_is_refused_with_what_would() -> None:
    view = photograph(bracket(), with_depth=False)
    with pytest.raises(ReconstructionError, match="give depth, the height of the plane") as refused:
        align(canonical(bracket(), view.T_world_camera), [view], None)
    assert refused.value.code is ErrorCode.TOO_FEW_VIEWS


def test_an_alignment_stops_where_it_is_cancelled() -> None:
    view = photograph(bracket())
    with pytest.raises(ReconstructionError, match="cancelled"):
        align(canonical(bracket(), view.T_world_camera), [view], 0.0, cancelled=lambda: True)


def test_every_setting_works_at_both_ends_of_its_range() -> None:
    mesh, view = bracket(), photograph(bracket())
    made = canonical(mesh, view.T_world_camera)
    quick = AlignmentConfig(side=48, coarse_side=24, turns=4, steps=2, kept=1)
    for setting in fields(AlignmentConfig):
        if setting.name in ("side", "coarse_side", "guess_side", "turns", "steps", "kept", "elevations"):
            continue  # their upper ends only take long
        for end in ("low", "high"):
            config = replace(quick, **{setting.name: type(setting.default)(setting.metadata[end])})
            try:
                assert np.isfinite(align(made, [view], 0.0, config=config).similarity.scale)
            except ReconstructionError as error:
                assert error.code in (ErrorCode.TOO_FEW_VIEWS, ErrorCode.SILHOUETTES_DISAGREE), setting.name


def test_a_step_about_a_point_moves_it_by_the_step_alone() -> None:
    begun = Similarity(0.3, np.eye(3), np.array([1.0, 2.0, 3.0]))
    about = begun.points(np.array([0.2, 0.1, -0.3]))
    moved = begun.stepped(np.array([0.1, 0.0, 0.2, 0.01, 0.02, 0.03, 0.5]), about)
    assert moved.points(np.array([0.2, 0.1, -0.3])) == pytest.approx(about + np.array([0.01, 0.02, 0.03]))
    assert moved.scale == pytest.approx(0.3 * np.exp(0.5))
