"""What is written of a result, and its picture."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import rendered
import trimesh

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.io.results import check_writable, report, write_results
from mvgamba_ros.options import Options
from mvgamba_ros.pipeline import reconstruct
from mvgamba_ros.preview import preview
from mvgamba_ros.reconstruction import Quality

SMALL = Options(method="hull", segmenter="masks", hull_resolution=64, cloud_points=2000, max_faces=1500)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[object, Path]:
    result = reconstruct(rendered.views(4), SMALL)
    folder = tmp_path_factory.mktemp("results") / "deep" / "er"
    preview = np.zeros((8, 8, 3), np.uint8)
    preview[..., 0] = 255
    files = write_results(folder, result, preview)
    assert sorted(folder.iterdir()) == sorted(files)
    return result, folder


def test_the_report_is_that_of_the_files_beside_it(written) -> None:
    result, folder = written
    saved = json.loads((folder / "report.json").read_text())
    mesh = trimesh.load(folder / "mesh.ply", process=False)
    assert (saved["mesh"]["vertices"], saved["mesh"]["faces"]) == (len(mesh.vertices), len(mesh.faces))
    assert saved["mesh"]["volume_m3"] == pytest.approx(mesh.volume, rel=1e-4)
    assert saved["cloud_points"] == len(trimesh.load(folder / "cloud.ply").vertices) == 2000
    assert saved["mesh"]["closed"] is True
    assert saved["surface"]["seen"]["share"] == pytest.approx(result.quality.coverage, abs=0.02)
    assert saved["surface"]["seen"]["share"] + saved["surface"]["guessed"]["share"] == pytest.approx(1.0)
    guessed = result.cloud.expected_error_mm[result.cloud.seen == 0]
    assert saved["surface"]["guessed"]["expected_error_mm"] == pytest.approx(float(guessed.mean()))
    assert saved["gaussians"] == 0 and not (folder / "gaussians.ply").exists()
    np.testing.assert_allclose(saved["box"]["center_m"], result.box.T_world_box[:3, 3])
    np.testing.assert_allclose(saved["box"]["size_m"], result.box.size)
    w, x, y, z = saved["box"]["orientation_wxyz"]
    turn = np.arctan2(result.box.T_world_box[1, 0], result.box.T_world_box[0, 0])
    np.testing.assert_allclose([w, x, y, z], [np.cos(turn / 2), 0, 0, np.sin(turn / 2)], atol=1e-9)
    assert saved["views"] == 4 and saved["support_height_m"] == result.support_height
    assert saved["seconds"]["total"] == pytest.approx(sum(result.seconds.values()))
    assert set(saved["quality"]) == {field.name for field in fields(Quality)}
    assert saved["quality"]["low"] is result.quality.low
    assert saved["quality"]["reasons"] == list(result.quality.reasons)
    for name in (
        "silhouette_iou",
        "color_error",
        "coverage",
        "expected_error_mm",
        "pose_residual_px",
        "depth_residual_mm",
    ):
        assert saved["quality"][name] == pytest.approx(getattr(result.quality, name))
    assert saved["quality"]["depth_residual_mm"] < 1.0
    assert saved["poses"]["left_out"] == [] and len(saved["poses"]["view_mm"]) == 4
    assert cv2.imread(str(folder / "preview.png"))[0, 0].tolist() == [0, 0, 255]  # red, as it was given


def test_a_folder_that_cannot_be_written_is_found_before_the_work(tmp_path: Path) -> None:
    made = check_writable(tmp_path / "a" / "b")
    assert made.is_dir() and not list(made.iterdir())
    (tmp_path / "file").write_text("")
    with pytest.raises(ReconstructionError, match="file") as caught:
        check_writable(tmp_path / "file")
    assert caught.value.code is ErrorCode.CANNOT_WRITE


def test_the_report_of_an_open_mesh_has_no_volume_and_of_what_was_not_measured_no_number(written) -> None:
    result, _ = written
    part = report(replace(result, mesh=replace(result.mesh, faces=result.mesh.faces[1:])))
    assert (part["mesh"]["closed"], part["mesh"]["volume_m3"]) == (False, None)
    unknown = replace(result.quality, expected_error_mm=float("nan"))
    found = report(replace(result, quality=unknown, cloud=replace(result.cloud, seen=None)))
    assert found["quality"]["expected_error_mm"] is None and found["surface"] == {}
    json.dumps([part, found], allow_nan=False)


@pytest.mark.parametrize(("count", "rows"), [(1, 1), (4, 1), (5, 2), (8, 2), (9, 2)])
def test_the_preview_shows_up_to_eight_views_four_in_a_row_and_two_new_sides(written, count: int, rows: int) -> None:
    """Each view with its own outline, whatever else is in the row; nothing is drawn where there is no view."""
    result, _ = written
    views = rendered.views(count)
    picture = preview(views, replace(result, masks=tuple(view.mask for view in views)))
    assert picture.shape == (240 * rows + 480 + 256 + 40 + 36, 1280, 3)
    tiles = [picture[240 * (k // 4) :][:240, 320 * (k % 4) :][:, :320] for k in range(4 * rows)]
    outlines = [(np.abs(tile.astype(int) - [255, 40, 160]).max(axis=2) < 60).sum() for tile in tiles]
    shown = min(count, 8)
    assert min(outlines[:shown]) > 50
    assert all((tile == 255).all() for tile in tiles[shown:])
    left, right = picture[240 * rows :][:480, :640], picture[240 * rows :][:480, 640:]
    assert all((side[40:] < 200).any(axis=2).sum() > 5000 for side in (left, right))
    assert (left[40:] != right[40:]).any()
