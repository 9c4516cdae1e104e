"""Recordings that are broken in part: what can be read of them is, and nothing wrong comes out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rendered

pytest.importorskip("rosbags")

from rosbags.rosbag2 import StoragePlugin, Writer
from test_bag_reader import STORE, info, picture, record, transforms

from mvgamba_ros.cli import main
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.io.capture_readers import read_capture
from mvgamba_ros.ros.bag_reader import RosBag
from mvgamba_ros.types import View

IMAGE, INFO, TF = "sensor_msgs/msg/Image", "sensor_msgs/msg/CameraInfo", "tf2_msgs/msg/TFMessage"


def stay(path: Path, views: Sequence[View], pictures: Sequence[Any], logged: Any) -> None:
    """A recording in which each picture, of a second of its own, is a view; ``logged``: when, of k."""
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as bag:
        topics = [("/captured_views/image", IMAGE), ("/captured_views/camera_info", INFO), ("/tf", TF)]
        image, camera_info, tf = (bag.add_connection(name, kind, typestore=STORE) for name, kind in topics)
        for k, view in enumerate(views):
            for seconds in (k + 0.6, k + 1.0, k + 1.4):
                message = transforms(seconds, ("base", "optical", view.T_world_camera))
                bag.write(tf, logged(k), STORE.serialize_cdr(message, TF))
            bag.write(camera_info, logged(k), STORE.serialize_cdr(info(k + 1.0, view), INFO))
            bag.write(image, logged(k), STORE.serialize_cdr(pictures[k], IMAGE))


def by_the_second(k: int) -> int:
    return (101 + k) * 10**9


def test_pictures_that_were_logged_at_one_moment_keep_their_own_poses(tmp_path: Path) -> None:
    views = rendered.views(3)
    stay(tmp_path / "tour", views, [picture(k + 1.0, v.image, "rgb8") for k, v in enumerate(views)], lambda k: 10**9)
    for found, view in zip(read_capture(tmp_path / "tour"), views, strict=True):
        np.testing.assert_array_equal(found.image, view.image)
        np.testing.assert_allclose(found.T_world_camera, view.T_world_camera, atol=1e-6)


@pytest.mark.parametrize("fault", ["short", "encoding", "size"])
def test_a_broken_picture_does_not_lose_the_others(
    tmp_path: Path, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    views = rendered.views(3)
    pictures = [picture(k + 1.0, view.image, "rgb8") for k, view in enumerate(views)]
    broken = {
        "short": picture(2.0, views[1].image, "rgb8"),
        "encoding": picture(2.0, views[1].image, "yuv999"),
        "size": picture(2.0, views[1].image[:60], "rgb8"),
    }[fault]
    if fault == "short":
        broken.data = broken.data[:100]
    stay(tmp_path / "tour", views, [pictures[0], broken, pictures[2]], by_the_second)
    assert len(read_capture(tmp_path / "tour")) == 2
    assert "1 views are left out: /captured_views/image@base at 1.00 s" in caplog.text
    stay(tmp_path / "bad", views, [broken] * 3, by_the_second)
    with pytest.raises(ReconstructionError, match="/captured_views/image@base at"):
        read_capture(tmp_path / "bad")


def test_a_limit_is_kept_before_a_picture_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    views = rendered.views(3)
    pictures = [picture(k + 1.0, view.image, "rgb8") for k, view in enumerate(views)]
    stay(tmp_path / "tour", views, pictures, by_the_second)
    sizes: list[Any] = []

    def limit(given: list[tuple[int, int]]) -> None:
        sizes.extend(given)
        raise ReconstructionError(ErrorCode.TOO_MANY_VIEWS, "three are too many")

    monkeypatch.setattr("mvgamba_ros.ros.bag_reader.make_view", lambda *_, **__: pytest.fail("decoded"))
    with pytest.raises(ReconstructionError, match="too many"):
        RosBag(limit).read(tmp_path / "tour", "")
    assert sizes == [(320, 240)] * 3


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_recording_that_was_cut_off_is_refused_with_the_remedy(tmp_path: Path, share: float) -> None:
    record(tmp_path / "tour", rendered.views(1))
    whole = (tmp_path / "tour" / "tour.mcap").read_bytes()
    cut = tmp_path / "cut.mcap"
    cut.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ReconstructionError, match="mcap recover") as caught:
        read_capture(cut)
    assert caught.value.code is ErrorCode.BAD_CAPTURE


@pytest.mark.parametrize("name", ["", "x" * 300, "\udcff", "a\nb", "captured_optical_frame"])
def test_a_frame_that_no_tf_can_have_is_refused_before_anything_is_written(
    tmp_path: Path, name: str, capsys: Any
) -> None:
    assert main(["record", str(tmp_path / "capture"), "-o", str(tmp_path / "out.mcap"), "--frame", name]) == 1
    assert "BAD_OPTION: the frame's name" in capsys.readouterr().err and not list(tmp_path.iterdir())
