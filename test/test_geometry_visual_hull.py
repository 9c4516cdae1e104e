# mypy: no-check-untyped-defs
"""The visual hull has the size of what its silhouettes show, and bad silhouettes are named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import rendered
from shapes import FOUR_SIDES, camera, cuboid, see

from mvgamba_ros.config.hull_config import HullConfig
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.boxes import axis_parallel_box
from mvgamba_ros.geometry.se3 import look_at, quat_to_matrix
from mvgamba_ros.geometry.single_view import guess_box
from mvgamba_ros.geometry.visual_hull import carve
from mvgamba_ros.types import Box

CUBE = cuboid([-0.05, -0.05, -0.05], [0.05, 0.05, 0.05])
ALL_SIDES = [*FOUR_SIDES, [0.0, 0.001, 0.5]]
REACH = 0.05 * 0.5 / 0.45
"""How far the hull reaches on the middle of a face: another view bounds it by the cube's edge, 5 cm nearer to it."""


def cube_views(eyes=ALL_SIDES):
    return see(CUBE, eyes, [0.0, 0.0, 0.0], camera(focal=400.0))


def test_a_cube_seen_from_four_sides_and_above_is_carved_to_its_size():
    hull = carve(cube_views())
    np.testing.assert_allclose(hull.bounds()[:, :2], [[-REACH, -REACH], [REACH, REACH]], atol=1.5e-3)
    assert 1.0e-3 < hull.volume() < (2 * REACH) ** 3
    assert max(hull.values.shape) == 128


def test_a_long_object_gets_finer_voxels_and_no_more_of_them_than_a_cube():
    rod = cuboid([-0.1, -0.01, -0.01], [0.1, 0.01, 0.01])
    views = see(rod, ALL_SIDES, [0.0, 0.0, 0.0], camera(focal=400.0))
    hull = carve(views)
    assert HullConfig().max_refinement * 120 < max(hull.values.shape) <= HullConfig().max_refinement * 128
    assert hull.values.size < HullConfig().flat_share * 128**3


def test_every_point_of_the_object_is_inside_its_hull():
    hull = carve(cube_views())
    points = np.random.default_rng(0).uniform(-0.049, 0.049, (2000, 3))
    assert (hull.sample(points) > -1e-3).all()


def test_the_surface_is_finer_than_the_voxels():
    hull = carve(cube_views(), resolution=32)
    assert hull.voxel > 3e-3
    line = np.stack([np.zeros(400), np.linspace(0.03, 0.07, 400), np.zeros(400)], axis=1)
    crossing = line[np.flatnonzero(hull.sample(line) > 0)[-1], 1]
    assert crossing == pytest.approx(REACH, abs=1.5e-3)


def test_more_views_carve_more():
    diagonal = [[0.36, 0.36, 0.0], [-0.36, 0.36, 0.0]]
    few, many = carve(cube_views(ALL_SIDES[:3])), carve(cube_views([*ALL_SIDES, *diagonal]))
    assert many.volume() < few.volume()


def test_the_support_plane_cuts_what_no_view_from_above_can():
    eyes = [[0.4, 0.0, 0.4], [-0.2, 0.35, 0.4], [-0.2, -0.35, 0.4]]
    views = cube_views(eyes)
    free, standing = carve(views), carve(views, support_height=-0.05)
    assert free.bounds()[0, 2] < -0.07
    assert standing.bounds()[0, 2] == pytest.approx(-0.05, abs=2 * standing.voxel)


def test_a_turned_box_bounds_the_hull():
    T = np.eye(4)
    T[:3, :3] = quat_to_matrix(np.array([np.cos(0.3), 0.0, 0.0, np.sin(0.3)]))
    T[:3, 3] = [0.02, 0.0, 0.0]
    hull = carve(cube_views(), Box(T, np.array([0.04, 0.04, 0.04])))
    assert hull.volume() == pytest.approx(0.04**3, rel=0.03)
    axis_parallel = carve(cube_views(), np.array([[-0.02, -0.02, -0.02], [0.02, 0.02, 0.06]]))
    np.testing.assert_allclose(axis_parallel.bounds()[0], -0.02, atol=2 * axis_parallel.voxel)


