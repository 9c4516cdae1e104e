"""`mvgamba grasps` writes what a planner reads, and says what is wrong with a gripper."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rendered
from shapes import cuboid

from mvgamba_ros.cli import build_parser, grasps, main
from mvgamba_ros.config.grasp_config import Gripper
from mvgamba_ros.geometry.se3 import quat_to_matrix
from mvgamba_ros.io.image_files import read_image
from mvgamba_ros.io.mesh_files import write_mesh
from mvgamba_ros.io.results import unlisted, write_results
from mvgamba_ros.io.scene_results import SceneEntry, write_scene
from mvgamba_ros.options import Options
from mvgamba_ros.pipeline import reconstruct

QUICK = [f"--set={name}" for name in ("samples=400", "screened=300", "tried=24", "shapes=1", "poses=4")]


@pytest.fixture
def box(tmp_path: Path) -> Path:
    write_mesh(tmp_path / "box.ply", cuboid([0.27, -0.02, 0.0], [0.33, 0.02, 0.10]))
    return tmp_path / "box.ply"


def test_of_a_mesh_file_poses_in_metres_and_unit_quaternions(box: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["grasps", str(box), "--support-height", "0", "--top", "3", "--json", *QUICK]) == 0
    printed = json.loads(capsys.readouterr().out)
    written = json.loads((box.parent / "box_grasps.json").read_text())
    assert printed == written and len(written["grasps"]) == 3
    assert written["gripper"] == vars(Gripper()) and written["support_height_m"] == 0.0
    assert written["config"]["samples"] == 400
    scores = [grasp["score"] for grasp in written["grasps"]]
    assert scores == sorted(scores, reverse=True)
    for grasp in written["grasps"]:
        T: Any = np.array(grasp["T_world_grasp"])
        np.testing.assert_allclose(quat_to_matrix(np.array(grasp["orientation_wxyz"])), T[:3, :3], atol=1e-9)
        np.testing.assert_allclose(grasp["position_m"], T[:3, 3])
        assert 0.27 < grasp["position_m"][0] < 0.33 and 0.03 < grasp["width_m"] < 0.08
    picture = read_image(box.parent / "box_grasps.png")
    assert picture.shape == (480, 1280, 3) and (picture != 255).any(axis=2).mean() > 0.05


def test_a_results_folder_keeps_its_grasps_as_its_own_files(tmp_path: Path) -> None:
    views = rendered.views(4)
    result = reconstruct(views, Options(method="hull", segmenter="masks", hull_resolution=32, texture=0))
    out = tmp_path / "out"
    write_results(out, result)
    assert main(["grasps", str(out), "-q", "--gripper", "robotiq_2f85", *QUICK]) == 0
    content = json.loads((out / "grasps.json").read_text())
    assert content["support_height_m"] == result.support_height
    assert content["gripper"]["max_opening"] == 0.085
    assert unlisted(out) == ""  # so that the next reconstruction may replace the folder
    assert main(["grasps", str(out), "-q", "--top", "1", *QUICK]) == 0
    assert len(json.loads((out / "grasps.json").read_text())["grasps"]) == 1 and unlisted(out) == ""
    write_results(out, result)
    assert not (out / "grasps.json").exists()


def test_a_mesh_file_of_a_result_gets_its_grasps_into_the_result(tmp_path: Path) -> None:
    result = reconstruct(rendered.views(4), Options(method="hull", segmenter="masks", hull_resolution=32, texture=64))
    out = tmp_path / "out"
    write_results(out, result)
    assert main(["grasps", str(out / "mesh.glb"), "-q", "--top", "1", *QUICK]) == 0
    assert (out / "mesh_grasps.json").is_file() and unlisted(out) == ""


def test_an_object_of_a_scene_gets_grasps_and_the_scene_still_is_replaced(tmp_path: Path) -> None:
    result = reconstruct(rendered.views(4), Options(method="hull", segmenter="masks", hull_resolution=32, texture=0))
    scene = tmp_path / "scene"
    write_scene(scene, [SceneEntry("object_1", None, result)])
    assert main(["grasps", str(scene / "object_1"), "-q", "--top", "1", *QUICK]) == 0
    assert (scene / "object_1" / "grasps.json").is_file() and unlisted(scene) == ""
    write_scene(scene, [SceneEntry("object_1", None, result)])
    assert not (scene / "object_1" / "grasps.json").exists()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--support-height", "5"], "support height 5 m: what stands there has its top at 0.100 m"),
        (["--support-height", "nan"], "support height nan m"),
    ],
)
def test_a_support_plane_that_nothing_stands_on_is_named(
    box: Path, given: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["grasps", str(box), *given, *QUICK]) == 1
    assert words in capsys.readouterr().err


def test_a_seed_below_zero_is_wrong_usage(box: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["grasps", str(box), "--seed", "-1"])
    assert "--seed: -1: give a whole number, 0 or more" in capsys.readouterr().err


def test_a_gripper_of_ones_own_is_a_file(box: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = box.with_name("mine.yaml")
    file.write_text("max_opening: 0.05\nfinger_length: 0.06\n")
    assert main(["grasps", str(box), "--gripper", str(file), "-q", *QUICK]) == 0
    written = json.loads((box.parent / "box_grasps.json").read_text())
    assert written["gripper"]["max_opening"] == 0.05 and written["gripper"]["palm_width"] == Gripper().palm_width
    assert all(grasp["width_m"] < 0.05 for grasp in written["grasps"])
    for text, words in (("max_openning: 0.05", "max_opening"), ("max_opening: 80", "0.005 to 0.5")):
        file.write_text(text)
        assert main(["grasps", str(box), "--gripper", str(file), "-q"]) == 1
        assert words in capsys.readouterr().err
    assert main(["grasps", str(box), "--gripper", "pandda", "-q"]) == 1
    assert "--gripper pandda: neither one of panda, robotiq_2f85 nor a YAML file" in capsys.readouterr().err


def test_what_does_not_fit_leaves_no_file(box: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = box.with_name("small.yaml")
    file.write_text("max_opening: 0.03")
    assert main(["grasps", str(box), "--gripper", str(file), *QUICK]) == 1
    error = capsys.readouterr().err
    assert "opens 30.0 mm" in error and "least width is 40.0 mm" in error and len(error.splitlines()) == 1
    assert sorted(path.name for path in box.parent.iterdir()) == ["box.ply", "small.yaml"]


@pytest.mark.parametrize("wild", [True, False])
def test_grasps_that_no_trial_holds_are_said_to_be_so(
    box: Path, capsys: pytest.CaptureFixture[str], wild: bool
) -> None:
    off = ["--set=position_sigma=0.1", "--set=rotation_sigma=45", "--set=poses=2", "--set=tried=8"]
    assert main(["grasps", str(box), *QUICK, *(off if wild else [])]) == 0
    printed = capsys.readouterr().out
    assert ("robustness 0.00" in printed.splitlines()[0]) is wild
    assert ("no trial" in printed and "capture more views" in printed) is wild


def test_a_folder_that_is_no_result_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["grasps", str(tmp_path), "-q"]) == 1
    assert "BAD_CAPTURE" in capsys.readouterr().err and not list(tmp_path.iterdir())
    (tmp_path / "scene.json").write_text("{}")
    assert main(["grasps", str(tmp_path), "-q"]) == 1
    assert "holds several objects: give the folder of one in it" in capsys.readouterr().err


def test_the_help_has_every_size_of_a_gripper_with_its_default() -> None:
    assert "grasps" in build_parser().format_help()
    for name, value in vars(Gripper()).items():
        assert f"{name}: {value:g} " in grasps.EXAMPLES
