"""Rankings of grasps are compared on the same object, seen by the same views, for an arm that is off by the same."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from shapes import camera, cuboid, see

pytest.importorskip("mvgamba_ros.sim.engine", reason="install the extra sim", exc_type=ImportError)
sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks/ is not installed

from benchmarks import grasp_ranking
from mvgamba_ros.config.grasp_config import GraspConfig
from mvgamba_ros.options import Options
from mvgamba_ros.surface.convex_parts import convex_parts
from mvgamba_ros.synthesis.robot_captures import RobotCapture
from mvgamba_ros.types import Mesh, View

BOX = cuboid([-0.03, -0.02, 0.0], [0.03, 0.02, 0.10])
WIDE = cuboid([-0.1, -0.1, 0.0], [0.1, 0.1, 0.2])
KNOWN = replace(BOX, seen=np.ones(8, np.uint8), expected_error_mm=np.ones(8, np.float32))
QUICK = {"samples": 200, "screened": 100, "tried": 8}


def photographed(truth: Mesh, name: str = "carton") -> RobotCapture:
    eyes = [[0.3, 0.1, 0.2], [-0.1, 0.3, 0.2], [-0.3, -0.1, 0.2]]
    views = see(truth, eyes, [0.0, 0.0, 0.05], camera())
    return RobotCapture(name, [replace(view, depth=np.ones(view.image.shape[:2], np.float32)) for view in views], truth)


def test_every_ranking_is_a_line_and_what_the_true_mesh_cannot_be_held_by_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    objects = [photographed(BOX), photographed(WIDE)]
    rankings = {
        name: replace(ranking, config=replace(ranking.config, **QUICK))
        for name, ranking in grasp_ranking.RANKINGS.items()
    }
    monkeypatch.setattr(grasp_ranking, "RANKINGS", rankings)
    monkeypatch.setattr(grasp_ranking, "CONFIG", replace(GraspConfig(), **QUICK, shapes=2))
    monkeypatch.setattr(grasp_ranking, "convex_parts", lambda mesh, count: convex_parts(mesh, 1))
    monkeypatch.setattr(grasp_ranking, "robot_capture", lambda seed, index, *given: objects[index])
    monkeypatch.setattr(grasp_ranking, "reconstructed", lambda capture, views, condition: KNOWN)
    out = tmp_path / "rows.jsonl"
    grasp_ranking.main(["--out", str(out), "--objects", "2"])
    printed, rows = capsys.readouterr().out, [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["ranking"] for row in rows if row["object"] == 0] == ["truth", *rankings, *rankings]
    assert [row["why"][:7] for row in rows if row["object"] == 1] == ["no plan"]
    assert f"| {rankings['blind'].words} | 1 of 1 | 1 of 1 | 100 % (100 to 100) | +0 % (+0 to +0) |" in printed
    monkeypatch.setattr(grasp_ranking, "executed", lambda *given: pytest.fail("done before"))
    grasp_ranking.main(["--out", str(out), "--objects", "2"])


def test_a_plan_that_fails_says_why_and_counts_as_much_of_the_error_as_it_is_told() -> None:
    quick = replace(GraspConfig(), **QUICK)
    assert str(grasp_ranking.planned(WIDE, 1.0, quick)).startswith("no plan: no grasp")
    unsure = replace(KNOWN, expected_error_mm=np.full(8, 40.0, np.float32))
    assert "too little for the object" in grasp_ranking.planned(unsure, 1.0, quick)
    assert not isinstance(grasp_ranking.planned(unsure, 0.0, quick), str)


def test_the_arm_is_off_by_the_same_for_all_rankings_of_one_object() -> None:
    first, again, other = (grasp_ranking.arm_error(name) for name in ("mug", "mug", "pan"))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other) and 0.0 < np.linalg.norm(first[:3, 3]) < 0.02


@pytest.mark.parametrize(
    ("views", "condition", "depth"), [(1, "stereo_ordinary_robot", True), (2, "pose_noise_5mm", False)]
)
def test_views_are_given_without_masks_and_with_depth_where_it_was_measured(
    monkeypatch: pytest.MonkeyPatch, views: int, condition: str, depth: bool
) -> None:
    given: list[View] = []

    def reconstruct(views: list[View], options: Options) -> SimpleNamespace:
        given.extend(views)
        return SimpleNamespace(mesh=KNOWN)

    monkeypatch.setattr(grasp_ranking, "reconstruct", reconstruct)
    capture = photographed(BOX)
    assert grasp_ranking.reconstructed(capture, views, condition) is KNOWN
    assert len(given) == views
    for view, true in zip(given, capture.views, strict=False):
        assert view.mask is None and (view.depth is not None) == depth
        assert not np.array_equal(view.T_world_camera, true.T_world_camera)  # its pose is off


def row(number: int, ranking: str, held: bool, robustness: float = 1.0) -> dict[str, Any]:
    return {"object": number, "views": 2, "ranking": ranking, "held": held, "robustness": robustness}


def test_differences_are_paired_by_object() -> None:
    """One that holds less on every second object has a difference of half, and none where both miss the same."""
    kept = [row(k, name, k % 2 == 0) for k in range(40) for name in grasp_ranking.RANKINGS if name != "any"]
    text = grasp_ranking.table(kept + [row(k, "any", False) for k in range(40)])
    assert "| robustness alone | 20 of 40 | 50 % (35 to 65) | +0 % (+0 to +0) |" in text
    assert "| 0 of 40 | 0 % (0 to 0) | -50 % (-65 to -35) |" in text


def test_where_no_object_can_be_held_there_is_nothing_to_compare() -> None:
    assert "draw more" in grasp_ranking.table([row(0, "truth", False) | {"views": 0}])


def test_held_shares_are_told_apart_by_robustness() -> None:
    rows = [row(0, "score", True, 0.8), row(1, "score", False, 0.8), row(2, "score", False, 0.0), row(3, "any", True)]
    text = grasp_ranking.calibration(rows)
    assert "| 0.75 to 1 | 1 of 2 |" in text and "| 0 to 0.1 | 0 of 1 |" in text
