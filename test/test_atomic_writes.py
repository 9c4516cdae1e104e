"""What is written appears whole or not at all: full disks, killed processes, foreign files and links in the way."""

from __future__ import annotations

import errno
import json
import os
import pickle
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rendered

from mvgamba_ros.cli import main
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.io import atomic_writes
from mvgamba_ros.io.atomic_writes import ABANDONED_S, PART, whole_folder, write_file
from mvgamba_ros.io.results import check_results_folder, unlisted, write_results
from mvgamba_ros.io.transforms_json import read_transforms_json, write_capture
from mvgamba_ros.options import Options
from mvgamba_ros.pipeline import reconstruct
from mvgamba_ros.reconstruction import Reconstruction

VIEWS = rendered.views(3)
PICTURE = np.zeros((4, 4, 3), np.uint8)
DYING = """
import os, pickle, signal, sys
from mvgamba_ros.io import atomic_writes, mesh_files, ply, results
file, out, *names = sys.argv[1:]
result = pickle.load(open(file, "rb"))
write_file = atomic_writes.write_file
def die(path, content):
    if path.name == name:
        write_file(path, content[: len(content) // 2])
        os.kill(os.getpid(), signal.SIGKILL)
    write_file(path, content)
mesh_files.write_file = ply.write_file = results.write_file = die
for name in names:
    if os.fork() == 0:
        results.write_results(out, result)
        os._exit(0)
    assert os.WTERMSIG(os.wait()[1]) == signal.SIGKILL
"""


@pytest.fixture(scope="module")
def result() -> Reconstruction:
    return reconstruct(VIEWS, Options(method="hull", segmenter="masks", hull_resolution=48, cloud_points=2000))


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("capture")
    write_capture(folder, VIEWS)
    return folder


def content_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(call: Callable[[], object], *words: str) -> None:
    with pytest.raises(ReconstructionError) as caught:
        call()
    assert caught.value.code is ErrorCode.CANNOT_WRITE
    assert all(word in caught.value.message for word in words), caught.value.message


