"""A parallel gripper holds simple shapes where a person would, and trusts what was seen."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import trimesh
from shapes import cuboid

from mvgamba_ros import Grasp, Gripper, plan_grasps
from mvgamba_ros.config.grasp_config import GRIPPERS, GraspConfig
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.grasps.closing import Hand
from mvgamba_ros.grasps.contact_pairs import least_width
from mvgamba_ros.grasps.grasp_picture import gripper_mesh
from mvgamba_ros.types import F64, Mesh

QUICK = GraspConfig(samples=400, screened=300, tried=24, shapes=2, poses=4)
BOX = cuboid([-0.03, -0.02, 0.0], [0.03, 0.02, 0.10])


def fine(mesh: Mesh, edge: float = 0.008) -> Mesh:
    """The same surface in small triangles."""
    vertices, faces = trimesh.remesh.subdivide_to_size(mesh.vertices, mesh.faces, edge)
    shape = trimesh.Trimesh(vertices, faces)  # merges the vertices
    return from_trimesh(shape)


def from_trimesh(shape: trimesh.Trimesh) -> Mesh:
    return Mesh(
        np.asarray(shape.vertices, np.float64),
        np.asarray(shape.faces, np.int32),
        np.full((len(shape.vertices), 3), 160, np.uint8),
    )


def plan(mesh: Mesh, **changes: Any) -> list[Grasp]:
    return plan_grasps(mesh, **{"support_height": 0.0, "config": QUICK, **changes})


def closing_axis(grasp: Grasp) -> F64:
    return np.abs(grasp.T_world_grasp[:3, 1])


def test_a_box_is_held_by_opposite_sides_and_the_frame_is_what_the_docs_say() -> None:
    for grasp in plan(BOX):
        R, axis = grasp.T_world_grasp[:3, :3], closing_axis(grasp)
        np.testing.assert_allclose(R.T @ R, np.eye(3), atol=1e-9)
        assert np.linalg.det(R) == pytest.approx(1.0)
        side = int(np.argmax(axis[:2]))
        assert axis[side] > np.cos(np.arctan(0.5))
        first, second = grasp.contacts
        assert abs(first[side]) == pytest.approx((0.03, 0.02)[side], abs=1e-6)
        assert first[side] == pytest.approx(-second[side], abs=1e-6)
        assert (first - second) @ R[:, 1] > 0.0  # the first contact is the one at positive y
        assert 0.0 <= grasp.score <= grasp.robustness <= 1.0
    best = plan(BOX)[0]
    assert closing_axis(best)[1] > 0.99 or closing_axis(best)[0] > 0.99
    assert best.width == pytest.approx(0.04 if closing_axis(best)[1] > 0.9 else 0.06, abs=0.004)


def test_a_can_is_held_across_its_axis() -> None:
    can = from_trimesh(trimesh.creation.cylinder(0.033, 0.12, sections=64).apply_translation([0.0, 0.0, 0.06]))
    best = plan(can)[:5]
    for grasp in best:
        assert grasp.width == pytest.approx(0.066, abs=0.003)
        assert np.linalg.norm(grasp.contacts.mean(axis=0)[:2]) < 0.006 and closing_axis(grasp)[2] < 0.4


def test_a_thin_plate_is_held_by_its_faces() -> None:
    plate = cuboid([-0.06, -0.002, 0.0], [0.06, 0.002, 0.15])
    for grasp in plan(plate)[:5]:
        assert grasp.width == pytest.approx(0.004, abs=0.002) and closing_axis(grasp)[1] > 0.95


def test_a_ball_wider_than_the_opening_is_refused_by_both_numbers() -> None:
    ball = from_trimesh(trimesh.creation.icosphere(4, 0.06))
    with pytest.raises(
        ReconstructionError, match=r"opens 80\.0 mm.* least width is 119\.\d mm.* opens wider"
    ) as caught:
        plan(ball, support_height=None)
    assert caught.value.code is ErrorCode.BAD_OPTION
    assert plan(ball, support_height=None, gripper=Gripper(max_opening=0.14, finger_length=0.1))


def test_the_least_width_is_that_between_two_sides() -> None:
    turned = trimesh.transformations.rotation_matrix(0.7, [1.0, 2.0, 3.0])[:3, :3]
    assert least_width(BOX.vertices @ turned.T) == pytest.approx(0.04, abs=1e-4)


def test_what_lies_flat_on_the_table_is_out_of_reach_and_the_message_has_the_plane() -> None:
    tile = cuboid([-0.05, -0.03, 0.0], [0.05, 0.03, 0.004])
    assert plan(tile, support_height=None)
    with pytest.raises(ReconstructionError, match=r"poses hit the support plane.*check the support height"):
        plan(tile)


@pytest.mark.parametrize("gripper", GRIPPERS.values(), ids=GRIPPERS)
def test_no_part_of_the_gripper_is_in_the_object_or_the_table(gripper: Gripper) -> None:
    for grasp in plan(BOX, gripper=gripper):
        for width, allowed in ((grasp.width, 0.003), (gripper.max_opening, 0.001)):  # closed, the object yields
            hand = trimesh.Trimesh(*gripper_mesh(gripper, replace(grasp, width=width)), process=False)
            points = trimesh.sample.sample_surface(hand, 2000, seed=1)[0]
            assert points[:, 2].min() > 0.0
            x, y, z = np.abs(points - [0.0, 0.0, 0.05]).T
            assert np.min([0.03 - x, 0.02 - y, 0.05 - z], axis=0).max() <= allowed


def test_the_same_seed_gives_the_same_grasps_and_another_one_others() -> None:
    first, again, other = plan(BOX, seed=3), plan(BOX, seed=3), plan(BOX, seed=4)
    assert len(first) == len(again)
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a.T_world_grasp, b.T_world_grasp)
        assert a.score == b.score
    assert not np.array_equal(first[0].T_world_grasp, other[0].T_world_grasp)


def test_the_order_of_triangles_and_of_their_corners_changes_nothing() -> None:
    mesh, random = fine(BOX), np.random.default_rng(0)
    faces = mesh.faces[random.permutation(len(mesh.faces))]
    turns = (random.integers(3, size=len(faces))[:, None] + np.arange(3)) % 3
    mixed = replace(mesh, faces=np.take_along_axis(faces, turns, axis=1))
    for a, b in zip(plan(mesh), plan(mixed), strict=True):
        np.testing.assert_allclose(a.T_world_grasp, b.T_world_grasp, atol=1e-9)
        assert a.score == pytest.approx(b.score)


def test_far_from_the_origin_the_grasps_are_the_same() -> None:
    shift = np.array([4.0e5, -5.0e6, 300.0])
    moved = replace(BOX, vertices=BOX.vertices + shift)
    near, far = plan(BOX)[0], plan(moved, support_height=300.0)[0]
    np.testing.assert_allclose(far.T_world_grasp[:3, 3] - shift, near.T_world_grasp[:3, 3], atol=1e-5)


CUBE = fine(cuboid([-0.025, -0.025, 0.0], [0.025, 0.025, 0.05]))
Y_SIDES = np.abs(CUBE.vertices[:, 1]) > 0.0249


def test_each_grasp_states_whether_its_contacts_were_seen_and_ranks_by_the_errors_alone() -> None:
    half = replace(CUBE, seen=np.where(Y_SIDES, 0, 4).astype(np.uint8))
    grasps = plan(half, count=300)
    across, along = ([g for g in grasps if closing_axis(g)[axis] > 0.99] for axis in (0, 1))
    assert across and all(grasp.seen > 0.9 for grasp in across)
    assert along and all(grasp.seen < 0.1 for grasp in along)
    for grasp, same in zip(grasps, plan(CUBE, count=300), strict=True):
        assert grasp.score == same.score and same.seen == 1.0


def test_sides_of_a_small_expected_error_are_preferred() -> None:
    unsure = replace(CUBE, expected_error_mm=np.where(Y_SIDES, 12.0, 0.5).astype(np.float32))
    grasps = plan(unsure)
    assert all(closing_axis(grasp)[0] > 0.8 for grasp in grasps[:5])
    across = [
        grasp.robustness
        for grasp in plan(unsure, count=300, config=replace(QUICK, tried=300))
        if closing_axis(grasp)[1] > 0.9
    ]
    assert max(across, default=0.0) < grasps[0].robustness


def test_an_object_nearly_as_wide_as_the_opening_fits_only_while_its_surface_is_sure() -> None:
    wide = fine(cuboid([-0.1, -0.036, 0.0], [0.1, 0.036, 0.05]))
    assert plan(wide)[0].width == pytest.approx(0.072, abs=0.002)
    with pytest.raises(ReconstructionError, match=r"opens 80\.0 mm"):
        plan(replace(wide, expected_error_mm=np.full(len(wide.vertices), 5.0, np.float32)))


def test_what_no_trial_holds_is_stated_with_no_robustness_the_firmest_first() -> None:
    wild = GraspConfig(samples=400, screened=300, tried=8, shapes=1, poses=2, position_sigma=0.1, rotation_sigma=45.0)
    grasps = plan(BOX, config=wild)
    assert len(grasps) > 1 and all(grasp.robustness == grasp.score == 0.0 for grasp in grasps)
    assert [grasp.firmness for grasp in grasps] == sorted((grasp.firmness for grasp in grasps), reverse=True)


def test_a_mesh_turned_inside_out_or_empty_is_refused() -> None:
    for faces, words in ((BOX.faces[:, ::-1], "counter-clockwise"), (BOX.faces[:0], "without faces")):
        with pytest.raises(ReconstructionError, match=words):
            plan(replace(BOX, faces=faces))


def test_the_grippers_size_is_checked() -> None:
    with pytest.raises(ReconstructionError, match=r"gripper\.max_opening -0\.1 must be a number, 0\.005 to 0\.5"):
        plan(BOX, gripper=Gripper(max_opening=-0.1))


def test_lowest_is_the_lowest_corner_of_the_open_gripper() -> None:
    gripper = Gripper()
    hand, up = Hand(gripper, QUICK), np.array([0.0, 0.0, 1.0])
    down = np.diag([1.0, -1.0, -1.0])
    height = hand.lowest(down[None], np.array([[0.0, 0.0, 0.2]]), up)
    assert height == pytest.approx(0.2 - gripper.pad_length / 2.0)


COSTLY = {"samples", "screened", "tried", "shapes", "poses", "approaches"}
"""Whose upper end is meant to take minutes."""
ENDS = [
    (kind, field.name, end)
    for kind in (Gripper, GraspConfig)
    for field in fields(kind)
    for end in ("low", "high")
    if not (end == "high" and field.name in COSTLY)
]


@pytest.mark.parametrize(("kind", "name", "end"), ENDS, ids=[f"{name}-{end}" for _, name, end in ENDS])
def test_a_setting_at_an_end_of_its_range_gives_grasps_or_an_error_of_the_package(
    kind: type, name: str, end: str
) -> None:
    field = next(field for field in fields(kind) if field.name == name)
    config = replace(QUICK, samples=100, screened=60, tried=6, shapes=1, poses=1)
    value = type(field.default)(field.metadata[end])
    given = {"gripper": replace(Gripper(), **{name: value})} if kind is Gripper else {}
    settings = replace(config, **{name: value}) if kind is GraspConfig else config
    try:
        assert all(np.isfinite(grasp.T_world_grasp).all() for grasp in plan(BOX, config=settings, **given))
    except ReconstructionError as error:
        assert error.code is ErrorCode.BAD_OPTION
