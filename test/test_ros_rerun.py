"""What the outputs become in Rerun's viewer: a recording that is written, and read again."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy")

from ros_outputs import Robot
from sensor_msgs.msg import Image

from mvgamba_ros.ros.conversions.images import array_to_image
from mvgamba_ros.ros.conversions.shapes import pack_rgb
from mvgamba_ros.ros.conversions.stamps import make_header
from mvgamba_ros.ros.rerun_viewer import GUESSED, SEEN, RerunViewer, cloud_colors

pytestmark = pytest.mark.ros


def test_a_cloud_is_shown_in_its_colours_by_what_was_seen_and_by_its_expected_error():
    colors = np.array([[255, 0, 10], [0, 200, 0]], np.uint8)
    shown = cloud_colors({
        "rgb": pack_rgb(colors), "seen": np.array([0, 3], np.float32), "expected_error_mm": np.array([9, 1], np.float32)
    })  # fmt: skip
    np.testing.assert_array_equal(shown["world"], colors)
    np.testing.assert_array_equal(shown["seen"], [GUESSED, SEEN])
    assert shown["expected_error"][0].sum() > shown["expected_error"][1].sum()


@pytest.mark.skipif(find_spec("rerun") is not None, reason="rerun-sdk is installed")
def test_without_the_package_one_line_names_the_remedy():
    done = subprocess.run(
        [sys.executable, "-m", "mvgamba_ros.ros.rerun_viewer"], capture_output=True, text=True, timeout=100, check=False
    )
    assert (done.returncode, done.stderr.strip().splitlines()) == (
        1, ["view_rerun needs the package rerun-sdk: pip install 'mvgamba_ros[rerun]'"],
    )  # fmt: skip


def test_everything_that_is_published_is_in_the_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    rr = pytest.importorskip("rerun")
    file = tmp_path / "seen.rrd"
    recording = rr.RecordingStream("test")
    recording.save(str(file))
    robot = Robot()
    viewer = RerunViewer(recording, context=robot.context)
    robot.executor.add_node(viewer)
    try:
        logged: list[str] = []
        log = recording.log
        monkeypatch.setattr(
            recording, "log", lambda path, *what, **more: (log(path, *what, **more), logged.append(path))
        )
        robot.show()
        robot.outputs.views([], make_header("base_link", 0))
        camera = robot.peer.create_publisher(Image, "image", 5)
        robot.until(lambda: camera.get_subscription_count())
        camera.publish(array_to_image(np.full((40, 60, 3), 90, np.uint8), "rgb8"))
        wanted = {f"world/carton/{part}" for part in ("mesh", "cloud", "box")}
        wanted |= {"world/views", "silhouettes", "camera", "quality"}
        robot.until(lambda: wanted <= set(logged))
        recording.flush()
        recording.disconnect()
    finally:
        robot.executor.remove_node(viewer)
        viewer.destroy_node()
        robot.close()
    data = file.read_bytes()
    for path in wanted:
        assert path.encode() in data, path
