"""Where ~/save may write, and what it calls an object's folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import rendered

from mvgamba_ros.errors import ErrorCode, ReconstructionError

pytest.importorskip("rclpy")
from builtin_interfaces.msg import Time
from std_msgs.msg import Header

from mvgamba_ros.io.capture_readers import read_capture
from mvgamba_ros.options import Options
from mvgamba_ros.pipeline import reconstruct
from mvgamba_ros.ros.conversions.shapes import reconstruction_to_object
from mvgamba_ros.ros.folders import confined
from mvgamba_ros.ros.save import folder_name, save
from mvgamba_ros.scene_objects import SceneObject

pytestmark = pytest.mark.ros


def named(identity: str) -> str:
    stamp = Time(sec=1764342069, nanosec=250_000_000)
    return folder_name(identity, stamp)


def test_an_objects_folder_is_named_after_its_id_and_stamp() -> None:
    assert named("mug") == "mug-1764342069.250000000"
    for strange in ("../../etc/cron.d/x", "a/b", "~root", ".hidden", "x" * 5000, "Tasse\n", "é", "/"):
        name = named(strange)
        assert "/" not in name and not name.startswith((".", "~")) and len(name) < 150 and name.isascii()
        assert name != named(strange.replace("/", "_")) or "/" not in strange


@pytest.mark.parametrize("directory", ["mug", "a/b/mug", "{base}/mug", "a/../mug", "~/out/mug"])
def test_folders_below_the_output_folder_are_written(
    directory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    found = confined(directory.format(base=tmp_path / "out"), "~/out", outside=False)
    assert found.is_relative_to(tmp_path / "out") and found.name == "mug"


@pytest.mark.parametrize("directory", ["/etc/cron.d", "../mug", "a/../../mug", "~root/mug", "~/mug", ".", "{base}"])
def test_folders_outside_are_refused_unless_the_node_allows_them(
    directory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    base = str(tmp_path / "out")
    with pytest.raises(ReconstructionError, match=r"output_dir.*save_outside") as caught:
        confined(directory.format(base=base), base, outside=False)
    assert caught.value.code is ErrorCode.CANNOT_WRITE
    assert confined(directory.format(base=base), base, outside=True).is_absolute()


@pytest.mark.parametrize("directory", ["x" * 1_000_000, "x/" * 100_000])
def test_a_name_without_end_is_refused_at_once(directory: str, tmp_path: Path) -> None:
    with pytest.raises(ReconstructionError, match="at most 4096") as caught:
        confined(directory, str(tmp_path), outside=False)
    assert caught.value.code is ErrorCode.CANNOT_WRITE


def test_a_symbolic_link_is_not_followed_out_of_the_output_folder(tmp_path: Path) -> None:
    base, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    base.mkdir()
    elsewhere.mkdir()
    (base / "link").symlink_to(elsewhere)
    for directory in ("link", "link/mug"):
        with pytest.raises(ReconstructionError, match="symbolic link"):
            confined(directory, str(base), outside=False)
    (tmp_path / "named").symlink_to(base)  # the operator's own link is his choice
    assert confined("mug", str(tmp_path / "named"), outside=False) == base / "mug"
    assert confined(str(tmp_path / "named" / "mug"), str(tmp_path / "named"), outside=False) == base / "mug"


@pytest.mark.parametrize("directory", ["~nobody-of-that-name/x", "a\0b"])
def test_names_that_are_no_path_are_refused(directory: str, tmp_path: Path) -> None:
    with pytest.raises(ReconstructionError) as caught:
        confined(directory, str(tmp_path), outside=False)
    assert caught.value.code is ErrorCode.CANNOT_WRITE


def test_objects_of_a_scene_have_folders_and_pages_of_their_own_whatever_they_are_called(tmp_path: Path) -> None:
    views = rendered.views(4)
    result = reconstruct(views, Options(method="hull", segmenter="masks", hull_resolution=32, texture=0))
    names = ["views", "scene.json", "scene.png", "views.mcap", "a/b <i>"]
    message = reconstruction_to_object(result, names[0], Header(frame_id="base_link"))
    scene = {name: SceneObject(None, result, views=(0, 1, 2, 3)) for name in names}
    save("table", str(tmp_path), False, result, views, message, scene=scene)
    kept = json.loads((tmp_path / "table" / "scene.json").read_text())
    assert [item["id"] for item in kept["objects"]] == names
    folders = [tmp_path / "table" / item["folder"] for item in kept["objects"]]
    assert len({*folders, tmp_path / "table" / "views"}) == len(names) + 1
    assert len(read_capture(tmp_path / "table" / "views")) == 4
    for folder, name in zip(folders, names, strict=True):
        assert json.loads((folder / "report.json").read_text())["id"] == name
        assert f"{folder.name}/report.html" in kept["files"]
    assert "<title>a/b &lt;i&gt;" in (folders[-1] / "report.html").read_text()
