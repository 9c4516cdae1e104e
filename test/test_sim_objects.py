"""Objects on the simulated table: the shipped ones and anybody's mesh file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

pytest.importorskip("mvgamba_ros.sim.engine")

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.boxes import oriented_box
from mvgamba_ros.sim.objects import OBJECTS
from mvgamba_ros.sim.robot_arm import SimulatedArm
from mvgamba_ros.sim.scene import Scene
from mvgamba_ros.sim.truth import object_errors
from mvgamba_ros.sim.wrist_camera import WristCamera
from mvgamba_ros.types import Mesh

SIZE = (0.06, 0.05, 0.09)
HALVES = np.array([[200, 30, 30], [30, 60, 200]], np.uint8)  # the lower half red, the upper blue


def two_coloured_box() -> trimesh.Trimesh:
    box = trimesh.creation.box(SIZE).subdivide().subdivide()
    box.visual.vertex_colors = HALVES[(box.vertices[:, 2] > 0).astype(int)]
    return box


@pytest.mark.parametrize("name", OBJECTS)
def test_every_shipped_object_comes_to_rest_on_the_table(name):
    arm = SimulatedArm(Scene(object_name=name))
    mesh = arm.object_mesh()
    assert abs(mesh.vertices[:, 2].min()) < 1.5e-3
    np.testing.assert_allclose(mesh.vertices.mean(axis=0)[:2], arm.scene.object_xy, atol=0.02)
    before = mesh.vertices
    arm.advance(1.0)
    assert np.abs(arm.object_mesh().vertices - before).max() < 2e-3


@pytest.mark.parametrize("suffix", ["ply", "glb", "stl", "obj"])
def test_a_mesh_file_stands_in_its_own_size_and_place(tmp_path: Path, suffix: str):
    path = tmp_path / f"box.{suffix}"
    box = two_coloured_box()
    if suffix == "glb":  # y up in the file
        box.apply_transform(np.array([[1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]], float))
    box.export(path)
    arm = SimulatedArm(Scene(object_name=str(path), object_yaw=0.3))
    found = oriented_box(arm.object_mesh())
    np.testing.assert_allclose(np.sort(found.size), np.sort(SIZE), atol=5e-4)
    np.testing.assert_allclose(found.T_world_box[:3, 3], [*arm.scene.object_xy, SIZE[2] / 2], atol=1e-3)


def test_a_mesh_file_shows_its_own_vertex_colours(tmp_path: Path):
    path = tmp_path / "box.ply"
    two_coloured_box().export(path)
    arm = SimulatedArm(Scene(object_name=str(path)))
    camera = WristCamera(arm)
    view = camera.view(mask=True)
    camera.close()
    seen = view.image[view.mask].astype(int)
    assert len(seen) > 1000
    red, blue = (seen[:, 0] > seen[:, 2] + 40).mean(), (seen[:, 2] > seen[:, 0] + 40).mean()
    assert blue > 0.3  # from above the top, blue, is most of it
    assert red + blue > 0.9


def test_a_mesh_in_millimetres_is_refused_with_the_unit_named(tmp_path: Path):
    path = tmp_path / "box.stl"
    trimesh.creation.box((60.0, 50.0, 90.0)).export(path)
    with pytest.raises(ReconstructionError, match=r"90 m.*metres") as caught:
        SimulatedArm(Scene(object_name=str(path)))
    assert caught.value.code is ErrorCode.BAD_OPTION


def test_an_object_that_leans_falls_flat_before_anything_looks_at_it(tmp_path: Path):
    path = tmp_path / "leaning.ply"
    box = trimesh.creation.box((0.03, 0.03, 0.15))
    box.apply_transform(trimesh.transformations.rotation_matrix(0.5, [1, 0, 0]))
    box.export(path)
    arm = SimulatedArm(Scene(object_name=str(path)))
    assert np.ptp(arm.object_mesh().vertices[:, 2]) == pytest.approx(0.03, abs=2e-3)


def test_an_object_that_does_not_come_to_rest_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "leaning.ply"
    box = trimesh.creation.box((0.03, 0.03, 0.15))
    box.apply_transform(trimesh.transformations.rotation_matrix(0.5, [1, 0, 0]))
    box.export(path)
    monkeypatch.setattr("mvgamba_ros.sim.robot_arm.SETTLE_TIME", 0.2)  # while it is still falling
    with pytest.raises(ReconstructionError, match="come to rest") as caught:
        SimulatedArm(Scene(object_name=str(path)))
    assert caught.value.code is ErrorCode.BAD_OPTION


@pytest.mark.parametrize("name", ["teapot", "missing.glb"])
def test_an_unknown_object_is_refused_with_the_known_ones_named(name):
    with pytest.raises(ReconstructionError, match="cereal") as caught:
        SimulatedArm(Scene(object_name=name))
    assert caught.value.code is ErrorCode.BAD_OPTION


def test_the_table_is_what_was_asked_for_or_refused_with_the_others_named():
    from mvgamba_ros.sim.wrist_camera import photograph

    wood, felt = (photograph(SimulatedArm(Scene(table=table)), 1)[0] for table in ("light-wood", "gray-felt"))
    assert wood.mask is not None and felt.mask is not None
    brown, grey = (np.ptp(view.image[~view.mask].mean(axis=0)) for view in (wood, felt))
    assert brown > 30 and grey < 15
    with pytest.raises(ReconstructionError, match="gray-felt") as caught:
        SimulatedArm(Scene(table="ice"))
    assert caught.value.code is ErrorCode.BAD_OPTION


def test_a_mat_shows_its_picture_under_the_object_and_a_missing_one_is_named(tmp_path):
    from mvgamba_ros.sim.wrist_camera import photograph

    blue = np.zeros((64, 64, 3), np.uint8)
    blue[..., 2] = 255
    Image.fromarray(blue).save(tmp_path / "blue.png")
    (view,) = photograph(SimulatedArm(Scene(mat=str(tmp_path / "blue.png"))), 1)
    seen = view.image[~view.mask].astype(float)
    share = (seen[:, 2] > 2 * seen[:, :2].max(1)).mean()
    assert 0.05 < share < 0.9, share
    with pytest.raises(ReconstructionError, match=r"nowhere\.png"):
        SimulatedArm(Scene(mat="nowhere.png"))


def test_a_file_that_is_no_mesh_is_refused(tmp_path: Path):
    path = tmp_path / "notes.ply"
    path.write_text("not a mesh")
    with pytest.raises(ReconstructionError, match=r"notes\.ply") as caught:
        SimulatedArm(Scene(object_name=str(path)))
    assert caught.value.code is ErrorCode.BAD_OPTION


def test_the_comparison_with_the_truth_is_zero_for_the_truth_and_grows_by_the_known_shift():
    box = trimesh.creation.box((0.1, 0.1, 0.1))
    truth = Mesh(np.array(box.vertices), np.array(box.faces, np.int32), np.zeros((8, 3), np.uint8))
    same = object_errors(truth, oriented_box(truth), truth)
    assert same.chamfer_mm < 0.5  # the distance between two samplings of one surface
    assert (same.f_score, same.size_error) == (1.0, 0.0)
    larger = Mesh(truth.vertices * 1.2, truth.faces, truth.colors)
    off = object_errors(larger, oriented_box(larger), truth)
    assert off.size_error == pytest.approx(0.02, abs=1e-6)
    assert off.center_error == pytest.approx(0.0, abs=1e-6)
    assert off.chamfer_mm == pytest.approx(10.5, abs=1.5)  # faces 10 mm apart, corners 17 mm
    assert off.f_score == 0.0
