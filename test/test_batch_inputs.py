# mypy: no-check-untyped-defs
"""`mvgamba batch` where names, links and outputs are none that one would choose."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import rendered

from mvgamba_ros import worker_processes
from mvgamba_ros.batch.capture_search import find_captures_in
from mvgamba_ros.batch.made_from import made_from
from mvgamba_ros.cli import main
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.io.transforms_json import write_capture
from mvgamba_ros.options import Options

QUICK = ["--method", "hull", "--masks", "--hull-resolution", "32", "--texture", "0", "--no-report"]
QUICK += ["--support-height", "0", "--refine-poses", "off", "--no-refine"]


@pytest.fixture(autouse=True)
def done(monkeypatch) -> list[str]:
    """Jobs are done in this process; the names of those that were."""
    names: list[str] = []

    def outcomes(work, jobs, workers, started, prepare=None, given=()):
        for index, job in enumerate(jobs):
            started(index)
            names.append(job.capture.name)
            yield index, work(job)

    monkeypatch.setattr(worker_processes, "outcomes", outcomes)
    return names


@pytest.fixture
def cup(tmp_path) -> Path:
    write_capture(tmp_path / "cup", rendered.views(4))
    return tmp_path / "cup"


def test_pictures_behind_a_link_are_part_of_the_capture(cup, tmp_path):
    pictures = (cup / "images").rename(tmp_path / "elsewhere")
    (cup / "images").symlink_to(pictures)
    (cup / "circle").symlink_to(cup)
    (cup / "nowhere").symlink_to(tmp_path / "none")
    before = made_from(cup, Options(), {})
    assert made_from(cup, Options(), {}) == before
    os.utime(sorted(pictures.iterdir())[0], ns=(1, 1))
    assert made_from(cup, Options(), {}) != before


def test_results_inside_a_capture_are_no_part_of_it(cup, done):
    given = ["batch", str(cup), "-o", str(cup / "out"), *QUICK, "-q"]
    assert main(given) == 0 and main(given) == 0
    assert done == ["cup"]  # the second time it was kept


@pytest.mark.parametrize("edit", [{"quality": None}, {"objects": 3}, {"seconds": {}}])
def test_a_result_whose_report_was_edited_costs_no_batch(cup, tmp_path, done, edit):
    out = tmp_path / "out"
    given = ["batch", str(cup), "-o", str(out), *QUICK, "-q"]
    assert main(given) == 0
    report = json.loads((out / "cup" / "report.json").read_text())
    (out / "cup" / "report.json").write_text(json.dumps({**report, **edit}))
    main(given)
    assert done == ["cup", "cup"] and json.loads((out / "summary.json").read_text())["kept"] == 0


def test_the_output_is_no_capture(cup, capsys):
    assert main(["batch", str(cup), "-o", str(cup), *QUICK]) == 1
    printed = capsys.readouterr()
    assert "BAD_OPTION" in printed.err and str(cup) in printed.err and len(printed.err.splitlines()) == 1
    assert sorted(path.name for path in cup.iterdir()) == ["images", "transforms.json"]


def test_a_folder_in_the_place_of_the_table_is_found_before_the_work(cup, tmp_path, done, capsys):
    (tmp_path / "out" / "summary.json").mkdir(parents=True)
    assert main(["batch", str(cup), "-o", str(tmp_path / "out"), *QUICK]) == 1
    assert "summary.json: is a folder" in capsys.readouterr().err and not done


def test_a_name_that_is_no_text_has_its_result_and_costs_no_table(cup, tmp_path, capsys):
    os.rename(cup, os.fsencode(tmp_path) + b"/c\xff")  # noqa: PTH104
    out = tmp_path / "out"
    main(["batch", os.fsdecode(os.fsencode(tmp_path) + b"/c\xff"), "-o", str(out), *QUICK])
    (row,) = json.loads((out / "summary.json").read_text())["captures"]
    assert row["name"] == "c\\xff" and row["state"] == "done", row["error"]
    assert (out / "c\\xff" / "mesh.ply").is_file() and "c\\xff" in capsys.readouterr().out
    assert "c\\xff" in (out / "summary.csv").read_text() and "c\\xff" in (out / "gallery.html").read_text()


@pytest.mark.parametrize("name", ["", "x" * 5000, "**x", "~no-such-user/scans"])
def test_what_cannot_be_a_name_is_refused_in_one_line(name):
    with pytest.raises(ReconstructionError, match="name ") as refused:
        find_captures_in([name])
    assert refused.value.code is ErrorCode.BAD_CAPTURE and "\n" not in refused.value.message


def test_a_batch_whose_output_nobody_reads_goes_on(cup, tmp_path, monkeypatch):
    read, write = os.pipe()
    os.close(read)
    with open(write, "w") as pipe:  # noqa: PTH123
        monkeypatch.setattr(sys, "stdout", pipe)
        assert main(["batch", str(cup), "-o", str(tmp_path / "out"), *QUICK]) == 0
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["done"] == 1
    assert (tmp_path / "out" / "cup" / "mesh.ply").is_file()


def test_a_command_that_only_prints_ends_without_a_trace_where_nobody_reads(monkeypatch, capsys):
    read, write = os.pipe()
    os.close(read)
    with open(write, "w") as pipe:  # noqa: PTH123
        monkeypatch.setattr(sys, "stdout", pipe)
        assert main(["config"]) == 141
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_processes_of_a_command_whose_outputs_are_closed_have_some():
    child = "import os, sys; os.fstat(1), os.fstat(2); sys.exit(sys.stdout is None)"
    code = "import subprocess, sys; from mvgamba_ros.cli import main; main(['config']); "
    code += f"sys.exit(subprocess.run([sys.executable, '-c', {child!r}]).returncode)"
    closed = subprocess.run(["sh", "-c", 'exec "$0" -c "$1" >&- 2>&-', sys.executable, code], timeout=60)
    assert closed.returncode == 0
