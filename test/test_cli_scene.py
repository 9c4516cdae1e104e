"""`mvgamba reconstruct` of several objects: a folder each, one list, one picture, one table."""

from __future__ import annotations

import json
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from rendered import PAIR, pair_views, regions

from mvgamba_ros import factories
from mvgamba_ros.cli import main
from mvgamba_ros.io.mesh_files import read_mesh
from mvgamba_ros.io.transforms_json import write_capture
from mvgamba_ros.registry import BUILT_IN
from mvgamba_ros.types import Box

FAST = ["--method", "hull", "--hull-resolution", "48", "--refine-poses", "off", "--max-faces", "1000"]


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("capture")
    write_capture(folder, pair_views(5))
    return str(folder)


@pytest.fixture(autouse=True)
def two_reds(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(BUILT_IN["segmenters"], "multiview", "two_reds:TwoReds.from_options")
    factories._segmenter.cache_clear()
    yield
    factories._segmenter.cache_clear()


def roi(box: Box) -> list[str]:
    center = box.T_world_box[:3, 3]
    return ["--roi", *(str(x) for x in (*(center - box.size / 2), *(center + box.size / 2)))]


def test_all_objects_become_folders_a_list_a_picture_and_a_table(capture, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["reconstruct", capture, "-o", str(out), "--all", *FAST]) == 0
    scene = json.loads((out / "scene.json").read_text())
    assert [item["id"] for item in scene["objects"]] == ["object_1", "object_2"]
    for item, center in zip(scene["objects"], PAIR, strict=True):
        vertices = read_mesh(out / item["id"] / "mesh.ply").vertices
        np.testing.assert_allclose((vertices.min(0) + vertices.max(0)) / 2, center, atol=0.008)
        np.testing.assert_allclose(item["region"]["center_m"], center, atol=1e-9)
        assert item["error"] is None and not item["quality"]["low"]
        report = json.loads((out / item["id"] / "report.json").read_text())
        assert report["id"] == item["id"] and report["options"]["segmenter"] == "multiview"
        assert {"mesh.ply", "cloud.ply", "preview.png", "report.html"} <= set(report["files"])
        assert f"<title>{item['id']}" in (out / item["id"] / "report.html").read_text()
    assert {"scene.png", "object_1/mesh.ply", "object_2/report.json"} <= set(scene["files"])
    picture = cv2.imread(str(out / "scene.png"))
    assert picture.shape[1] == 1280 and picture.shape[0] == 2 * 240 + 480  # two rows of views, one of meshes
    printed = capsys.readouterr()
    header, *rows = printed.out.splitlines()[1:4]
    assert "depth of" in header and all("5 of 5" in row for row in rows)
    assert header.split()[0] == "object" and [row.split()[0] for row in rows] == ["object_1", "object_2"]
    assert all(row.endswith("good") for row in rows) and "2/2 method" in printed.err


def test_regions_are_reconstructed_each_and_one_that_fails_leaves_the_others_written(capture, tmp_path, capsys):
    out = tmp_path / "out"
    once = ["reconstruct", capture, "-o", str(out), "--segmenter", "multiview", *FAST]
    assert main([*once, *roi(regions()[1])]) == 0  # one region: one result, which the next replaces
    assert (out / "report.json").is_file()
    air = Box(regions()[0].T_world_box + np.pad([[0.15]], ((2, 1), (3, 0))), np.full(3, 0.05))
    assert main([*once, *roi(air), *roi(regions()[1])]) == 1
    assert {path.name for path in out.iterdir()} == {"scene.json", "scene.png", "object_2"}
    failed, found = json.loads((out / "scene.json").read_text())["objects"]
    assert failed["error"]["code"] == "EMPTY_SILHOUETTE" and failed["error"]["number"] == 40
    assert found["error"] is None and found["box"]["center_m"] == pytest.approx(list(PAIR[1]), abs=0.008)
    printed = capsys.readouterr().out
    assert "FAILED   object_1: EMPTY_SILHOUETTE: " in printed
    (out / "object_2" / "mesh.ply").write_text("mine")
    assert main([*once, *roi(air), *roi(regions()[1])]) == 1
    assert "holds object_2/mesh.ply, which was changed since" in capsys.readouterr().err
    assert (out / "object_2" / "mesh.ply").read_text() == "mine"


def test_equal_regions_and_a_segmenter_of_one_object_are_refused_before_anything_is_read(tmp_path, capsys):
    nowhere = ["reconstruct", str(tmp_path / "missing"), "-o", str(tmp_path / "o")]
    assert main([*nowhere, *roi(regions()[0]), *roi(regions()[1]), *roi(regions()[0])]) == 1
    assert "is given twice: give each object's once" in capsys.readouterr().err
    assert main([*nowhere, "--all", "--masks"]) == 1
    assert "segmenter masks finds one object" in capsys.readouterr().err


def test_regions_beside_all_and_several_for_a_command_of_one_object_are_refused(capture, tmp_path, capsys):
    both = [*roi(regions()[0]), *roi(regions()[1])]
    assert main(["reconstruct", capture, "-o", str(tmp_path / "o"), "--all", *both]) == 1
    assert "--all finds the objects, and --roi is given 2 times" in capsys.readouterr().err
    assert main(["eval", capture, "-o", str(tmp_path / "o"), *both]) == 1
    assert "--roi is given 2 times: give one" in capsys.readouterr().err


def test_masks_of_one_object_do_not_tell_several(capture, tmp_path, capsys):
    assert main(["reconstruct", capture, "-o", str(tmp_path / "o"), "--all", "--masks", *FAST]) == 1
    assert "segmenter masks finds one object" in capsys.readouterr().err


def test_a_region_of_no_number_leaves_the_list_json_and_a_quiet_failure_is_named(capture, tmp_path, capsys):
    out = tmp_path / "out"
    broken = ["--roi", "nan", "0", "0", "1", "1", "1"]
    given = ["reconstruct", capture, "-o", str(out), "--segmenter", "multiview", *FAST]
    assert main([*given, *broken, *roi(regions()[1]), "-q"]) == 1
    text = (out / "scene.json").read_text()
    failed, found = json.loads(text)["objects"]
    assert "NaN" not in text and failed["region"]["size_m"] == [None, 1.0, 1.0] and found["error"] is None
    printed = capsys.readouterr()
    assert printed.out == "" and "scene.json has the causes" in printed.err and len(printed.err.splitlines()) == 1
