"""A grasp that is planned well holds in the simulation, one beside the object does not, and both are counted."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shapes import camera, cuboid, see

pytest.importorskip("mvgamba_ros.sim.engine", reason="install the extra sim", exc_type=ImportError)
sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks/ is not installed

from benchmarks import grasps
from benchmarks.grasp_execution import execute
from mvgamba_ros.config.grasp_config import GraspConfig, Gripper
from mvgamba_ros.grasps.planner import plan_grasps
from mvgamba_ros.io.mesh_files import write_mesh
from mvgamba_ros.surface.convex_parts import convex_parts

BOX = cuboid([-0.03, -0.02, 0.0], [0.03, 0.02, 0.10])
QUICK = GraspConfig(samples=400, screened=300, tried=24, shapes=1, poses=4)


def test_a_good_grasp_holds_and_one_beside_the_box_misses() -> None:
    parts = convex_parts(BOX, 1)
    T = plan_grasps(BOX, Gripper(), 0.0, config=QUICK)[0].T_world_grasp
    outcome = execute(parts, 2.4e-4, Gripper(), T, 0.0)
    assert outcome.held and outcome.slid < 0.02
    beside = T.copy()
    beside[:3, 3] += [0.0, 0.0, 0.2]
    assert execute(parts, 2.4e-4, Gripper(), beside, 0.0).why == "missed"
    slippery = execute(parts, 2.4e-3, replace(Gripper(), friction=0.05), T, 0.0)
    assert not slippery.held and execute(parts, 2.4e-3, Gripper(), T, 0.0).held


def test_each_grasp_is_a_line_and_what_is_there_is_not_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "carton").mkdir()
    write_mesh(tmp_path / "carton" / "truth.ply", BOX)
    monkeypatch.setattr(grasps, "convex_parts", lambda mesh, count: convex_parts(mesh, 1))
    monkeypatch.setattr(grasps, "plan_grasps", lambda *given: plan_grasps(*given, config=QUICK))
    out = tmp_path / "rows.jsonl"
    given = [str(tmp_path), "--out", str(out), "--plans", "truth", "--top", "1"]
    grasps.main([*given, "--seeds", "1"])
    assert "| truth | 1 | 100 % (100 to 100) | 100 % (100 to 100) |" in capsys.readouterr().out
    first = out.read_text()
    grasps.main([*given, "--seeds", "1"])
    assert out.read_text() == first
    row = json.loads(first)
    assert (row["object"], row["plan"], row["held"]) == ("carton", "truth", True) and len(row["T"]) == 4


def test_the_table_counts_plans_by_their_best_grasp_and_by_all() -> None:
    def row(seed: int, rank: int, held: bool) -> dict[str, Any]:
        return {"object": "mug", "plan": "ours", "seed": seed, "rank": rank, "held": held}

    text = grasps.table([row(0, 0, True), row(0, 1, False), row(1, 0, True), row(1, 1, True)])
    assert "| ours | 2 | 100 % (100 to 100) | 75 % (50 to 100) |" in text


def test_a_view_from_one_side_fuses_to_one_side() -> None:
    vertices = grasps._fused(BOX, see(BOX, [[-0.3, 0.1, 0.2]], [0.0, 0.0, 0.05], camera())).vertices
    off = np.abs(vertices - [0.0, 0.0, 0.05]) - [0.03, 0.02, 0.05]
    assert np.abs(off.max(axis=1)).max() <= grasps.TRUNCATION
    middle = (np.abs(vertices[:, 1]) < 0.01) & (np.abs(vertices[:, 2] - 0.05) < 0.03)
    assert (vertices[middle, 0] < -0.028).any() and not (vertices[middle, 0] > -0.02).any()  # no back
