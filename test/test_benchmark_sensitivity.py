"""The sensitivity benchmark varies every number and reports what the variation does."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import trimesh
from rendered import CENTER, SIZE, views

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks/ is not installed

from benchmarks import sensitivity
from mvgamba_ros.config import ReconstructionConfig
from mvgamba_ros.io.transforms_json import write_capture


@dataclass(frozen=True)
class Inner:
    share: float = 0.4
    counts: tuple[int, ...] = (1, 6)
    name: str = "inner"


@dataclass(frozen=True)
class Outer:
    side: int = 3
    flag: bool = True
    inner: Inner = field(default_factory=Inner)


@pytest.fixture(scope="module")
def captures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One capture: an ellipsoid on a table, from three views, and its true shape."""
    folder = tmp_path_factory.mktemp("captures") / "ellipsoid"
    folder.mkdir()
    write_capture(folder, views(3))
    truth = trimesh.creation.icosphere(subdivisions=3)
    truth.apply_scale(SIZE / 2)
    truth.apply_translation(CENTER)
    truth.export(folder / "truth.ply")
    return folder.parent


def test_numbers_are_found_in_nested_groups_and_nothing_else_is() -> None:
    assert dict(sensitivity.numbers(Outer())) == {"side": 3, "inner.share": 0.4, "inner.counts": (1, 6)}


def test_a_number_is_scaled_and_a_whole_one_stays_whole_and_changes() -> None:
    assert sensitivity.scaled(0.4, 2.0) == 0.8
    assert sensitivity.scaled(3, 0.5) == 2
    assert sensitivity.scaled((1, 6), 0.9) == (0, 5)
    assert sensitivity.scaled((1, 6), 1.1) == (2, 7)
    assert sensitivity.scaled(0, 2.0) == 0


def test_one_field_is_changed_and_the_others_are_kept() -> None:
    assert sensitivity.changed(Outer(), "inner.share", 0.8) == Outer(inner=Inner(share=0.8))
    assert sensitivity.changed(Outer(), "side", 6) == Outer(side=6)


def test_the_segmenters_fields_are_varied_resumed_and_reported(
    captures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "found.jsonl"
    command = [str(captures), "--scenes", str(captures), "--factors", "2", "--out", str(out)]
    command += ["--only", "agreement.min_pixels", "border.smoothness", "color.cell", "hole_percentile"]
    sensitivity.main(command)
    table, progress = capsys.readouterr()
    assert "4/4" in progress
    rows = {line.split("`")[1]: line for line in table.splitlines() if line.startswith("| `")}
    assert set(rows) == {"agreement.min_pixels", "border.smoothness", "color.cell"}
    assert "`agreement.min_pixels`" in table.splitlines()[-2]  # no silhouette is nearly as small
    assert table.splitlines()[-1] == "Out of range, not measured: `components.hole_percentile` = 180 (x2)"
    defaults = next(line for line in table.splitlines() if line.startswith("| defaults"))
    assert float(defaults.split("|")[3]) > 0.9
    assert len(out.read_text().splitlines()) == 4

    monkeypatch.setattr(sensitivity, "measure", lambda *_: pytest.fail("measured again"))
    sensitivity.main(command)
    assert capsys.readouterr().out == table


def test_an_error_that_is_no_refusal_is_named_first() -> None:
    kept = {"scores": {"captures": {"can": {"IoU": 0.9}}}}
    cell, side = (sensitivity.Variation("segmentation", field, 2.0, 4) for field in ("color.cell", "windows.side"))
    results = [(sensitivity.Variation("segmentation"), kept), (side, kept), (cell, {"error": "ValueError: no cells"})]
    table = sensitivity.report(results, ["captures"], 0.0005, None).splitlines()
    assert table[3] == "| `color.cell` | 4 (x2) | raises ValueError: no cells |"


def test_a_value_that_no_user_can_set_is_not_measured() -> None:
    possible, impossible = sensitivity.variations("hull", [0.5, 8.0], ["flat_share", "block"])
    assert [(v.field, v.value) for v in possible] == [("flat_share", 0.125), ("block", 2)]
    assert [(v.field, v.value) for v in impossible] == [("flat_share", 2.0), ("block", 32)]


def test_a_refusal_counts_as_no_mask_at_all(captures: Path) -> None:
    (case,) = sensitivity.read_cases(captures, None, depth=False)
    config = ReconstructionConfig()
    agreement = replace(config.segmentation.agreement, min_pixels=10**6)
    config = replace(config, segmentation=replace(config.segmentation, agreement=agreement))
    assert sensitivity.mask_scores(case, config, "region") == {"IoU": 0.0}


def test_other_sections_are_measured_by_the_mesh(captures: Path) -> None:
    (case,) = sensitivity.read_cases(captures, 1, depth=False)
    scores = sensitivity.mesh_scores(case, ReconstructionConfig(), "region")
    assert 0.0 < scores["chamfer mm"] < 10.0
    assert 0.3 < scores["F@5mm"] <= 1.0
    blind = replace(case, views=[replace(view, mask=np.zeros_like(view.mask)) for view in case.views])
    refused = sensitivity.mesh_scores(blind, ReconstructionConfig(), "region")
    assert np.isnan(refused["chamfer mm"])
    assert refused["F@5mm"] == 0.0


def test_a_field_that_is_not_there_is_an_error(captures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        sensitivity.main([str(captures), "--only", "nonsense"])
    assert "no numeric field called nonsense" in capsys.readouterr().err