def test_a_result_replaces_the_former_one_as_a_whole(result: Reconstruction, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_results(out, result, PICTURE, VIEWS, {"id": "first"})
    files = write_results(out, result, None, VIEWS[:1], {"id": "second"})
    assert sorted(content_of(out)) == sorted(str(path.relative_to(out)) for path in files)
    assert not (out / "preview.png").exists() and not (out / "views" / "images" / "0001.png").exists()
    report = json.loads((out / "report.json").read_text())
    assert report["id"] == "second" and set(report["files"]) == set(content_of(out)) - {"report.json"}
    assert report["files"]["mesh.ply"]["bytes"] == (out / "mesh.ply").stat().st_size
    assert unlisted(out) == "" and list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("name", ["notes.txt", "views/notes.txt", "empty/"])
def test_a_folder_with_anything_else_is_refused_before_and_after_the_work(
    result: Reconstruction, capture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    out = tmp_path / "out"
    write_results(out, result, PICTURE, VIEWS)
    (out / name).mkdir(parents=True) if name.endswith("/") else (out / name).write_text("mine")
    before = content_of(out)
    refused(lambda: write_results(out, result), name.rstrip("/"), "move that away")
    refused(lambda: check_results_folder(out), str(out))
    assert main(["reconstruct", str(capture), "-o", str(out), "--masks", "--method", "hull"]) == 1
    assert "segment" not in capsys.readouterr().err, "the work was begun"
    assert content_of(out) == before and list(tmp_path.iterdir()) == [out]


def test_a_result_that_was_changed_since_is_not_deleted(result: Reconstruction, tmp_path: Path) -> None:
    write_results(tmp_path / "out", result)
    (tmp_path / "out" / "mesh.ply").write_text("smoothed by hand")
    refused(lambda: write_results(tmp_path / "out", result), "mesh.ply", "changed")
    assert (tmp_path / "out" / "mesh.ply").read_text() == "smoothed by hand"


def test_what_comes_in_the_way_during_the_work_is_kept_and_so_is_the_work(tmp_path: Path) -> None:
    def one(folder: Path) -> str:
        return "holds a file of another" if (folder / "foreign").exists() else ""

    with (
        pytest.raises(ReconstructionError, match=r"file of another.*is in .*out\.1"),
        whole_folder(tmp_path / "out", one) as part,
    ):
        write_file(part / "answer", b"42")
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "foreign").write_text("mine")
    assert content_of(tmp_path) == {"out/foreign": b"mine", "out.1/answer": b"42"}


def test_a_process_killed_while_it_writes_leaves_the_former_result(result: Reconstruction, tmp_path: Path) -> None:
    out, pickled, names = tmp_path / "out", tmp_path / "pickled", ["mesh.ply", "cloud.ply", "report.json"]
    write_results(out, result, PICTURE, VIEWS)
    before = content_of(out)
    pickled.write_bytes(pickle.dumps(result))
    subprocess.run([sys.executable, "-c", DYING, pickled, out, *names], check=True)
    assert content_of(out) == before
    left, long_ago = list(tmp_path.glob(f"{PART}*")), time.time() - 2 * ABANDONED_S
    assert len(left) == len(names)
    for part in left:
        os.utime(part, (long_ago, long_ago))
    write_results(out, result)
    assert sorted(tmp_path.iterdir()) == [out, pickled] and unlisted(out) == ""


def test_a_full_disk_leaves_the_former_result_and_names_the_folder(
    result: Reconstruction, capture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Files may be no larger than 50 kB: the same failing write as on a full disk."""
    out = tmp_path / "out"
    write_results(out, result, PICTURE, VIEWS)
    before, (limit, most) = content_of(out), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, most))
    try:
        done = main(["reconstruct", str(capture), "-o", str(out), "--masks", "--method", "hull"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, most))
    last = capsys.readouterr().err.splitlines()[-1]
    assert done == 1 and "CANNOT_WRITE" in last and str(out) in last and "make room" in last and PART not in last
    assert content_of(out) == before and list(tmp_path.iterdir()) == [out]


def test_a_part_that_is_being_written_is_not_removed(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "slow", lambda folder: "") as part:
        os.utime(part, (0, 0))
        with whole_folder(tmp_path / "fast", lambda folder: "") as other:
            write_file(other / "a", b"1")
        assert part.is_dir()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fast", "slow"]


def test_links_files_and_folders_in_use_are_no_place_for_a_result(
    result: Reconstruction, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "link").symlink_to(elsewhere)
    (tmp_path / "file").write_text("mine")
    refused(lambda: write_results(tmp_path / "link", result), "symbolic link")
    refused(lambda: write_results(tmp_path / "file", result), "is a file")
    refused(lambda: write_results("/proc", result), "in use")
    monkeypatch.chdir(elsewhere)
    refused(lambda: check_results_folder("."), "in use", "inside")
    refused(lambda: check_results_folder("~nobody-of-that-name/out"), "choose another")
    refused(lambda: check_results_folder(tmp_path / ("n" * 300)), "too long")
    refused(lambda: check_results_folder("a\0b"), "choose another")
    assert check_results_folder(tmp_path / "link" / "out") == elsewhere / "out"
    assert not list(elsewhere.iterdir())


def test_a_file_system_that_cannot_exchange_folders_takes_three_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Libc:
        @staticmethod
        def renameat2(*arguments: object) -> int:
            atomic_writes.ctypes.set_errno(errno.EINVAL)
            return -1

    monkeypatch.setattr(atomic_writes.ctypes, "CDLL", lambda name, use_errno: Libc)
    for content in (b"1", b"2"):
        with whole_folder(tmp_path / "out", lambda folder: "") as part:
            write_file(part / "a", content)
    assert content_of(tmp_path) == {"out/a": b"2"}


def test_a_list_of_views_never_names_pictures_of_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever call of the file system fails, what is read is the old capture, the new one, or none."""
    views = [replace(view, mask=None, depth=None) for view in VIEWS]
    failures = 0
    for fail_at in range(1, 60):
        write_capture(tmp_path, views)
        calls = 0

        def failing(self: Path, target: Path, real: Callable[..., Path] = Path.rename, at: int = fail_at) -> Path:
            nonlocal calls
            calls += 1
            if calls == at:
                raise OSError(errno.ENOSPC, "No space left on device", str(target))
            return real(self, target)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", failing)
            try:
                write_capture(tmp_path, views[1:])
            except ReconstructionError as error:
                failures += 1
                assert error.code is ErrorCode.CANNOT_WRITE
        assert not list(tmp_path.glob(f"{PART}*"))
        try:
            found = read_transforms_json(tmp_path)
        except ReconstructionError as error:
            assert "not found" in error.message
            continue
        expected = views[-len(found) :]
        assert all(np.array_equal(a.image, b.image) for a, b in zip(found, expected, strict=True))
        if calls < fail_at:
            break
    assert failures > 3 and calls < 59
