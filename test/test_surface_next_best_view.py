"""Suggested views are where something unseen is, free, above the table, level, and better than chance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import rendered

from mvgamba_ros.geometry.se3 import look_at
from mvgamba_ros.geometry.view_coverage import coverage
from mvgamba_ros.options import Options
from mvgamba_ros.pipeline import reconstruct
from mvgamba_ros.reconstruction import Reconstruction
from mvgamba_ros.surface.next_best_view import (
    fitting_distance,
    poses_around,
    reachable,
    views_of_the_uncovered,
    views_of_the_unsure,
)
from mvgamba_ros.types import View

NONE = np.empty((0, 4, 4))
CENTER = rendered.CENTER


def directions(poses: np.ndarray) -> np.ndarray:
    away = poses[:, :3, 3] - CENTER
    return away / np.linalg.norm(away, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def front() -> list[View]:
    """Three views from the side of +x."""
    away = [[0.9, 0.45 * side, 0.4 + 0.1 * abs(side)] for side in (-1, 0, 1)]
    return [rendered.render(look_at(CENTER + 0.4 * np.array(d), CENTER)) for d in away]


@pytest.fixture(scope="module")
def result(front: list[View]) -> Reconstruction:
    return reconstruct(front, Options(method="hull", use_masks=True, refine_poses="off"))


@pytest.fixture(scope="module")
def held(front: list[View]) -> np.ndarray:
    return np.array([view.T_world_camera for view in front])


@pytest.fixture(scope="module")
def free(held: np.ndarray) -> np.ndarray:
    return reachable(poses_around(CENTER, 0.4, (10.0, 75.0)), CENTER, held, 0.05, 0.0)


def test_candidates_aim_at_the_object_level_and_within_the_elevations() -> None:
    poses = poses_around(CENTER, 0.4, (10.0, 75.0))
    assert len(poses) > 100
    np.testing.assert_allclose(poses[:, :3, 2], -directions(poses), atol=1e-9)
    np.testing.assert_allclose(poses[:, 2, 0], 0.0, atol=1e-9)  # the image's x axis is level
    assert (poses[:, 2, 1] < 0).all()  # and its y axis points down
    elevation = np.degrees(np.arcsin(directions(poses)[:, 2]))
    assert elevation.min() >= 10.0 and elevation.max() <= 75.0
    assert (directions(poses_around(CENTER, 0.4, (-30.0, 0.0)))[:, 2] <= 0).all()


def test_no_pose_is_below_the_table_or_from_where_a_view_is_held(held: np.ndarray, free: np.ndarray) -> None:
    assert np.linalg.norm(free[:, None, :3, 3] - held[:, :3, 3], axis=2).min() >= 0.05
    assert (directions(free) @ directions(held).T).max() < np.cos(np.radians(12.0))
    raised = reachable(poses_around(CENTER, 0.4, (0.0, 75.0)), CENTER, held, 0.05, 0.2)
    assert 0 < len(raised) < len(free) and raised[:, 2, 3].min() > 0.2


def test_the_first_suggestion_sees_the_back(result: Reconstruction, front: list[View], free: np.ndarray) -> None:
    found = views_of_the_unsure(result, front[0].camera, free, NONE, 5)
    assert directions(found.T_world_camera)[0, 0] < -0.5
    assert len(found.gains) == 5 and (np.diff(found.gains) > 0).all() and 0 < found.gains[0] < found.gains[-1] <= 1
    turned = directions(found.T_world_camera) @ directions(found.T_world_camera).T
    assert turned[~np.eye(5, dtype=bool)].max() < np.cos(np.radians(12.0))
    one = views_of_the_unsure(result, front[0].camera, free, NONE, 1)
    np.testing.assert_array_equal(one.T_world_camera, found.T_world_camera[:1])


def test_what_a_view_taken_since_shows_is_not_suggested_again(
    result: Reconstruction, front: list[View], free: np.ndarray
) -> None:
    first = views_of_the_unsure(result, front[0].camera, free, NONE, 1)
    second = views_of_the_unsure(result, front[0].camera, free, first.T_world_camera, 1)
    assert second.gains[0] < first.gains[0]
    assert (directions(first.T_world_camera) @ directions(second.T_world_camera).T)[0, 0] < np.cos(np.radians(30.0))


def test_what_the_camera_cannot_see_counts_for_nothing(
    result: Reconstruction, front: list[View], free: np.ndarray
) -> None:
    away = free.copy()
    away[:, :3, 3] += 5.0 * free[:, :3, 0]  # the object lies out of every picture
    assert len(views_of_the_unsure(result, front[0].camera, away, NONE, 5).gains) == 0
    blind = replace(result, mesh=replace(result.mesh, vertices=3.0 * (result.mesh.vertices - CENTER) + CENTER))
    assert len(views_of_the_unsure(blind, front[0].camera, free, NONE, 5).gains) == 0  # its points lie inside that


def test_without_a_shape_directions_that_nobody_covers_come_first(held: np.ndarray, free: np.ndarray) -> None:
    found = views_of_the_uncovered(CENTER, free, held, 5)
    assert directions(found.T_world_camera)[0, 0] < 0
    before, after = coverage(held)[0], coverage(np.concatenate([held, found.T_world_camera]))[0]
    assert before < 0.7 and after == pytest.approx(before + (1 - before) * found.gains[-1], abs=0.02)
    assert len(views_of_the_uncovered(CENTER, free, np.concatenate([held, free]), 5).gains) == 0


def test_a_sphere_fills_the_picture_from_the_fitting_distance(front: list[View]) -> None:
    camera = front[0].camera
    distance = fitting_distance(0.1, camera)
    edge = np.arcsin(0.1 / distance)  # of the cone around the sphere
    assert camera.K[1, 1] * np.tan(edge) == pytest.approx(camera.height / 2)
