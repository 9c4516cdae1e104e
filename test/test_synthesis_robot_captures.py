"""Procedural captures of a robot: masks, depth, poses and true shapes agree with each other."""

from __future__ import annotations

import numpy as np
import pytest
from shapes import cuboid

from mvgamba_ros.geometry.camera import project
from mvgamba_ros.geometry.se3 import check_rigid
from mvgamba_ros.rendering.mesh_raycaster import Raycaster
from mvgamba_ros.synthesis.backgrounds import join
from mvgamba_ros.synthesis.families import Procedural
from mvgamba_ros.synthesis.robot_captures import OrbitRig, RobotCapture, outer_surface, robot_capture
from mvgamba_ros.synthesis.textured_mesh import TexturedMesh
from mvgamba_ros.types import Mesh

SMALL = OrbitRig(views=3, width=160, height=120)


@pytest.fixture(scope="module")
def capture() -> RobotCapture:
    return robot_capture(6, 1, SMALL)


def test_masks_and_depth_are_those_of_the_true_shape(capture: RobotCapture) -> None:
    caster = Raycaster(capture.truth)
    for view in capture.views:
        check_rigid(view.T_world_camera)
        seen = caster.render(view.camera, view.T_world_camera)
        assert view.mask is not None and view.depth is not None
        assert (seen.mask != view.mask).sum() <= 0.02 * view.mask.sum()
        both = seen.mask & view.mask
        assert np.median(np.abs(seen.depth - view.depth)[both]) < 1e-4


def test_the_table_is_the_worlds_floor(capture: RobotCapture) -> None:
    assert capture.truth.vertices[np.unique(capture.truth.faces)][:, 2].min() == pytest.approx(0, abs=2e-3)
    view = capture.views[0]
    assert view.mask is not None and view.depth is not None
    row, column = np.argwhere(~view.mask & (view.depth > 0))[-1]
    point = (np.array([column, row]) + 0.5 - view.camera.K[:2, 2]) / view.camera.K[[0, 1], [0, 1]]
    world = view.T_world_camera[:3] @ np.array([*(point * view.depth[row, column]), view.depth[row, column], 1])
    assert world[2] == pytest.approx(0, abs=2e-3)


def test_the_object_is_within_every_picture(capture: RobotCapture) -> None:
    for view in capture.views:
        pixels, z = project(view.camera, view.T_world_camera, capture.truth.vertices)
        assert (z > 0).all() and (pixels > 0).all() and (pixels < [160, 120]).all()


def test_the_same_numbers_give_the_same_capture_and_others_another(capture: RobotCapture) -> None:
    again, other = robot_capture(6, 1, SMALL), robot_capture(6, 2, SMALL)
    assert all(np.array_equal(a.image, b.image) for a, b in zip(capture.views, again.views, strict=True))
    assert np.array_equal(capture.truth.vertices, again.truth.vertices)
    assert not np.array_equal(capture.views[0].image, other.views[0].image)


def test_what_lies_inside_of_another_part_is_no_truth() -> None:
    def placed(mesh: Mesh) -> TexturedMesh:
        plain = Procedural(1, 1)[0]
        count = len(mesh.faces)
        return TexturedMesh(
            mesh.vertices, mesh.faces, np.zeros((count, 3, 3), np.float32), np.zeros((count, 3, 2), np.float32),
            np.zeros(count, np.int32), plain.textures[:1], np.zeros(count, np.int32), plain.materials[:1], "box",
        )  # fmt: skip

    outer, inner = placed(cuboid([0, 0, 0], [1, 1, 1])), placed(cuboid([0.3, 0.3, 0.3], [0.6, 0.6, 0.6]))
    kept = outer_surface(join(outer, inner), np.random.default_rng(0))
    assert kept.faces.tolist() == outer.faces.tolist()
