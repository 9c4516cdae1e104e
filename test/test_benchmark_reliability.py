"""What soak and faults conclude: growth is found, and a fault that ends otherwise than it must is a row of a table."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy")
sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks/ is not installed

from benchmarks import faults, soak

pytestmark = pytest.mark.ros


def rows(**last: float) -> list[soak.Row]:
    even = dict.fromkeys(soak.GAUGES, 100.0)
    return [{"turn": k, "seconds": 1.0, **even, **(last if k == 70 else {})} for k in range(100)]


def test_what_grows_after_the_first_turns_by_more_than_a_twentieth_is_named() -> None:
    assert soak.growth(rows())[1] == []
    assert soak.growth(rows(memory_mb=104.0, threads=90.0))[1] == []
    table, grown = soak.growth(rows(memory_mb=106.0, descriptors=120.0))
    assert grown == ["memory_mb grew from 100 to 106", "descriptors grew from 100 to 120"]
    assert "| memory mb | 100 | 106 | 100 |" in table


def test_the_csv_and_the_plot_of_a_soak_are_written(tmp_path: Path) -> None:
    soak.write(rows(), tmp_path)
    soak.plot(rows(), tmp_path / "soak.png")
    assert len((tmp_path / "soak.csv").read_text().splitlines()) == 101
    assert (tmp_path / "soak.png").stat().st_size > 10_000


def test_a_fault_that_ends_otherwise_is_a_row_and_does_not_end_the_others() -> None:
    report = faults.Report()

    def group(report: faults.Report, folder: Path) -> None:
        assert folder.is_dir()
        with report.case("a wrong size", "BAD_IMAGE") as case:
            case.did = "SUCCESS"
            assert case.did == "BAD_IMAGE", "no | refusal"
        with report.case("a right size", "SUCCESS") as case:
            case.did = "SUCCESS"
        raise OSError("the node is gone")

    report.run(group)
    assert [case.failed for case in report.cases] == [True, False, True]
    wrong, right, ended = report.table.splitlines()[2:]
    assert wrong.startswith("| a wrong size | BAD_IMAGE | **NOT**: SUCCESS AssertionError: no / refusal")
    assert right == "| a right size | SUCCESS | SUCCESS | 0.0 |"
    assert "group group" in ended and "the node is gone" in ended
