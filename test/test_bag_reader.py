"""A recording of a robot becomes a capture: still, sharp views around the object, posed by TF."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import rendered

pytest.importorskip("rosbags")

from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from mvgamba_ros.cli import main
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.se3 import interpolate, matrix_to_quat
from mvgamba_ros.io.capture_readers import read_capture
from mvgamba_ros.types import F64, View

STORE = get_typestore(Stores.ROS2_JAZZY)
STAY_S, MOVE_S, RATE = 0.8, 0.6, 10
"""The camera stays so long at a place, takes so long to the next, and takes so many pictures a second."""


def make(kind: str, **fields):
    return STORE.types[kind](**fields)


def header(seconds: float, frame: str):
    time = make("builtin_interfaces/msg/Time", sec=100 + int(seconds), nanosec=round(seconds % 1 * 1e9))
    return make("std_msgs/msg/Header", stamp=time, frame_id=frame)


def picture(seconds: float, pixels: np.ndarray, encoding: str, frame: str = "optical"):
    return make(
        "sensor_msgs/msg/Image", header=header(seconds, frame), height=pixels.shape[0], width=pixels.shape[1],
        encoding=encoding, is_bigendian=0, step=pixels[0].nbytes, data=np.frombuffer(pixels.tobytes(), np.uint8),
    )  # fmt: skip


def info(seconds: float, view: View, frame: str = "optical"):
    K = view.camera.K - [[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]]
    roi = make("sensor_msgs/msg/RegionOfInterest", x_offset=0, y_offset=0, height=0, width=0, do_rectify=False)
    return make(
        "sensor_msgs/msg/CameraInfo", header=header(seconds, frame), height=view.camera.height, width=view.camera.width,
        distortion_model="plumb_bob", d=np.zeros(5), k=K.ravel(), r=np.eye(3).ravel(),
        p=np.hstack([K, np.zeros((3, 1))]).ravel(), binning_x=0, binning_y=0, roi=roi,
    )  # fmt: skip


def transforms(seconds: float, *joints: tuple[str, str, F64]):
    made = []
    for parent, child, T in joints:
        w, x, y, z = matrix_to_quat(T[:3, :3])
        t = make("geometry_msgs/msg/Vector3", x=T[0, 3], y=T[1, 3], z=T[2, 3])
        q = make("geometry_msgs/msg/Quaternion", x=x, y=y, z=z, w=w)
        transform = make("geometry_msgs/msg/Transform", translation=t, rotation=q)
        kind = "geometry_msgs/msg/TransformStamped"
        made.append(make(kind, header=header(seconds, parent), child_frame_id=child, transform=transform))
    return make("tf2_msgs/msg/TFMessage", transforms=made)


def route(views: list[View]) -> Iterator[tuple[float, F64, View, bool]]:
    """Seconds, the camera's pose, the nearest view, and whether it stands, at every picture of a tour of the views."""
    step = 1.0 / RATE
    for k in range(round(len(views) * (STAY_S + MOVE_S) * RATE)):
        seconds = k * step
        index, within = divmod(seconds, STAY_S + MOVE_S)
        here, there = views[int(index)], views[min(int(index) + 1, len(views) - 1)]
        s = max(0.0, within - STAY_S) / MOVE_S
        yield seconds, interpolate(here.T_world_camera, there.T_world_camera, s), here if s < 0.5 else there, s == 0.0


