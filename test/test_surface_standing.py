"""One look at what stands on a table: the side that nobody saw is solid down to the table, where it can be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from shapes import cuboid, see

from mvgamba_ros.geometry.distance_field import DistanceField
from mvgamba_ros.geometry.se3 import transform
from mvgamba_ros.geometry.single_view import guess_box
from mvgamba_ros.geometry.visual_hull import carve
from mvgamba_ros.options import Options
from mvgamba_ros.pipeline import reconstruct
from mvgamba_ros.surface.depth_maps import DepthMaps
from mvgamba_ros.surface.standing import fill_to_support
from mvgamba_ros.types import Box, Mesh, Prompts

CARTON = cuboid([-0.1, -0.035, 0.0], [0.1, 0.035, 0.07])
"""Lying lengthwise before the camera: 20 cm deep, 7 cm wide and high."""
EYE = [[-0.4, 0.05, 0.4]]


def filled(mesh: Mesh) -> tuple[DistanceField, DistanceField]:
    """Of one look at ``mesh``: the visual hull in a roomy region, and what its depth alone fills of it."""
    (view,) = see(mesh, EYE, [0.0, 0.0, 0.03])
    T = np.eye(4)
    T[:3, 3] = [0.0, 0.0, 0.05]
    hull = carve([view], Box(T, np.array([0.3, 0.2, 0.11])), 96, 0.0)
    assert view.depth is not None and view.mask is not None
    front = torch.from_numpy(np.where(view.mask, view.depth, np.nan))[None]
    nothing = replace(hull, values=np.full_like(hull.values, -0.01))
    return hull, fill_to_support(nothing, hull, [DepthMaps(front, view.camera.K[None], view.T_world_camera[None])])


def test_what_is_hidden_below_what_was_seen_is_solid_and_what_was_seen_free_is_not() -> None:
    hull, field = filled(CARTON)
    at = np.array([[0.09, -0.03, 0.01], [0.0, 0.0, 0.005], [-0.09, 0.03, 0.06]])
    assert (field.sample(at) > 0).all()  # the lower far corner, the underside, the near edge
    behind, before = np.array([[0.115, 0.0, 0.02]]), np.array([[-0.11, 0.0, 0.02]])
    assert hull.sample(behind)[0] > 0 > field.sample(behind)[0]  # hidden, but under nothing
    assert field.sample(before)[0] < 0
    assert field.volume() == pytest.approx(0.2 * 0.07 * 0.07, rel=0.05)


def test_a_board_in_the_air_gets_no_wall_where_the_ground_beneath_it_is_seen() -> None:
    board = cuboid([-0.1, -0.035, 0.06], [0.1, 0.035, 0.07])
    _, field = filled(board)
    assert field.sample(np.array([[-0.095, 0.0, 0.02]]))[0] < 0 < field.sample(np.array([[0.0, 0.0, 0.065]]))[0]


def test_the_region_behind_one_depth_image_is_as_deep_as_what_it_shows() -> None:
    (view,) = see(CARTON, EYE, [0.0, 0.0, 0.03])
    box = guess_box(view, 0.0)
    corners = transform(np.linalg.inv(box.T_world_box), CARTON.vertices)
    assert abs(box.T_world_box[2, 0]) < 1e-9  # its depth runs level
    assert 0.95 < np.ptp(corners[:, 0]) / box.size[0] < 1.05


def test_one_depth_image_of_a_carton_gives_a_carton() -> None:
    (view,) = see(CARTON, EYE, [0.0, 0.0, 0.03])
    options = Options(segmenter="masks", hull_resolution=64, refine=False, prompts=Prompts(support_height=0.0))
    result = reconstruct([view], options)
    low, high = result.mesh.vertices.min(axis=0), result.mesh.vertices.max(axis=0)
    np.testing.assert_allclose([low, high], [[-0.1, -0.035, 0.0], [0.1, 0.035, 0.07]], atol=0.02)
    assert result.quality.low and result.mesh.seen is not None
    under = result.mesh.vertices[:, 2] < 0.01
    assert (result.mesh.seen[under & (result.mesh.vertices[:, 0] > 0.0)] == 0).all()  # marked as a guess
