# mypy: no-check-untyped-defs
"""The way into the unit cube and back loses nothing, and cameras see the same from both."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from shapes import FOUR_SIDES, camera, cuboid, see

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.camera import project
from mvgamba_ros.geometry.unit_cube import UnitCube, fit
from mvgamba_ros.types import Gaussians

cubes = st.builds(
    lambda center, half: UnitCube(np.array(center), half), st.tuples(*[st.floats(-2.0, 2.0)] * 3), st.floats(0.01, 5.0)
)
CUBE = UnitCube(np.array([0.4, -0.1, 0.2]), 0.15)


@given(cubes, st.tuples(*[st.floats(-3.0, 3.0)] * 3).map(np.array))
def test_points_come_back(cube, point):
    np.testing.assert_allclose(cube.from_unit(cube.to_unit(point)), point, atol=1e-9)


@given(cubes)
def test_the_cubes_corners_are_the_units(cube):
    np.testing.assert_allclose(cube.to_unit(cube.center + cube.half), [1.0, 1.0, 1.0], atol=1e-9)
    np.testing.assert_allclose(cube.to_unit(cube.center), [0.0, 0.0, 0.0], atol=1e-9)


def test_a_view_sees_the_same_pixels_in_both_frames():
    view = see(cuboid([0.35, -0.15, 0.1], [0.45, -0.05, 0.3]), [[0.9, 0.3, 0.5]], [0.4, -0.1, 0.2])[0]
    unit = CUBE.to_unit(view)
    points = np.random.default_rng(0).uniform(0.1, 0.3, (20, 3))
    metric, z = project(view.camera, view.T_world_camera, points)
    seen, z_unit = project(unit.camera, unit.T_world_camera, CUBE.to_unit(points))
    np.testing.assert_allclose(seen, metric, atol=1e-9)
    np.testing.assert_allclose(z_unit * CUBE.half, z, atol=1e-12)
    np.testing.assert_allclose(unit.depth * CUBE.half, view.depth, atol=1e-6)
    back = CUBE.from_unit(unit)
    np.testing.assert_allclose(back.T_world_camera, view.T_world_camera, atol=1e-12)
    np.testing.assert_allclose(back.depth, view.depth, atol=1e-6)


def test_gaussians_and_meshes_come_back_with_their_sizes():
    torch.manual_seed(0)
    g = Gaussians(torch.randn(5, 3), torch.randn(5, 4), torch.rand(5, 3), torch.rand(5), torch.rand(5, 3))
    unit = CUBE.to_unit(g)
    torch.testing.assert_close(unit.scales * CUBE.half, g.scales)
    back = CUBE.from_unit(unit)
    torch.testing.assert_close(back.means, g.means)
    torch.testing.assert_close(back.scales, g.scales)
    torch.testing.assert_close(back.quats, g.quats)
    mesh = cuboid([0, 0, 0], [1, 2, 3])
    np.testing.assert_allclose(CUBE.from_unit(CUBE.to_unit(mesh)).vertices, mesh.vertices, atol=1e-12)


def test_the_fitted_cube_holds_the_box_and_its_margin():
    cube = fit(np.array([0.0, 0.0, 0.0]), np.array([0.1, 0.2, 0.4]), margin=1.1)
    assert cube.half == pytest.approx(0.22)
    assert np.abs(cube.to_unit(np.array([[0.0, 0.0, 0.0], [0.1, 0.2, 0.4]]))).max() == pytest.approx(1 / 1.1)


def test_a_box_without_volume_is_refused():
    with pytest.raises(ReconstructionError) as error:
        fit(np.zeros(3), np.array([0.1, 0.0, 0.1]))
    assert error.value.code == ErrorCode.BAD_ROI


def test_distortion_free_cameras_keep_their_intrinsics():
    view = see(cuboid([0, 0, 0], [0.1, 0.1, 0.1]), FOUR_SIDES[:1], [0, 0, 0], camera(64, 48, 60.0))[0]
    assert CUBE.to_unit(view).camera is view.camera
