"""The simulation of a batch on many workers does what list scheduling does."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks/ is not installed

from benchmarks import batch_scaling
from benchmarks.batch_scaling import Measured, makespan, starting


def test_a_worker_takes_the_next_capture_when_it_is_free():
    assert makespan([3.0, 1.0, 1.0, 1.0], 2) == 3.0
    assert makespan([1.0, 1.0, 1.0, 3.0], 2) == 4.0  # in the order given, the long one last
    assert makespan([1.0, 2.0], 8, start=0.5) == 2.5  # more workers than captures
    assert makespan([1.0] * 6, 1) == 6.0


def test_what_the_captures_do_not_account_for_is_the_time_to_start():
    assert starting(Measured(2, 5.0, [2.0, 2.0, 2.0], 0.1)) == pytest.approx(1.0)


def test_the_ratio_is_of_one_process_with_all_cores_to_two(monkeypatch, capsys, tmp_path):
    runs = {1: Measured(1, 9.0, [4.0, 4.0], 0.1), 2: Measured(2, 6.0, [5.0, 5.0], 0.2)}
    given = []
    monkeypatch.setattr(
        batch_scaling, "measure", lambda captures, workers, options: given.append((captures, options)) or runs[workers]
    )
    batch_scaling.main(["a", "b", "--method", "hull", "-o", str(tmp_path / "drawn.png")])
    assert given == [(["a", "b"], ["--method", "hull"])] * 2
    printed = capsys.readouterr().out
    assert "are 1.50 times as fast" in printed and "1.0 s to start" in printed and (tmp_path / "drawn.png").exists()
