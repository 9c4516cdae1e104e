"""`mvgamba generate`: from a PNG to a turntable, what is refused, and Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import oracle
import pytest
from generated_objects import bracket, photograph
from oracle import Oracle, canonical

from mvgamba_ros import registry
from mvgamba_ros.cli import main
from mvgamba_ros.evaluation.generated_shapes import photo_scores, read_generated
from mvgamba_ros.generate.generator import Generated, Subject
from mvgamba_ros.io.image_files import depth_to_millimetres, encode_png
from mvgamba_ros.io.mesh_files import read_mesh
from mvgamba_ros.io.transforms_json import read_transforms_json
from mvgamba_ros.types import Cancelled, Progress


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A picture, its depth, camera and pose; an installed package brings the generator 'oracle'."""
    package = tmp_path / "packages" / "oracle-1.0.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: oracle\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[mvgamba_ros.generators]\noracle = oracle:from_options\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "packages"), *sys.path])
    registry._installed.cache_clear()
    view = photograph(bracket())
    assert view.depth is not None and view.mask is not None
    rgba = np.dstack([view.image, view.mask.astype(np.uint8) * 255])
    cv2.imwrite(str(tmp_path / "it.png"), rgba[..., [2, 1, 0, 3]])
    (tmp_path / "depth.png").write_bytes(encode_png(depth_to_millimetres(view.depth)))
    (tmp_path / "K.json").write_text(json.dumps({"K": view.camera.K.tolist()}))
    (tmp_path / "T.json").write_text(json.dumps(view.T_world_camera.tolist()))
    oracle.KNOWN["command"] = Oracle(canonical(bracket(), view.T_world_camera), size=128)
    yield tmp_path
    registry._installed.cache_clear()


def command(files: Path, *flags: str, weights: str = "command") -> list[str]:
    named = [str(files / flag) if (files / flag).is_file() else flag for flag in flags]
    return ["generate", "--generator", "oracle", "--weights", weights, "-o", str(files / "out"), *named]


def test_a_png_with_depth_becomes_a_metric_mesh_a_capture_and_a_turntable(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = [
        "--image",
        "it.png",
        "--depth",
        "depth.png",
        "--camera",
        "K.json",
        "--pose",
        "T.json",
        "--metric",
        "--seed",
        "3",
    ]
    assert main(command(files, *flags)) == 0
    out = files / "out"
    names = {path.name for path in out.iterdir()}
    assert names == {
        "mesh.ply", "cloud.ply", "gaussians.ply", "preview.png", "turntable.mp4", "views", "subject.png", "report.json",
    }  # fmt: skip
    mesh, truth = read_mesh(out / "mesh.ply"), bracket()
    assert np.abs(mesh.vertices.min(axis=0) - truth.vertices.min(axis=0)).max() < 0.006
    assert np.abs(mesh.vertices.max(axis=0) - truth.vertices.max(axis=0)).max() < 0.006
    film = cv2.VideoCapture(str(out / "turntable.mp4"))
    assert film.get(cv2.CAP_PROP_FRAME_COUNT) == 72 and film.read()[0]
    views = read_transforms_json(out / "views")
    assert len(views) == 5 and views[0].depth is not None and all(view.mask is not None for view in views)
    report = json.loads((out / "report.json").read_text())
    assert report["made_by"] == "mvgamba generate" and report["metric"] is True
    assert report["subject"] == {"words": "", "picture": "subject.png", "view": 0, "measured": True}
    true = photo_scores(read_generated(out))
    assert true["iou"] > 0.9 and true["psnr_db"] > 20.0
    assert report["completion"]["generator"] == "oracle" and report["completion"]["seed"] == 3
    assert 0.0 < report["completion"]["scale_sigma"] < 0.05 and report["quality"]["low"] is True
    printed = capsys.readouterr()
    assert "made up by the generator oracle" in printed.out and "turntable.mp4" in printed.out
    assert "% texture" in printed.err and "s left" in printed.err


@pytest.mark.parametrize(
    "flags, code, words",
    [
        ("--image it.png --metric", "TOO_FEW_VIEWS", "nothing tells the size: give --depth with --camera"),
        ("--image it.png --generator network", "BAD_OPTION", "generator network needs a measured view"),
        ("--image it.png --depth depth.png", "BAD_OPTION", "--depth needs --camera"),
        ("--image it.png --camera K.json --support-height 0", "BAD_OPTION", "--support-height needs --pose"),
        ("--image it.png --depth depth.png --camera K.json --longest-side 0.1", "BAD_OPTION", "leave one out"),
        ("--text bracket --depth depth.png", "BAD_OPTION", "--text has none"),
        ("--image it.png --longest-side 0", "BAD_OPTION", "give metres, more than 0"),
        ("--image it.png --longest-side 120", "BAD_OPTION", "longest side 120 m: is it in millimetres?"),
        ("--image gone.png", "BAD_IMAGE", "gone.png is not there"),
        ("--image it.png --camera T.json", "BAD_CAMERA_INFO", "K"),
        ("--image it.png --pose K.json", "BAD_POSE", "4x4"),
        ("--image it.png --depth it.png --camera K.json", "BAD_IMAGE", "one 16-bit channel"),
    ],
)
def test_a_refusal_names_the_flag_and_the_remedy(
    files: Path, capsys: pytest.CaptureFixture[str], flags: str, code: str, words: str
) -> None:
    assert main(command(files, *flags.split())) == 1
    assert re_line(capsys.readouterr().err, code, words) and not (files / "out").exists()


def re_line(text: str, code: str, words: str) -> bool:
    return any(line.startswith(f"mvgamba: {code}: ") and words in line for line in text.splitlines())


class Interrupted(Oracle):
    """Ctrl-C is pressed while it works; the next step ends it."""

    def __call__(self, subject: Subject, seed: int, progress: Progress, cancelled: Cancelled) -> Generated:
        os.kill(os.getpid(), signal.SIGINT)
        return super().__call__(subject, seed, progress, cancelled)


def test_ctrl_c_ends_it_at_the_next_step_with_130_and_writes_nothing(files: Path) -> None:
    oracle.KNOWN["interrupted"] = Interrupted(oracle.KNOWN["command"].truth)
    before = signal.getsignal(signal.SIGINT)  # ignored in what a shell put into the background
    assert main(command(files, "--text", "a bracket", weights="interrupted")) == 130
    assert not (files / "out").exists() and signal.getsignal(signal.SIGINT) is before


def test_the_help_shows_commands_to_copy_and_what_the_files_hold(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["generate", "--help"])
    text = capsys.readouterr().out
    assert "mvgamba generate --image mug.png" in text and '{"K": [[fx' in text and "imagedream" in text
