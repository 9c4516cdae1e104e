"""One look is scored against the truth, and told no more than was chosen."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from shapes import camera, cuboid, see

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks/ is not installed

from benchmarks import one_look
from mvgamba_ros.io.mesh_files import write_mesh
from mvgamba_ros.io.transforms_json import write_capture


def test_a_box_of_which_one_look_is_taken_is_scored_seen_and_unseen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = cuboid([-0.05, -0.03, 0.0], [0.05, 0.03, 0.06])
    folder = tmp_path / "carton"
    write_capture(folder, see(truth, [[-0.3, 0.2, 0.3]], [0.0, 0.0, 0.02], camera()))
    write_mesh(folder / "truth.ply", truth)
    one_look.main([str(tmp_path), "--told", "masks"])
    lines = capsys.readouterr().out.splitlines()
    f5, chamfer, seen, unseen = map(float, lines[-1].split()[-4:])
    assert lines[1].startswith("carton 0") and lines[-1].startswith("mean of 1 looks")  # there is no view 2
    assert f5 > 0.6 and chamfer < 6.0 and max(seen, unseen) < 6.0
    one_look.main([str(tmp_path), "--told", "masks", "--set", "hull.min_box_iou=1"])
    assert float(capsys.readouterr().out.split()[-4]) < f5  # no box is fitted
