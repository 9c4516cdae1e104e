"""The benchmark of trust counts what it promises, does nothing twice, and its fit finds what the rows hold."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rendered
import trimesh

from benchmarks import trust, trust_fit
from mvgamba_ros.config import ReconstructionConfig
from mvgamba_ros.geometry.se3 import look_at
from mvgamba_ros.io.mesh_files import write_mesh
from mvgamba_ros.io.transforms_json import write_capture
from mvgamba_ros.options import Options
from mvgamba_ros.reconstruction import Quality
from mvgamba_ros.surface.expected_chamfer import COLUMNS, shape_features, with_expected_chamfer
from mvgamba_ros.surface.expected_error import mean_expected_error
from mvgamba_ros.synthesis.robot_captures import OrbitRig, robot_capture
from mvgamba_ros.types import Camera, Mesh, PointCloud, View


@pytest.fixture
def captures(tmp_path: Path) -> Path:
    """One capture: an ellipsoid on a table, with its true shape."""
    ball = trimesh.creation.icosphere(4, 1.0)
    vertices = np.asarray(ball.vertices) * rendered.SIZE / 2 + rendered.CENTER
    write_capture(tmp_path / "captures" / "ball", rendered.views(4))
    truth = Mesh(vertices, np.asarray(ball.faces, np.int32), np.full((len(vertices), 3), 160, np.uint8))
    write_mesh(tmp_path / "captures" / "ball" / "truth.ply", truth)
    return tmp_path / "captures"


def test_damaged_captures_are_reconstructed_scored_and_not_run_again(
    captures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [str(tmp_path / "work"), "--captures", str(captures), "--method", "hull", "--prompts", "masks"]
    command += ["--conditions", "clean", "poses_late"]
    trust.main(command)
    first = capsys.readouterr().out
    clean, late = list(trust.read_rows(tmp_path / "work" / "rows.jsonl"))
    assert clean["chamfer_mm"] < 1.5 and clean["F@5mm"] > 0.98
    assert "refused" in late or late["chamfer_mm"] > 2 * clean["chamfer_mm"]
    assert clean["quality"]["outline_gap_mm"] < 1.0 and clean["quality"]["depth_residual_mm"] is None
    assert [line.split()[0] for line in first.splitlines()] == ["clean", "poses_late", "all"]

    monkeypatch.setattr(trust, "run", None)  # nothing is left to run
    trust.main(command)
    assert capsys.readouterr().out == first


def test_false_confidence_and_false_alarms_are_counted() -> None:
    def row(f5: float, low: bool, views: int = 4, chamfer: float = 1.0) -> trust.Row:
        quality = asdict(Quality(1.0, 0.0, 1.0, low=low, expected_error_mm=chamfer))
        return {"condition": "x", "F@5mm": f5, "chamfer_mm": chamfer, "views": views, "quality": quality}

    rows = [
        row(0.7, False),
        row(0.5, True),
        row(0.85, False),
        row(0.95, True),
        row(0.95, False),
        row(0.99, True, views=1),
    ]
    text = trust.report("x", [*rows, {"condition": "x", "refused": "TOO_FEW_VIEWS"}])
    assert "runs    7 refused   1 low    3" in text
    assert "false confidence 1/2 (50%)" in text and "false alarms 1/2 (50%)" in text


def made_up(count: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Rows whose chamfer distance is 2 mm times gap times the 0.5th power of the photo residual."""
    rows = []
    for index in range(count):
        gap, photo = rng.normal(0, 0.7, 2)
        chamfer = 2.0 * math.exp(gap + 0.5 * photo)
        features = dict.fromkeys(COLUMNS, 0.0) | {"constant": 1.0, "vertices": gap, "photo": photo}
        row = {"condition": "x", "capture": f"object {index % 20}", "chamfer_mm": chamfer, "views": 4}
        rows.append(row | {"F@5mm": min(1.0, 2.4 / chamfer), "features": features, "quality": {"low": False}})
    return rows


