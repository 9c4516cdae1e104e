"""What is no solid to grasp is refused by its value, with the remedy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from shapes import cuboid

from mvgamba_ros import plan_grasps
from mvgamba_ros.config.grasp_config import GraspConfig, Gripper
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.types import Mesh

QUICK = GraspConfig(samples=100, screened=50, tried=8, shapes=1, poses=1)
BOX = cuboid([-0.03, -0.02, 0.0], [0.03, 0.02, 0.10])


def refusal(mesh: Mesh, **given: Any) -> str:
    with pytest.raises(ReconstructionError) as refused:
        plan_grasps(mesh, config=QUICK, **given)
    assert refused.value.code is ErrorCode.BAD_OPTION
    return refused.value.message


@pytest.mark.parametrize("error", [np.nan, np.inf, -5.0])
def test_an_expected_error_that_is_no_length_is_named(error: float) -> None:
    errors = np.full(len(BOX.vertices), 0.5, np.float32)
    errors[2] = error
    assert f"expected_error_mm of {error:g}: it must be finite" in refusal(replace(BOX, expected_error_mm=errors))


def test_a_pad_longer_than_its_finger_is_refused_by_both_names() -> None:
    message = refusal(BOX, gripper=Gripper(finger_length=0.03, pad_length=0.04))
    assert "gripper.pad_length 0.04 m is more than gripper.finger_length 0.03 m" in message


def test_a_vertex_that_is_not_finite_is_refused() -> None:
    vertices = BOX.vertices.copy()
    vertices[1, 2] = np.nan
    assert "not finite" in refusal(replace(BOX, vertices=vertices))


def test_a_flat_mesh_is_not_called_turned_inside_out() -> None:
    leaning = np.array([[0.0, 0.0, 0.0], [0.1, 0.02, 0.03], [0.02, 0.1, 0.09], *BOX.vertices[3:]])
    one = np.array([[0, 1, 2]], np.int32)
    for flat in (
        replace(BOX, vertices=leaning, faces=one),
        replace(BOX, faces=one),
        replace(BOX, vertices=BOX.vertices * [1.0, 1.0, 0.0]),
    ):
        assert "without a volume" in refusal(flat)
    assert "counter-clockwise" in refusal(replace(BOX, faces=BOX.faces[:, ::-1].copy()))


def test_a_mesh_in_millimetres_is_taken_for_one() -> None:
    assert "looks like millimetres" in refusal(replace(BOX, vertices=1000.0 * BOX.vertices))
    assert "take a gripper that opens wider" in refusal(replace(BOX, vertices=3.0 * BOX.vertices))


def test_the_least_width_is_that_of_the_faces() -> None:
    """A vertex of no face, far away, is no part of the object."""
    stray = np.concatenate([3.0 * BOX.vertices, [[50.0, 0.0, 0.0]]])
    mesh = Mesh(stray, BOX.faces, np.zeros((len(stray), 3), np.uint8))
    assert "least width is 120.0 mm" in refusal(mesh)


@pytest.mark.parametrize("seed", [-1, 0.5])
def test_a_seed_that_is_no_whole_number_is_named(seed: Any) -> None:
    assert f"seed {seed}: give a whole number" in refusal(BOX, seed=seed)
