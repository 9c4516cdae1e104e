"""Data folders: what is written is what is read, resumed, shared out between ranks."""

from __future__ import annotations

import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mvgamba_ros.cli import main
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.synthesis.families import Procedural
from mvgamba_ros.synthesis.pose_sampling import CameraRig
from mvgamba_ros.synthesis.shards import DataRecipe, Shards, example, write_shards
from mvgamba_ros.types import Counted

SOURCE = Procedural(7, 5)
RECIPE = DataRecipe("procedural", seed=7, count=5, per_shard=2, points=64, rig=CameraRig(views=2, inputs=2, size=32))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "seven"
    write_shards(folder, SOURCE, RECIPE, log=lambda line: None)
    return folder


def test_a_folder_that_cannot_be_filled_is_refused_by_name(tmp_path: Path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", Path("/proc/nothing")):
        with pytest.raises(ReconstructionError, match=str(folder)) as caught:
            write_shards(folder, SOURCE, RECIPE, log=lambda line: None)
        assert caught.value.code is ErrorCode.CANNOT_WRITE
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(ReconstructionError, match=r"manifest\.json cannot be read .*: delete it") as caught:
        write_shards(tmp_path, SOURCE, RECIPE, log=lambda line: None)
    assert caught.value.code is ErrorCode.BAD_OPTION


def test_a_damaged_shard_is_named(tmp_path: Path):
    (tmp_path / "shard_00000").mkdir()
    with pytest.raises(ReconstructionError, match=r"shard_00000 is damaged: .*: delete it and render") as caught:
        Shards(tmp_path)
    assert caught.value.code is ErrorCode.BAD_CAPTURE


@pytest.mark.parametrize(
    ("out", "more", "words"),
    [
        ("x.tga", [], "ends in .png or .jpg"),
        ("x.png", ["--first", "5"], "--first 5: .* holds objects 0 to 4"),
        ("/proc/nothing/x.png", [], "choose another output folder"),
    ],
)
def test_a_sheet_that_cannot_be_drawn_is_one_line(
    written: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], out: str, more: list[str], words: str
):
    assert main(["data", "sheet", str(written), "-o", str(tmp_path / out), *more]) == 1
    assert re.fullmatch(f"mvgamba: [A-Z_]+: .*{words}.*\n", capsys.readouterr().err)


def test_two_writers_of_one_folder_do_not_delete_each_others_work(written: Path, tmp_path: Path):
    (tmp_path / ".shard_00000.1").mkdir()
    hold = "import sys, time, pathlib\nfrom mvgamba_ros.io.lock import locked\n"
    hold += "with locked(pathlib.Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", hold, str(tmp_path)], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline() == b"held\n"
        with pytest.raises(ReconstructionError, match="another process is writing there") as caught:
            write_shards(tmp_path, SOURCE, RECIPE, log=lambda line: None)
        other.kill()
    assert caught.value.code is ErrorCode.BUSY and (tmp_path / ".shard_00000.1").is_dir()


def test_what_is_read_is_what_was_rendered(written: Path):
    shards = Shards(written)
    assert len(shards) == 5
    for i in (0, 3, 4):
        expected = example(SOURCE, i, RECIPE)
        assert set(shards[i]) == set(expected)
        for key, value in expected.items():
            np.testing.assert_array_equal(shards[i][key], value, err_msg=key)
    with pytest.raises(IndexError):
        shards[5]


def test_ranks_share_the_shards_out_without_overlap(written: Path):
    whole = [s["points"][0].tolist() for s in Shards(written)]
    halves = [[s["points"][0].tolist() for s in Shards(written, r, 2)] for r in range(2)]
    assert [len(h) for h in halves] == [3, 2]
    assert sorted(halves[0] + halves[1]) == sorted(whole)
    with pytest.raises(ReconstructionError) as caught:
        Shards(written, 3, 4)
    assert caught.value.code == ErrorCode.BAD_CAPTURE


def test_a_stopped_writer_goes_on_with_what_is_missing_and_gets_the_same(written: Path, tmp_path: Path):
    folder = tmp_path / "again"
    shutil.copytree(written, folder)
    before = Shards(written)
    kept = folder / "shard_00000" / "rgb.npy"
    stamp = kept.stat().st_mtime_ns
    shutil.rmtree(folder / "shard_00001")
    (folder / ".shard_00001.77").mkdir()  # what a killed writer leaves
    shards = Shards(folder)
    assert len(shards) == 3
    lines: list[str] = []
    write_shards(folder, SOURCE, RECIPE, log=lines.append)
    assert kept.stat().st_mtime_ns == stamp
    assert "2 of 3" in lines[0] and isinstance(lines[1], Counted) and lines[1].fraction == 1.0
    shards.refresh()
    assert len(shards) == 5
    for i in range(5):
        np.testing.assert_array_equal(shards[i]["rgb"], before[i]["rgb"])
    assert not list(folder.glob(".shard*"))


def test_another_recipe_for_the_same_folder_is_refused(written: Path):
    other = DataRecipe("procedural", seed=8, count=5, per_shard=2, points=64, rig=RECIPE.rig)
    with pytest.raises(ReconstructionError) as caught:
        write_shards(written, SOURCE, other, log=lambda line: None)
    assert caught.value.code == ErrorCode.BAD_OPTION
    assert str(written) in caught.value.message


def test_a_reader_travels_to_another_process_without_its_maps(written: Path):
    shards = Shards(written)
    shards[0]
    copy = pickle.loads(pickle.dumps(shards))
    np.testing.assert_array_equal(copy[4]["alpha"], shards[4]["alpha"])
    assert len(pickle.dumps(shards)) < 5000
