"""The paper's protocol: whole pictures, unit-cube figures, and the paper's own beside."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import trimesh

from mvgamba_ros.cli import main
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.evaluation.paper_protocol import beside_the_paper, unit_scores, whole_target
from mvgamba_ros.types import Camera, View

CAMERA = Camera(np.array([[60.0, 0, 32], [0, 60, 32], [0, 0, 1]]), 64, 64)


def view(width: int = 64) -> View:
    image = np.full((64, width, 3), 40, np.uint8)
    mask = np.zeros((64, width), bool)
    mask[20:40, 10:20] = True
    return View(image, Camera(CAMERA.K, width, 64), np.eye(4), mask, name="left")


def test_the_whole_picture_is_compared_on_white_at_the_size_that_is_given() -> None:
    target = whole_target(view(), 128)
    assert target.picture.shape == (128, 128, 3)
    np.testing.assert_allclose(target.view.camera.K, [[120, 0, 64], [0, 120, 64], [0, 0, 1]])
    assert target.view.mask is not None
    assert target.view.mask.mean() == pytest.approx(200 / 64**2, rel=0.05)
    inside = target.view.mask
    assert (target.picture[~inside] == 1).all() and np.allclose(target.picture[inside], 40 / 255)


def test_pictures_that_are_not_square_are_refused() -> None:
    with pytest.raises(
        ReconstructionError, match="left: 80 x 64 pixels; whole pictures are compared where they are"
    ) as e:
        whole_target(view(80), 128)
    assert e.value.code is ErrorCode.BAD_CAPTURE


def test_distances_count_in_longest_sides_of_the_truth() -> None:
    truth = np.random.default_rng(0).random((4000, 3)) * [0.2, 0.02, 0.02]
    truth[:2] = [[0, 0, 0], [0.2, 0.02, 0.02]]
    found = truth + np.array([0, 0, 0.0005])
    scores = unit_scores(found, truth)
    assert scores["chamfer_unit"] == pytest.approx(0.0025, rel=0.2)
    assert scores["F@0.01"] == 1.0
    assert unit_scores(truth + np.array([0, 0, 0.05]), truth)["F@0.01"] == 0.0
    assert unit_scores(found * 7, truth * 7) == pytest.approx(scores)


def test_the_table_has_the_papers_figures_and_says_what_differs() -> None:
    table = beside_the_paper({"psnr_db": 21.034, "ssim": 0.8849, "chamfer_unit": 0.0221, "seconds": 0.5}, 4)
    lines = table.splitlines()
    assert lines[1].split() == ["here", "4", "views", "21.03", "0.885", "-", "0.0221", "0.50"]
    assert lines[2].split() == ["MVGamba", "4", "views", "26.25", "0.881", "0.069", "0.0132", "0.03"]
    assert lines[3].split() == ["LGM", "4", "views", "24.20", "0.845", "0.112", "0.0198", "0.07"]
    assert "not published" in lines[5]


def test_the_command_scores_orbit_captures_by_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "meshes").mkdir()
    trimesh.creation.box((0.08, 0.06, 0.05)).export(tmp_path / "meshes" / "box.obj")
    assert main(["data", "orbit", str(tmp_path / "meshes"), "-o", str(tmp_path / "set"), "--size", "96"]) == 0
    arguments = ["eval", str(tmp_path / "set"), "-o", str(tmp_path / "out"), "--masks", "--method", "hull"]
    assert main([*arguments, "--whole-image", "64", "--hull-resolution", "32", "--no-refine"]) == 0
    printed = capsys.readouterr().out
    assert "unit CD" in printed and "26.25" in printed
    report = json.loads((tmp_path / "out" / "scores.json").read_text())
    mean = report["mean"]["4"]
    assert report["whole_image"] == 64
    assert mean["chamfer_unit"] == pytest.approx(mean["chamfer_mm"] / 80, rel=1e-6)
    # most of a whole picture is white, which both get right
    assert mean["psnr_db"] > 15
