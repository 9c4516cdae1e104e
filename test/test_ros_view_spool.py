"""Captured views outlive the node: as they were, whatever else lies in their folder."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")

import rendered
from ros_messages import CAMERA, MASK, captured, parameters, pose
from ros_world import World
from std_srvs.srv import Trigger

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.io.transforms_json import write_capture
from mvgamba_ros.ros.captured_views import CapturedViews
from mvgamba_ros.ros.view_buffer import CapturedView, Mount
from mvgamba_ros.ros.view_spool import ViewSpool
from mvgamba_ros.types import Camera

pytestmark = pytest.mark.ros


def no_warning(line: str) -> None:
    pytest.fail(line)


def same(a: CapturedView, b: CapturedView) -> bool:
    for name in ("image", "T_world_camera", "mask", "hidden", "depth"):
        np.testing.assert_array_equal(getattr(a.view, name), getattr(b.view, name))
    np.testing.assert_array_equal(a.view.camera.K, b.view.camera.K)
    assert [(mount.parent, mount.frame) for mount in a.mounts] == [(mount.parent, mount.frame) for mount in b.mounts]
    for mount, other in zip(a.mounts, b.mounts, strict=True):
        np.testing.assert_array_equal(mount.T_parent_frame, other.T_parent_frame)
    ours, theirs = a.view.camera, b.view.camera
    assert (ours.distortion_model, ours.distortion) == (theirs.distortion_model, theirs.distortion)
    return a.stamp == b.stamp


def some_views() -> list[CapturedView]:
    lens = Camera(CAMERA.K, 32, 24, "rational_polynomial", tuple(0.001 * k for k in range(14)))
    depth = np.linspace(0.3, 0.9, 24 * 32, dtype=np.float32).reshape(24, 32)
    plain, full = captured(0.3, 0, 0.3, stamp=5.0), captured(0, 0.3, 0.3, stamp=4.0)
    view = replace(full.view, camera=lens, mask=MASK > 0, hidden=MASK == 0, depth=depth)
    return [
        plain,
        CapturedView(
            view, full.stamp, (Mount("link", "lens", pose(0.1, 0.2)), Mount("flange", "link", pose(0.2, 0.1)))
        ),
    ]


def test_views_come_back_exactly_and_in_order_until_they_are_cleared(tmp_path: Path) -> None:
    spool = ViewSpool(str(tmp_path / "new" / "spool"), "base", no_warning)
    for view in some_views():
        spool.add(view)
    again = ViewSpool(str(tmp_path / "new" / "spool"), "base", no_warning)
    restored = again.restore()
    assert len(restored) == 2 and all(map(same, restored, some_views()))
    again.add(captured(-0.3, 0, 0.3, stamp=1.0))
    assert [view.stamp for view in spool.restore()] == [5 * 10**9, 4 * 10**9, 10**9]
    again.clear()
    assert spool.restore() == [] and not list((tmp_path / "new" / "spool").iterdir())


def test_without_a_folder_nothing_is_kept() -> None:
    spool = ViewSpool("", "base", no_warning)
    spool.add(captured(0.3, 0, 0.3))
    assert spool.restore() == []
    spool.clear()


def test_a_view_that_is_written_later_keeps_its_place_in_the_order(tmp_path: Path) -> None:
    (first, second), third = some_views(), captured(0, 0.3, 0.3)
    spool = ViewSpool(str(tmp_path), "base", no_warning)
    for view in (first, second):
        spool.reserve(view)
    for view in (third, second, first):  # the third was captured while the others were still being written
        spool.add(view)
    assert [view.stamp for view in spool.restore()] == [first.stamp, second.stamp, third.stamp]
    spool.reserve(first)
    spool.remove(first)
    assert not spool._reserved


def test_a_new_file_replaces_none_whatever_the_others_are_called(tmp_path: Path) -> None:
    spool = ViewSpool(str(tmp_path), "base", no_warning)
    spool.add(some_views()[0])
    (tmp_path / "view-000001.npz").rename(tmp_path / "view-1000000.npz")
    (tmp_path / "view-\u00b2.npz").touch()  # a digit, and no number
    for name in ("view-9.npz", "view-000010.npz"):
        (tmp_path / name).write_bytes((tmp_path / "view-1000000.npz").read_bytes())
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    spool.add(some_views()[1])
    assert {path: path.read_bytes() for path in before} == before and len(list(tmp_path.iterdir())) == len(before) + 1


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def foreign(path: Path) -> None:
    path.write_text(json.dumps({"image": []}))


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[1000] ^= 255
    path.write_bytes(data)


def lacking(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, frame="base")


def other_size(path: Path) -> None:
    with np.load(path) as found:
        fields = {**found, "image": found["image"][:5]}
    with path.open("wb") as file:
        np.savez(file, **fields)


def bent(path: Path) -> None:
    with np.load(path) as found:
        fields = {**found, "T_world_camera": 2.0 * found["T_world_camera"]}
    with path.open("wb") as file:
        np.savez(file, **fields)


def pickled(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, image=np.array([print], dtype=object))


@pytest.mark.parametrize("spoil", [pipe, cut, empty, foreign, flipped, lacking, other_size, bent, pickled])
def test_a_broken_file_is_set_aside_with_a_warning_and_the_others_are_read(tmp_path: Path, spoil) -> None:
    spool, warnings = ViewSpool(str(tmp_path), "base", no_warning), []
    for view in some_views():
        spool.add(view)
    first, second = sorted(tmp_path.iterdir())
    spoil(first)
    again = ViewSpool(str(tmp_path), "base", warnings.append)
    (restored,) = again.restore()
    assert same(restored, some_views()[1])
    assert len(warnings) == 1 and first.name in warnings[0] and "set aside" in warnings[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == [first.name + ".broken", second.name]
    assert len(again.restore()) == 1  # and no second warning


def test_views_of_another_target_frame_are_not_taken(tmp_path: Path) -> None:
    ViewSpool(str(tmp_path), "base", no_warning).add(some_views()[0])
    warnings: list[str] = []
    assert ViewSpool(str(tmp_path), "map", warnings.append).restore() == []
    assert "in frame 'base', target_frame is 'map'" in warnings[0]


def test_a_disk_that_is_full_is_a_warning_and_leaves_no_part_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warnings: list[str] = []
    spool = ViewSpool(str(tmp_path), "base", warnings.append)

    def full(number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    spool.add(some_views()[0])
    assert "No space left on device" in warnings[0] and not list(tmp_path.iterdir())


@pytest.mark.parametrize("folder", ["file/below", "~nobody-of-this-name/spool", "nul\0"])
def test_a_folder_that_cannot_be_is_named_with_its_parameter(tmp_path: Path, folder: str) -> None:
    (tmp_path / "file").write_text("")
    name = folder if folder.startswith("~") else str(tmp_path / folder)
    with pytest.raises(ReconstructionError, match="spool_dir") as caught:
        ViewSpool(name, "base", no_warning)
    assert caught.value.code is ErrorCode.BAD_PARAMETER


def test_where_restored_views_were_taken_from_is_shown_from_the_start(tmp_path: Path) -> None:
    spool, shown = ViewSpool(str(tmp_path), "base", no_warning), []
    for view in some_views():
        spool.add(view)
    nothing: Any = None
    for folder in (str(tmp_path), ""):
        again = ViewSpool(folder, "base", no_warning)
        CapturedViews(nothing, again, parameters, lambda *poses: shown.append(poses), nothing, lambda: 7, nothing)
    ((views, header),) = shown
    assert len(views) == 2 and header.frame_id == "base"


@pytest.mark.slow
def test_a_killed_node_has_its_views_again(tmp_path: Path) -> None:
    write_capture(tmp_path / "rendered", rendered.views(3))
    with World(tmp_path) as world:
        node = world.start_node(spool_dir=tmp_path / "spool", min_sharpness=0.0)
        world.start_player(tmp_path / "rendered")
        world.capture_all(3)
        node.kill()
    next((tmp_path / "spool").glob("view-000002*")).write_bytes(b"cut")
    with World(tmp_path) as world:
        world.start_node(spool_dir=tmp_path / "spool")
        world.wait_for_log("node", "2 views of spool_dir")
        assert "view-000002.npz" in world.log("node")
        assert world.capture().view_count == 2
        world.call(Trigger, "/reconstructor/clear_views")
        assert not list((tmp_path / "spool").glob("*.npz"))
