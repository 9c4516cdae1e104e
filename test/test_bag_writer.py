"""Views written as a recording are the views that are read from it."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rendered

pytest.importorskip("rosbags")

from rosbags.highlevel import AnyReader

from mvgamba_ros import reconstruct
from mvgamba_ros.cli import main
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.se3 import inverse, rigid
from mvgamba_ros.io.capture_readers import read_capture
from mvgamba_ros.io.mesh_files import read_mesh
from mvgamba_ros.io.transforms_json import write_capture
from mvgamba_ros.options import Options
from mvgamba_ros.ros.bag_messages import typestore
from mvgamba_ros.ros.bag_writer import Moments, Recorder, numbered, write_recording
from mvgamba_ros.ros.conversions.stamps import NANOSECONDS
from mvgamba_ros.ros.view_buffer import Mount
from mvgamba_ros.types import View

LENS = ("plumb_bob", (0.05, -0.02, 0.001, 0.002, 0.0))
MOUNT = rigid(np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]), np.array([0.02, 0.0, 0.05]))
START = 1_764_342_069 * NANOSECONDS


@pytest.fixture(scope="module")
def views() -> list[View]:
    """As many as a robot's tour never gives, some nearer to each other than a reader would choose."""
    made = rendered.views(14)
    made[1] = replace(made[1], depth=None)
    made[2] = replace(made[2], mask=None)
    lens = replace(made[3].camera, distortion_model=LENS[0], distortion=LENS[1])
    return [*made[:3], replace(made[3], camera=lens), *made[4:]]


def assert_same(found: list[View], written: list[View]) -> None:
    assert len(found) == len(written)
    for view, true in zip(found, written, strict=True):
        np.testing.assert_array_equal(view.image, true.image)
        np.testing.assert_allclose(view.T_world_camera, true.T_world_camera, atol=1e-9)
        np.testing.assert_allclose(view.camera.K, true.camera.K, atol=1e-9)
        assert (view.camera.distortion_model, view.camera.distortion) == (
            true.camera.distortion_model, true.camera.distortion,
        )  # fmt: skip
        assert (view.mask is None, view.depth is None) == (true.mask is None, true.depth is None)
        if true.mask is not None:
            np.testing.assert_array_equal(view.mask, true.mask)
        if true.depth is not None and view.depth is not None:
            np.testing.assert_allclose(view.depth, true.depth, atol=0.5001e-3)


def test_every_view_comes_back_with_picture_camera_pose_depth_and_mask(tmp_path, views):
    write_recording(tmp_path / "views.mcap", views, numbered(len(views)))
    assert_same(read_capture(tmp_path / "views.mcap"), views)
    assert [path.name for path in tmp_path.iterdir()] == ["views.mcap"]


