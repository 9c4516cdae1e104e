# mypy: no-check-untyped-defs
"""`mvgamba batch`: every capture its result or its error, none at another's cost, and only what is needed again."""

from __future__ import annotations

import base64
import csv
import json
import re
import shutil
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import rendered

from mvgamba_ros import worker_processes
from mvgamba_ros.batch.capture_search import find_captures_in
from mvgamba_ros.cli import main
from mvgamba_ros.cli._workers import anywhere, default_workers
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.io.mesh_files import read_mesh
from mvgamba_ros.io.transforms_json import write_capture
from mvgamba_ros.options import Options

QUICK = ["--method", "hull", "--masks", "--hull-resolution", "32", "--texture", "0"]
QUICK += ["--support-height", "0", "--refine-poses", "off", "--no-refine"]


@pytest.fixture(scope="module")
def captures(tmp_path_factory) -> Path:
    """Two captures and a broken one."""
    root = tmp_path_factory.mktemp("captures")
    for name, count in (("apple", 4), ("broken", 4), ("cup", 5)):
        (root / name).mkdir()
        write_capture(root / name, rendered.views(count))
    (root / "broken" / "transforms.json").write_text("{not json")
    return root


def in_this_process(work, jobs, workers, started, prepare=None, given=()):
    """As `outcomes`, in no other process."""
    for index, job in enumerate(jobs):
        started(index)
        yield index, work(job)


@pytest.fixture
def here(monkeypatch) -> list[str]:
    """Jobs are done in this process; the names of those that were."""
    names: list[str] = []

    def noted(work, jobs, workers, started, prepare=None, given=()):
        names.extend(job.capture.name for job in jobs)
        yield from in_this_process(work, jobs, workers, started)

    monkeypatch.setattr(worker_processes, "outcomes", noted)
    return names


@pytest.fixture(scope="module")
def made(captures, tmp_path_factory) -> Path:
    """What one process made of them."""
    out = tmp_path_factory.mktemp("made") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker_processes, "outcomes", in_this_process)
        assert main(["batch", str(captures), "-o", str(out), *QUICK, "-q"]) == 1
    return out


def rows(out: Path) -> dict[str, dict]:
    return {row["name"]: row for row in json.loads((out / "summary.json").read_text())["captures"]}


def test_a_broken_capture_is_named_and_costs_the_others_nothing(made):
    table = rows(made)
    assert [table[name]["state"] for name in ("apple", "broken", "cup")] == ["done", "failed", "done"]
    assert table["broken"]["error_code"] == "BAD_CAPTURE" and "broken JSON" in table["broken"]["error"]
    for name, views in (("apple", 4), ("cup", 5)):
        report = json.loads((made / name / "report.json").read_text())
        assert report["views"] == views and (made / name / "mesh.ply").is_file()
        assert table[name]["expected_error_mm"] == report["quality"]["expected_error_mm"]
        assert table[name]["seconds"] >= report["seconds"]["total"] and table[name]["quality"] == "good"
    assert not (made / "broken").exists() and not list(made.glob(".mvgamba-*"))


def test_the_table_is_a_csv_too(made):
    with (made / "summary.csv").open(newline="") as file:
        table = {row["name"]: row for row in csv.DictReader(file)}
    assert table["broken"]["state"] == "failed" and "broken JSON" in table["broken"]["error"]
    assert float(table["cup"]["expected_error_mm"]) == rows(made)["cup"]["expected_error_mm"]


def test_the_gallery_holds_all_and_leads_to_their_pages(made):
    page = (made / "gallery.html").read_text(encoding="utf-8")
    links = re.findall(r'<a href="([^"]*)"><img src="data:image/jpeg;base64,([^"]*)"', page)
    assert [link for link, _ in links] == ["apple/report.html", "cup/report.html"]
    assert all((made / link).is_file() for link, _ in links)
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(links[0][1]), np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (240, 320, 3) and picture.std() > 10
    assert "3 captures, 0 of low quality, 1 failed" in page and "BAD_CAPTURE" in page and "broken JSON" in page
    assert "http" not in re.sub(r"http-equiv", "", page) and "default-src 'none'" in page


def test_names_cannot_become_markup(here, tmp_path):
    evil = tmp_path / "<b>&'x"
    evil.mkdir()
    main(["batch", str(evil), "-o", str(tmp_path / "out"), *QUICK, "-q"])
    page = (tmp_path / "out" / "gallery.html").read_text(encoding="utf-8")
    assert "<b>" not in page and "&lt;b&gt;&amp;&#x27;x" in page