def test_a_silhouette_cut_by_the_image_border_goes_on_beyond_it():
    low = camera(320, 240, 400.0)
    T = look_at(np.array([0.5, 0.0, 0.0]), np.array([0.0, 0.0, 0.15]))
    cut = see(CUBE, [[0.5, 0.0, 0.0]], [0.0, 0.0, 0.15], low)[0]
    assert cut.mask[-1].any()  # the object's lower part is out of the picture
    assert np.allclose(cut.T_world_camera, T)
    hull = carve([cut, *cube_views(ALL_SIDES[1:])])
    assert hull.bounds()[0, 2] < -0.045


def test_an_empty_silhouette_is_named():
    views = cube_views()
    views[2] = replace(views[2], mask=np.zeros((240, 320), bool), name="the third")
    with pytest.raises(ReconstructionError, match="the third") as error:
        carve(views)
    assert error.value.code == ErrorCode.EMPTY_SILHOUETTE


def test_silhouettes_of_two_things_disagree():
    views = cube_views()
    moved = see(cuboid([-0.05, 0.15, -0.05], [0.05, 0.25, 0.05]), [[0.5, 0.0, 0.0]], [0, 0, 0], camera(focal=300.0))
    with pytest.raises(ReconstructionError) as error:
        carve([*moved, *views[1:]])
    assert error.value.code == ErrorCode.SILHOUETTES_DISAGREE


def test_a_region_behind_a_camera_is_not_visible():
    with pytest.raises(ReconstructionError, match="behind") as error:
        carve(cube_views(), np.array([[0.6, -0.1, -0.1], [0.8, 0.1, 0.1]]))
    assert error.value.code == ErrorCode.ROI_NOT_VISIBLE


@pytest.mark.parametrize("side", [0.0, -0.1, np.nan])
def test_a_region_without_volume_is_refused(side):
    with pytest.raises(ReconstructionError) as error:
        carve(cube_views(), Box(np.eye(4), np.array([0.1, side, 0.1])))
    assert error.value.code == ErrorCode.BAD_ROI


def test_one_view_leaves_the_distance_open_and_says_so():
    with pytest.raises(ReconstructionError, match="how far away") as error:
        carve(cube_views(FOUR_SIDES[:1]))
    assert error.value.code == ErrorCode.TOO_FEW_VIEWS
    region = axis_parallel_box(np.full(3, -0.06), np.full(3, 0.06))
    assert carve(cube_views(FOUR_SIDES[:1]), region).volume() > 0.8e-3


@pytest.mark.parametrize("knows", ["depth", "support"])
def test_one_views_object_is_guessed_where_it_is(knows):
    view = see(CUBE, [[0.4, 0.0, 0.3]], [0.0, 0.0, 0.0], camera(focal=400.0))[0]
    if knows == "support":
        view = replace(view, depth=None)
    box = guess_box(view, -0.05 if knows == "support" else None)
    hull = carve([view], box, support_height=-0.05)
    middle = hull.bounds().mean(axis=0)
    assert np.linalg.norm(middle) < 0.05
    assert 0.4e-3 < hull.volume() < 3e-3


def test_one_view_without_depth_or_plane_is_refused():
    view = replace(cube_views(FOUR_SIDES[:1])[0], depth=None)
    with pytest.raises(ReconstructionError, match="add a view") as error:
        guess_box(view, None)
    assert error.value.code == ErrorCode.TOO_FEW_VIEWS


@pytest.mark.parametrize("gap", [1e-4, 1.8e-3, 1.9e-3, 5e-3])
def test_bounds_just_beside_what_the_silhouettes_allow_hold_nothing(gap):
    """However near: also where the coarse grid still takes a corner of them for occupied and the fine one does not."""
    low = rendered.CENTER - [0.005, 0.005, 0.0] + [0.0, 0.0, rendered.SIZE[2] / 2 + gap]
    views = rendered.views(4)
    top = carve(views).bounds()[1, 2]
    if low[2] < top:
        low[2] = top + gap
    with pytest.raises(ReconstructionError) as error:
        carve(views, np.stack([low, low + 0.01]))
    assert error.value.code is ErrorCode.SILHOUETTES_DISAGREE