def test_stamps_and_the_chain_of_frames_are_those_of_the_capture(tmp_path, views):
    stamps = [START + k * 7 * NANOSECONDS for k in range(3)]
    mounts = [
        (Mount("wrist", "optical", MOUNT), Mount("base_link", "wrist", view.T_world_camera @ inverse(MOUNT)))
        for view in views[:3]
    ]
    write_recording(tmp_path / "views.mcap", views[:3], Moments(stamps, "base_link", mounts))
    assert_same(read_capture(tmp_path / "views.mcap"), views[:3])
    (first, *_) = read_capture(tmp_path / "views.mcap", "@wrist")
    np.testing.assert_allclose(first.T_world_camera, MOUNT, atol=1e-12)
    with AnyReader([tmp_path / "views.mcap"]) as bag:
        found = {connection.topic: connection for connection in bag.connections}
        static = [bag.deserialize(data, c.msgtype) for c, _, data in bag.messages([found["/tf_static"]])]
        (mount,) = static[0].transforms
        assert (mount.header.frame_id, mount.child_frame_id) == ("wrist", "optical")
        images = [bag.deserialize(data, c.msgtype) for c, _, data in bag.messages([found["/captured_views/image"]])]
        assert [image.header.stamp.sec for image in images] == [stamp // NANOSECONDS for stamp in stamps]
        assert {image.header.frame_id for image in images} == {"optical"}
        logged = [time for _, time, _ in bag.messages()]
        assert logged == sorted(logged) and len(static) == 1


def test_views_without_moments_of_their_own_are_told_apart_all_the_same(tmp_path, views):
    write_recording(tmp_path / "views.mcap", views[:4], Moments([0] * 4, "base_link"))
    assert_same(read_capture(tmp_path / "views.mcap"), views[:4])
    backwards = [START - k * NANOSECONDS for k in range(3)]
    write_recording(tmp_path / "late.mcap", views[:3], Moments(backwards, "base_link"))
    assert_same(read_capture(tmp_path / "late.mcap"), views[2::-1])


def test_a_capture_folder_and_its_recording_give_one_mesh(tmp_path, capsys):
    folder, bag = tmp_path / "capture", tmp_path / "capture.mcap"
    write_capture(folder, rendered.views(5))
    assert main(["record", str(folder), "-o", str(bag)]) == 0
    assert "5: images/0000.png" in capsys.readouterr().out
    cheap = ["--method", "hull", "--masks", "--hull-resolution", "48", "--no-refine", "--cloud-points", "1000"]
    for source in (folder, bag):
        out = str(tmp_path / f"out{source.suffix}")
        assert main(["reconstruct", str(source), "-o", out, *cheap]) == 0
    assert "5: /captured_views/image@world at 0." in capsys.readouterr().out
    one, other = (read_mesh(tmp_path / name / "mesh.ply") for name in ("out", "out.mcap"))
    np.testing.assert_array_equal(one.faces, other.faces)
    np.testing.assert_allclose(one.vertices, other.vertices, atol=1e-5)


def test_what_is_there_is_not_replaced_and_a_failure_leaves_nothing(tmp_path, views, monkeypatch, capsys):
    bag = tmp_path / "views.mcap"
    for path, words in ((bag, "is there and is not replaced"), (tmp_path / "views", "ends in .mcap")):
        bag.write_text("mine")
        with pytest.raises(ReconstructionError, match=words) as caught:
            write_recording(path, views[:2], numbered(2))
        assert caught.value.code is ErrorCode.CANNOT_WRITE and bag.read_text() == "mine"
    bag.unlink()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched, pytest.raises(ReconstructionError, match="make room there") as caught:
        patched.setattr("rosbags.rosbag2.writer.McapWriter.write", full)
        write_recording(bag, views[:2], numbered(2))
    assert caught.value.code is ErrorCode.CANNOT_WRITE and list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="of the caller"), Recorder(bag, typestore(bag)).open():
        raise ValueError("of the caller")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setitem(sys.modules, "rosbags.typesys", None)
    assert main(["record", str(tmp_path), "-o", str(bag)]) == 1
    assert "MISSING_PACKAGE" in (err := capsys.readouterr().err) and "pip install 'mvgamba_ros[bags]'" in err
    assert list(tmp_path.iterdir()) == []


def test_a_recording_is_written_without_ros(tmp_path: Path, views):
    write_capture(tmp_path / "capture", views[:2])
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['rclpy', 'sensor_msgs', 'geometry_msgs', 'std_msgs'])); "
        "from mvgamba_ros.cli import main; "
        f"sys.exit(main(['record', {str(tmp_path / 'capture')!r}, '-o', {str(tmp_path / 'a.mcap')!r}]))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert len(read_capture(tmp_path / "a.mcap")) == 2


@pytest.mark.ros
def test_a_save_writes_the_recording_beside_the_views_and_lists_it(tmp_path, views, monkeypatch):
    pytest.importorskip("rclpy")
    from std_msgs.msg import Header

    from mvgamba_ros.ros.conversions.shapes import reconstruction_to_object
    from mvgamba_ros.ros.save import save

    result = reconstruct(views[4:8], Options(method="hull", segmenter="masks", cloud_points=500, max_faces=300))
    message = reconstruction_to_object(result, "egg", Header(frame_id="base_link"))
    moments = numbered(4, "base_link")
    files = save("egg", str(tmp_path), False, result, views[4:8], message, moments)
    assert str(tmp_path / "egg" / "views.mcap") in files
    assert_same(read_capture(tmp_path / "egg" / "views.mcap"), views[4:8])
    files = save("egg", str(tmp_path), False, result, views[4:8], message)  # it is the object's own folder still
    assert not any(file.endswith(".mcap") for file in files)
    assert not (tmp_path / "egg" / "views.mcap").exists()
    monkeypatch.setitem(sys.modules, "rosbags.typesys", None)
    with pytest.raises(ReconstructionError, match=r"cup/views\.mcap.*pip install 'mvgamba_ros\[bags\]'") as caught:
        save("cup", str(tmp_path), False, result, views[4:8], message, moments)
    assert caught.value.code is ErrorCode.MISSING_PACKAGE and not (tmp_path / "cup").exists()
