"""Jobs in processes: a worker that fails or dies ends the whole, and never leaves it waiting."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.worker_processes import PATIENCE_S, in_processes, outcomes


class ForeignError(Exception):
    """As many libraries' exceptions: it cannot be unpickled, since its arguments are not those of its constructor."""

    def __init__(self, line: int, column: int) -> None:
        super().__init__(f"line {line}, column {column}")


def square(number: int) -> int:
    if number == 7:
        raise ForeignError(1, 2)
    if number == 8:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 9:
        raise ReconstructionError(ErrorCode.BAD_CAPTURE, "nine")
    return number * number


def test_every_job_is_done() -> None:
    assert sorted(in_processes(square, range(5), 2, Path("out"))) == [0, 1, 4, 9, 16]


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("number", "words"), [(7, "process that fills it died"), (8, "fewer workers"), (9, "nine")])
def test_a_job_that_fails_in_any_way_ends_the_whole(number: int, words: str) -> None:
    with pytest.raises(ReconstructionError, match=words):
        list(in_processes(square, [1, number, 2, 3], 1, Path("out")))


@pytest.mark.timeout(60)
def test_of_independent_jobs_each_has_its_own_outcome_also_where_its_process_dies() -> None:
    started: list[int] = []
    found = dict(outcomes(square, [1, 8, 2, 9, 3], 2, started.append))
    assert (found[0], found[2], found[4]) == (1, 4, 9) and started == [0, 1, 2, 3, 4]
    assert isinstance(found[1], BrokenProcessPool)
    assert isinstance(found[3], ReconstructionError) and found[3].code is ErrorCode.BAD_CAPTURE


def hold(file: Path) -> None:
    """Writes a file that it takes away again at its end, which does not come."""
    try:
        file.write_text("half of it")
        time.sleep(60.0)
    finally:
        file.unlink()


@pytest.mark.timeout(60)
def test_a_caller_that_stops_leaves_no_process_and_nothing_half_written(tmp_path: Path) -> None:
    jobs = [tmp_path / "quick", tmp_path / "slow"]
    made = outcomes(touch_or_hold, jobs, 2)
    assert next(made)[0] == 0
    while not jobs[1].exists():
        time.sleep(0.01)
    began = time.monotonic()
    made.close()
    assert not jobs[1].exists() and not multiprocessing.active_children() and time.monotonic() - began < PATIENCE_S


def touch_or_hold(file: Path) -> None:
    file.touch() if file.name == "quick" else hold(file)


def test_an_empty_source_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    from mvgamba_ros.synthesis.shards import DataRecipe, write_shards  # not in every worker: it takes seconds

    with pytest.raises(ReconstructionError, match="no objects") as caught:
        write_shards(tmp_path / "out", [], DataRecipe(count=4), workers=2)  # type: ignore[arg-type]
    assert caught.value.code is ErrorCode.BAD_OPTION and not (tmp_path / "out").exists()
