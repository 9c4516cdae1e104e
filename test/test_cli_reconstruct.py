# mypy: no-check-untyped-defs
"""The command: files out, help that teaches, one line and a status when it fails."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import cv2
import pytest
import rendered
import trimesh

from mvgamba_ros import __version__
from mvgamba_ros.cli import build_parser, main
from mvgamba_ros.config import ReconstructionConfig
from mvgamba_ros.io.mesh_files import read_mesh
from mvgamba_ros.io.transforms_json import write_capture


@pytest.fixture(scope="module")
def capture(tmp_path_factory):
    folder = tmp_path_factory.mktemp("capture")
    write_capture(folder, rendered.views(4))
    return folder


def test_a_capture_becomes_mesh_cloud_report_and_preview(capture, tmp_path, capsys):
    out = tmp_path / "deep" / "out"
    assert (
        main(["reconstruct", str(capture), "-o", str(out), "--method", "hull", "--masks", "--max-faces", "1500"]) == 0
    )
    mesh = read_mesh(out / "mesh.ply")
    assert 100 < len(mesh.faces) <= 1500
    assert len(trimesh.load(out / "cloud.ply").vertices) == 20000
    report = json.loads((out / "report.json").read_text())
    assert report["views"] == 4 and report["method"] == "hull" and report["mesh"]["faces"] == len(mesh.faces)
    assert report["quality"]["silhouette_iou"] > 0.9
    assert report["support_height_m"] == pytest.approx(0.0, abs=2e-3)
    volume = 4 / 3 * 3.14159 * rendered.SIZE.prod() / 8
    assert volume * 0.9 < report["mesh"]["volume_m3"] < volume * 1.6
    assert report["seconds"]["total"] > 0
    assert cv2.imread(str(out / "preview.png")).shape[1] == 1280
    printed = capsys.readouterr()
    assert "mm at" in printed.out and "preview.png" in printed.out
    assert "method" in printed.err  # progress
    assert report["options"]["max_faces"] == 1500 and report["options"]["segmenter"] == "masks"
    assert report["version"] == __version__ and report["masks"] == ["given"] * 4
    assert set(report["config"]) == {item.name for item in fields(ReconstructionConfig)}


@pytest.mark.parametrize(("flags", "used"), [([], 4), (["--no-depth"], 0)])
def test_depth_is_used_unless_it_is_left_out_and_the_summary_says_so(capture, tmp_path, capsys, flags, used):
    fast = ["--method", "hull", "--masks", "--hull-resolution", "32", "--refine-poses", "off", "--no-report"]
    assert main(["reconstruct", str(capture), "-o", str(tmp_path), *fast, *flags]) == 0
    assert f"depth    used of {used} of 4 views\n" in capsys.readouterr().out
    assert json.loads((tmp_path / "report.json").read_text())["depth_views"] == used


def test_region_and_support_reach_the_pipeline(capture, tmp_path):
    out = tmp_path / "out"
    box = ["0.40", "0.0", "0.0", "0.5", "0.1", "0.05"]
    args = ["reconstruct", str(capture), "-o", str(out), "--method", "hull", "--masks", "--roi", *box]
    assert main([*args, "--support-height", "0.01"]) == 0
    mesh = read_mesh(out / "mesh.ply")
    assert mesh.vertices[:, 2].max() < 0.052 and mesh.vertices[:, 2].min() > 0.008


@pytest.mark.parametrize(
    "extra, word",
    [
        (["--views", "missing.json"], "BAD_CAPTURE"),
        (["--max-faces", "2"], "BAD_OPTION"),
        (["--set", "segmentatoin.x=1"], "BAD_OPTION"),
        (["--config", "missing.yaml"], "BAD_OPTION"),
        (["--roi", "0", "0", "0", "0.1", "0", "0.1"], "BAD_ROI"),
        (["--roi", "0.4", "0", "3", "0.5", "0.1", "3.1"], "ROI_NOT_VISIBLE"),
    ],
)
def test_a_failure_is_one_line_and_status_one(capture, tmp_path, capsys, extra, word):
    assert main(["reconstruct", str(capture), "-o", str(tmp_path / "o"), "--method", "hull", "--masks", *extra]) == 1
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("mvgamba: ") and word in line


def test_an_output_folder_that_cannot_be_written_is_refused_before_the_work(capture, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    assert main(["reconstruct", str(capture), "-o", str(tmp_path / "file" / "out"), "--masks"]) == 1
    error = capsys.readouterr().err
    assert "CANNOT_WRITE" in error and "another output folder" in error
    assert "segment" not in error  # no stage was begun


def test_a_wrong_option_is_status_two():
    with pytest.raises(SystemExit) as stopped:
        main(["reconstruct", "capture", "-o", "out", "--method", "magic"])
    assert stopped.value.code == 2


def test_given_masks_and_a_segmenter_exclude_each_other(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["reconstruct", "capture", "-o", "out", "--masks", "--segmenter", "sam"])
    assert stopped.value.code == 2 and "not allowed with" in capsys.readouterr().err


def test_the_reader_of_a_capture_can_be_named(capture, tmp_path, capsys):
    args = ["reconstruct", str(capture), "-o", str(tmp_path), "--method", "hull", "--masks", "--reader"]
    assert main([*args, "transforms_json"]) == 0
    with pytest.raises(SystemExit) as stopped:
        main([*args, "magic"])
    assert stopped.value.code == 2 and "transforms_json" in capsys.readouterr().err


def test_the_printed_settings_are_a_file_for_the_next_call(tmp_path, capsys):
    assert main(["config"]) == 0
    file = tmp_path / "settings.yaml"
    file.write_text(capsys.readouterr().out)
    assert main(["config", "--config", str(file)]) == 0
    assert capsys.readouterr().out == file.read_text()
    assert main(["config", "--set", "segmentatoin.x=1"]) == 1
    assert "did you mean segmentation" in capsys.readouterr().err


def test_help_teaches_with_examples(capsys):
    with pytest.raises(SystemExit) as stopped:
        build_parser().parse_args(["reconstruct", "--help"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    assert "examples:" in text and "--support-height" in text and "transforms.json" in text


def test_the_module_runs_as_a_program():
    done = subprocess.run(
        [sys.executable, "-m", "mvgamba_ros.cli", "--version"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    assert done.returncode == 0 and done.stdout.strip() == __version__


@pytest.mark.slow
def test_a_scanned_objects_hull_is_within_its_voxels_and_cones(captures, tmp_path):
    out = tmp_path / "mustard"
    assert main(["reconstruct", str(captures / "mustard"), "-o", str(out), "--method", "hull", "--masks"]) == 0
    truth = trimesh.load(captures / "mustard" / "truth.ply", process=False)
    answer = trimesh.load(out / "mesh.ply", process=False)
    assert answer.is_watertight
    assert abs(answer.extents - truth.extents).max() < 0.012
    assert abs(answer.bounds.mean(axis=0) - truth.bounds.mean(axis=0)).max() < 0.005