def test_a_rerun_keeps_what_stands_and_tries_again_what_failed(captures, made, tmp_path, here, capsys):
    out = shutil.copytree(made, tmp_path / "out")
    before = (out / "cup" / "report.json").read_bytes()
    assert main(["batch", str(captures), "-o", str(out), *QUICK]) == 1
    assert here == ["broken"] and (out / "cup" / "report.json").read_bytes() == before
    printed = capsys.readouterr().out
    assert "2 kept from before, 1 to do" in printed and re.search(r"^apple +kept", printed, re.MULTILINE)
    good = [str(captures / name) for name in ("apple", "cup")]
    assert main(["batch", *good, "-o", str(out), *QUICK, "--json"]) == 0
    assert here == ["broken"]  # no work at all
    content = json.loads(capsys.readouterr().out)
    assert content["kept"] == 2 and content["captures"] == json.loads((out / "summary.json").read_text())["captures"]


def test_quiet_is_one_line_where_a_capture_failed_and_none_where_none_did(captures, made, tmp_path, here, capfd):
    made = shutil.copytree(made, tmp_path / "out")
    assert main(["batch", str(captures), "-o", str(made), *QUICK, "-q"]) == 1
    printed = capfd.readouterr()
    assert printed.out == "" and printed.err.splitlines() == [
        f"mvgamba: 1 of 3 failed: {made / 'summary.csv'} has the causes"
    ]
    assert main(["batch", str(captures / "cup"), "-o", str(made), *QUICK, "-q"]) == 0
    printed = capfd.readouterr()
    assert printed.out == printed.err == ""


def test_another_option_other_files_and_a_damaged_result_are_made_anew(captures, made, tmp_path, here):
    out, root = shutil.copytree(made, tmp_path / "out"), shutil.copytree(captures, tmp_path / "captures")
    good = [str(root / name) for name in ("apple", "cup")]
    assert main(["batch", *good, "-o", str(out), *QUICK, "-q"]) == 0
    assert here == []  # copied with their times
    (root / "cup" / "transforms.json").touch()
    (out / "apple" / "cloud.ply").unlink()
    assert main(["batch", *good, "-o", str(out), *QUICK, "-q"]) == 0
    assert here == ["apple", "cup"]
    assert main(["batch", good[0], "-o", str(out), *QUICK, "-q", "--set", "surface.smoothing_sigma=2.0"]) == 0
    assert here == ["apple", "cup", "apple"]
    assert main(["batch", good[1], "-o", str(out), *QUICK, "-q", "--no-depth"]) == 0
    assert here == ["apple", "cup", "apple", "cup"]
    assert json.loads((out / "cup" / "report.json").read_text())["depth_views"] == 0


def test_a_former_result_of_other_options_is_not_shown_for_a_capture_that_fails(captures, made, tmp_path, here):
    out, root = shutil.copytree(made, tmp_path / "out"), shutil.copytree(captures, tmp_path / "captures")
    (root / "cup" / "transforms.json").write_text("{}")
    assert main(["batch", str(root / "cup"), "-o", str(out), *QUICK, "-q"]) == 1
    row = rows(out)["cup"]
    assert row["folder"] == "" and "other inputs or options" in row["notes"][0] and (out / "cup" / "mesh.ply").exists()
    assert "<img" not in (out / "gallery.html").read_text(encoding="utf-8")


@pytest.mark.timeout(120)
def test_two_processes_make_what_one_makes(captures, made, tmp_path):
    good = [str(captures / name) for name in ("apple", "cup")]
    assert main(["batch", *good, "-o", str(tmp_path), *QUICK, "-q", "--workers", "2"]) == 0
    assert json.loads((tmp_path / "summary.json").read_text())["workers"] == 2
    for name in ("apple", "cup"):
        assert_same_mesh(tmp_path / name, made / name)


def assert_same_mesh(one: Path, other: Path) -> None:
    """To the rounding of sums, whose order is that of a process's threads."""
    meshes = [read_mesh(folder / "mesh.ply") for folder in (one, other)]
    assert np.array_equal(meshes[0].faces, meshes[1].faces)
    assert np.abs(meshes[0].vertices - meshes[1].vertices).max() < 1e-6


def test_an_interrupt_keeps_what_is_done_and_says_what_is_not(captures, tmp_path, monkeypatch, capsys):
    def interrupted(work, jobs, workers, started, prepare=None, given=()):
        yield 0, work(jobs[0])
        raise KeyboardInterrupt

    monkeypatch.setattr(worker_processes, "outcomes", interrupted)
    assert main(["batch", str(captures), "-o", str(tmp_path), *QUICK]) == 130
    assert [row["state"] for row in rows(tmp_path).values()] == ["done", "pending", "pending"]
    assert "1 of 3 are done" in capsys.readouterr().out


def test_a_process_that_died_is_an_error_of_its_capture(captures, tmp_path, monkeypatch):
    from concurrent.futures.process import BrokenProcessPool

    dead = [(0, BrokenProcessPool("gone"))]
    monkeypatch.setattr(worker_processes, "outcomes", lambda *_, **__: (item for item in dead))
    assert main(["batch", str(captures / "cup"), "-o", str(tmp_path), *QUICK, "-q"]) == 1
    row = rows(tmp_path)["cup"]
    assert row["error_code"] == "INTERNAL" and "its process died" in row["error"] and "fewer workers" in row["error"]