def test_the_fit_finds_the_law_that_the_rows_follow(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = made_up(400, np.random.default_rng(1))
    x = np.array([list(row["features"].values()) for row in rows])
    weights = dict(zip(COLUMNS, trust_fit.fit(x, np.log([row["chamfer_mm"] for row in rows])), strict=True))
    assert weights["vertices"] == pytest.approx(1.0, abs=0.03) and weights["photo"] == pytest.approx(0.5, abs=0.03)
    monkeypatch.setattr(trust_fit, "read_rows", lambda path: iter(rows))
    trust_fit.main([str(tmp_path)])
    text = capsys.readouterr().out
    assert "by this: false confidence 0.0" in text and "rank correlation with the chamfer distance 1.00" in text


BALL = trimesh.creation.icosphere(3, 0.05)
MESH = Mesh(
    np.asarray(BALL.vertices),
    np.asarray(BALL.faces, np.int32),
    np.zeros((len(BALL.vertices), 3), np.uint8),
    expected_error_mm=np.full(len(BALL.vertices), 2.0, np.float32),
)


K = np.array([[600.0, 0, 32], [0, 600.0, 32], [0, 0, 1]])
VIEW = View(np.zeros((64, 64, 3), np.uint8), Camera(K, 64, 64), look_at(np.array([0.6, 0, 0]), np.zeros(3)))


def test_features_are_those_of_the_mesh_and_its_quality() -> None:
    quality = Quality(
        0.9, 0.1, 0.8, low=False, unsupported_outline=0.25, photo_residual_mm=math.e, outline_gap_mm=math.e - 1
    )  # a pixel is 1 mm
    features = shape_features(MESH, quality, [VIEW])
    assert list(features) == list(COLUMNS)
    expected = {"constant": 1, "vertices": math.log(2.0), "photo": 1, "plain": 0, "unsupported": 0.25, "gap": 1}
    assert features == pytest.approx(expected, abs=1e-6)
    plain = shape_features(MESH, replace(quality, photo_residual_mm=math.nan), [VIEW])
    assert plain["plain"] == 1 and plain["photo"] == 0
    assert shape_features(MESH, replace(quality, outline_gap_mm=math.nan), [VIEW])["gap"] == 0


def test_one_number_is_expected_and_low_follows_from_it() -> None:
    def judged(vertices: float, gap: float, places: int = 4) -> tuple[Mesh, PointCloud, Quality]:
        quality = Quality(0.9, 0.1, 0.8, low=False, outline_gap_mm=gap, photo_residual_mm=1.0)
        errors = np.full(len(MESH.vertices), vertices, np.float32)
        cloud = PointCloud(MESH.vertices, MESH.vertices, MESH.colors, expected_error_mm=errors)
        shape = replace(MESH, expected_error_mm=errors)
        return with_expected_chamfer(shape, cloud, quality, [VIEW] * 4, places, ReconstructionConfig())

    mesh, points, good = judged(1.0, 0.5)
    assert not good.low and good.expected_error_mm == pytest.approx(mean_expected_error(mesh), rel=1e-5)
    assert points.expected_error_mm is not None and points.expected_error_mm[0] == pytest.approx(good.expected_error_mm)
    _, _, bad = judged(9.0, 4.2)
    limit = ReconstructionConfig().quality.max_expected_error_mm
    assert bad.low and bad.expected_error_mm > limit
    assert f"at most {limit:g} accepted): it ends 4.2 mm inside the silhouettes; its" in bad.reasons[0]
    assert "by what they rest on, are 9.0 mm off" in bad.reasons[0]
    assert not judged(9.0, 4.2, places=2)[2].low  # few places are a reason of their own


@pytest.mark.parametrize("index", [0, 2])
def test_of_captures_not_fitted_to_the_clean_one_is_trusted_and_the_one_with_late_poses_is_not(index: int) -> None:
    capture = robot_capture(77, index, OrbitRig(views=4, crowded=0.0))
    case = trust.Case(capture.name, capture.views, capture.truth)
    options = Options(refine=False, refine_poses="off")
    clean, late = (trust.run(case, name, 4, "region", options)[0] for name in ("clean", "poses_late"))
    assert clean["F@5mm"] >= trust.GOOD and not clean["quality"]["low"]
    assert 0.4 < clean["quality"]["expected_error_mm"] / clean["chamfer_mm"] < 2.5
    assert late["F@5mm"] < trust.BAD and late["quality"]["low"]
    assert any("mm off" in reason for reason in late["quality"]["reasons"])