def record(path: Path, views: list[View], storage: str = "mcap", skip: tuple[str, ...] = (), second: bool = False,
    masks: bool = False, compression: CompressionMode = CompressionMode.NONE,
) -> None:  # fmt: skip
    """A tour as a robot records it: TF at 50 Hz (base_link, arm, optical), pictures, camera_info and depth at 10."""
    plugin = StoragePlugin.MCAP if storage == "mcap" else StoragePlugin.SQLITE3
    mount = np.array([[0.0, -1, 0, 0.02], [1, 0, 0, 0.0], [0, 0, 1, 0.05], [0, 0, 0, 1]])
    topics = {
        "/tf": "tf2_msgs/msg/TFMessage", "/tf_static": "tf2_msgs/msg/TFMessage",
        "/wrist/color/image_raw": "sensor_msgs/msg/Image", "/wrist/color/camera_info": "sensor_msgs/msg/CameraInfo",
        "/wrist/depth/image_raw": "sensor_msgs/msg/Image",
    }  # fmt: skip
    if second:
        topics |= {"/scene/image_raw": "sensor_msgs/msg/Image", "/scene/camera_info": "sensor_msgs/msg/CameraInfo"}
    if masks:
        topics["/wrist/color/mask"] = "sensor_msgs/msg/Image"
    writer = Writer(path, version=9, storage_plugin=plugin)
    writer.set_compression(compression, CompressionFormat.ZSTD)
    with writer as bag:
        to = {n: bag.add_connection(n, t, typestore=STORE) for n, t in topics.items() if n not in skip}

        def put(name: str, seconds: float, message) -> None:
            if name in to:
                at = round((100.02 + seconds) * 1e9)  # it arrives after its stamp
                bag.write(to[name], at, STORE.serialize_cdr(message, topics[name]))

        put("/tf_static", 0.0, transforms(0.0, ("arm", "optical", mount)))
        for seconds, T, view, stands in route(views):
            arm = T @ np.linalg.inv(mount)
            put(
                "/tf", seconds - 0.01, transforms(seconds, ("base_link", "arm", arm), ("base_link", "other", np.eye(4)))
            )
            image = view.image if stands else cv2.blur(view.image, (15, 15))
            put("/wrist/color/camera_info", seconds, info(seconds, view))
            put("/wrist/color/image_raw", seconds, picture(seconds, image, "rgb8"))
            if view.depth is not None:
                millimetres = (1000 * view.depth).round().astype(np.uint16)
                put("/wrist/depth/image_raw", seconds, picture(seconds + 0.001, millimetres, "16UC1"))
            if masks and view.mask is not None:
                put("/wrist/color/mask", seconds, picture(seconds, view.mask.astype(np.uint8) * 255, "mono8"))
            if second:
                put("/scene/camera_info", seconds, info(seconds, view, "scene"))
                put("/scene/image_raw", seconds, picture(seconds, image, "rgb8", "scene"))


VIEWS = rendered.views(6)


def check(views: list[View], truth: list[View]) -> None:
    """Every view is one of the true ones, with its picture, pose and camera, each once."""
    assert len(views) == len(truth)
    for view, true in zip(views, truth, strict=True):
        np.testing.assert_array_equal(view.image, true.image)
        np.testing.assert_allclose(view.T_world_camera, true.T_world_camera, atol=1e-6)
        np.testing.assert_allclose(view.camera.K, true.camera.K)


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_of_a_tour_each_place_gives_one_still_view_with_its_pose_and_depth(tmp_path, storage):
    bag = tmp_path / "tour"
    record(bag, VIEWS, storage)
    views = read_capture(bag)
    check(views, VIEWS)
    assert [view.depth is not None for view in views] == [view.depth is not None for view in VIEWS]
    assert views[1].name.startswith("/wrist/color/image_raw@base_link at 2.1")


def test_the_one_file_of_an_mcap_recording_and_its_topic_and_frame_can_be_named(tmp_path):
    record(tmp_path / "tour", VIEWS[:3], second=True, skip=("/wrist/depth/image_raw",))
    (file,) = (tmp_path / "tour").glob("*.mcap")
    with pytest.raises(
        ReconstructionError, match=r"several cameras: choose one by --views TOPIC; there are: /"
    ) as caught:
        read_capture(file)
    assert caught.value.code is ErrorCode.BAD_CAPTURE
    check(read_capture(file, "/wrist/color/image_raw"), VIEWS[:3])
    (first, *_) = read_capture(file, "/wrist/color/image_raw@arm")
    assert not np.allclose(first.T_world_camera, VIEWS[0].T_world_camera)
    np.testing.assert_allclose(first.T_world_camera[:3, 3], [0.02, 0.0, 0.05], atol=1e-9)