def test_several_objects_of_a_capture_are_one_row(tmp_path, here):
    (tmp_path / "pair").mkdir()
    write_capture(tmp_path / "pair", rendered.pair_views(4))
    boxes = [
        [*(box.T_world_box[:3, 3] - box.size / 2), *(box.T_world_box[:3, 3] + box.size / 2)]
        for box in rendered.regions()
    ]
    regions = [text for box in boxes for text in ("--roi", *(f"{x:.4f}" for x in box))]
    out, command = tmp_path / "out", ["batch", str(tmp_path / "pair"), "-q", *QUICK[:2], *QUICK[3:], *regions]
    assert main([*command, "-o", str(out)]) == 0
    row = rows(out)["pair"]
    assert row["state"] == "done" and row["objects"] == 2 and (out / "pair" / "object_2" / "mesh.ply").exists()
    assert '<a href="pair/scene.png"><img src="data:image/jpeg;base64,/9j/' in (out / "gallery.html").read_text()
    assert main([*command, "-o", str(out)]) == 0 and here == ["pair"]


def test_captures_are_found_in_folders_by_patterns_and_once(captures, tmp_path):
    other = shutil.copytree(captures, tmp_path / "tuesday")
    (other / "notes").mkdir()
    found = find_captures_in([str(captures), str(other / "*p*"), str(captures / "cup")])
    folder = captures.name
    assert [c.name for c in found.captures] == [
        f"{folder}-apple",
        "broken",
        f"{folder}-cup",
        "tuesday-apple",
        "tuesday-cup",
    ]
    assert find_captures_in([str(other)]).beside == [other / "notes"]
    assert [c.name for c in find_captures_in([str(tmp_path / "none")]).captures] == ["none"]  # reading it tells
    with pytest.raises(ReconstructionError, match="no file or folder matches") as caught:
        find_captures_in([str(captures / "z*")])
    assert caught.value.code is ErrorCode.BAD_CAPTURE
    shutil.copytree(captures / "cup", tmp_path / "gallery.html")
    with pytest.raises(ReconstructionError, match="rename a capture"):
        find_captures_in([str(tmp_path / "gallery.html")])


@pytest.mark.parametrize(("jobs", "cores", "free", "most"), [(9, 4, 64, 4), (2, 4, 64, 2), (9, 4, 2, 2), (9, 4, 0, 1)])
def test_there_are_no_more_workers_than_captures_cores_and_free_gigabytes(jobs, cores, free, most, monkeypatch):
    monkeypatch.setattr(worker_processes, "cores", lambda: cores)
    monkeypatch.setattr(worker_processes, "free_memory", lambda: free << 30)
    assert default_workers(jobs) == most


def test_weights_are_found_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("weights.pt").touch()
    moved = anywhere(Options(checkpoint="weights.pt", generator_weights="owner/name@commit"))
    assert moved.checkpoint == str(tmp_path / "weights.pt") and moved.generator_weights == "owner/name@commit"


def test_an_option_that_is_wrong_is_refused_before_any_work(captures, tmp_path, capsys):
    assert main(["batch", str(captures), "-o", str(tmp_path / "out"), *QUICK, "--max-faces", "2"]) == 1
    assert "BAD_OPTION" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_a_cluster_without_its_package_names_the_extra(captures, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    command = ["batch", str(captures), "-o", str(tmp_path), *QUICK, "--cluster", "tcp://127.0.0.1:1"]
    assert main(command) == 1
    assert "MISSING_PACKAGE" in (error := capsys.readouterr().err) and "mvgamba_ros[cluster]" in error
    assert not (tmp_path / "summary.json").exists()


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_workers_of_a_real_cluster_make_what_one_process_makes(captures, made, tmp_path, capsys):
    distributed = pytest.importorskip("distributed", reason="install the extra cluster")
    command = ["batch", str(captures), "-o", str(tmp_path), *QUICK, "--cluster"]
    local = {"processes": True, "dashboard_address": ":0", "silence_logs": 50}
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, **local) as cluster:
        assert main([*command, cluster.scheduler_address, "-q"]) == 1
        table = rows(tmp_path)
        assert [table[name]["state"] for name in ("apple", "broken", "cup")] == ["done", "failed", "done"]
        for name in ("apple", "cup"):
            assert_same_mesh(tmp_path / name, made / name)
        assert not list(tmp_path.glob(".mvgamba-*"))
    with distributed.LocalCluster(n_workers=1, threads_per_worker=2, **local) as cluster:
        assert main([*command, cluster.scheduler_address, "-q"]) == 1
        assert "--nthreads 1" in capsys.readouterr().err
    began = time.monotonic()
    assert main([*command, "tcp://127.0.0.1:1", "-q"]) == 1
    assert "no Dask scheduler answers" in capsys.readouterr().err and time.monotonic() - began < 30