@pytest.mark.parametrize(
    ("skip", "words"),
    [
        (("/tf", "/tf_static"), "TF has no parent of the pictures' frame 'optical': record /tf and /tf_static"),
        (("/wrist/color/camera_info",), "no pictures with camera_info beside them.*no camera_info beside it"),
        (("/tf",), "none of 42 pictures on .* has a pose: no transform from 'optical'"),
    ],
)
def test_what_a_recording_lacks_is_named(tmp_path, skip, words):
    record(tmp_path / "tour", VIEWS[:3], skip=skip)
    with pytest.raises(ReconstructionError, match=words) as caught:
        read_capture(tmp_path / "tour", "" if "/tf" not in skip else "@base_link")
    assert caught.value.code is ErrorCode.BAD_CAPTURE


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
@pytest.mark.parametrize("mode", list(CompressionMode), ids=lambda mode: mode.name)
def test_compressed_recordings_are_read_as_folders_and_their_lone_files_are_refused_by_name(tmp_path, storage, mode):
    if (storage, mode) == ("sqlite3", CompressionMode.STORAGE):
        pytest.skip("SQLite has no compression of its own")
    record(tmp_path / "tour", VIEWS[:2], storage, compression=mode)
    check(read_capture(tmp_path / "tour"), VIEWS[:2])
    (file,) = (path for path in (tmp_path / "tour").iterdir() if path.name != "metadata.yaml")
    if mode in (CompressionMode.NONE, CompressionMode.STORAGE):
        check(read_capture(file), VIEWS[:2])
        return
    with pytest.raises(ReconstructionError, match=rf"{file.name}: .*compressed.* give the folder") as caught:
        read_capture(file)
    assert caught.value.code is ErrorCode.BAD_CAPTURE


def test_the_command_shows_topic_frame_and_time_of_the_views_that_it_took(tmp_path, capsys):
    record(tmp_path / "tour", VIEWS[:3], masks=True)
    cheap = ["--masks", "--method", "hull", "--hull-resolution", "48", "--no-refine", "--cloud-points", "1000"]
    assert main(["reconstruct", str(tmp_path / "tour"), "-o", str(tmp_path / "out"), *cheap]) == 0
    printed = capsys.readouterr().out
    found = re.findall(r"(/wrist/color/image_raw@base_link) at (\d+\.\d\d) s", printed)
    times = [float(seconds) for _, seconds in found]
    assert "views    3: " in printed and len(times) == 3
    for k, seconds in enumerate(times):
        assert k * (STAY_S + MOVE_S) <= seconds <= k * (STAY_S + MOVE_S) + STAY_S


def test_a_mask_beside_the_pictures_comes_with_them(tmp_path):
    record(tmp_path / "tour", VIEWS[:2], masks=True)
    for view, true in zip(read_capture(tmp_path / "tour"), VIEWS, strict=False):
        np.testing.assert_array_equal(view.mask, true.mask)


def test_a_damaged_recording_is_an_error_that_names_it(tmp_path):
    (tmp_path / "broken.mcap").write_bytes(b"\x89MCAP0\r\n" + bytes(100))
    with pytest.raises(ReconstructionError, match=r"broken\.mcap: the recording cannot be read") as caught:
        read_capture(tmp_path / "broken.mcap")
    assert caught.value.code is ErrorCode.BAD_CAPTURE


def test_a_recording_is_read_without_ros(tmp_path):
    record(tmp_path / "tour", VIEWS[:2])
    code = (
        "import sys, json; sys.modules.update(dict.fromkeys(['rclpy', 'sensor_msgs', 'geometry_msgs', 'std_msgs'])); "
        "from mvgamba_ros import read_capture; "
        f"print(json.dumps([view.name for view in read_capture({str(tmp_path / 'tour')!r})]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert len(json.loads(done.stdout)) == 2
