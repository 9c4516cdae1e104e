"""The recording of the simulated arm: what its topics carried, and the shape that comes out of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("rosbags")
pytest.importorskip("mvgamba_ros.sim.engine")

from rosbags.highlevel import AnyReader

from mvgamba_ros import Options, read_capture, reconstruct
from mvgamba_ros.geometry.boxes import scaled_box
from mvgamba_ros.ros.demo.record_drive import TRUTH, main
from mvgamba_ros.sim.truth import object_errors
from mvgamba_ros.types import Mesh, Prompts

pytestmark = [pytest.mark.ros, pytest.mark.slow, pytest.mark.timeout(540)]

STOPS = 3


def truth_of(path: Path) -> Mesh:
    with AnyReader([path]) as bag:
        (connection,) = (found for found in bag.connections if found.topic == TRUTH)
        marker = bag.deserialize(next(iter(bag.messages([connection])))[2], connection.msgtype)
    corners = np.array([[p.x, p.y, p.z] for p in marker.points])
    return Mesh(corners, np.arange(len(corners), dtype=np.int32).reshape(-1, 3), np.full(corners.shape, 255, np.uint8))


def test_out_of_a_drive_with_moves_between_the_stops_comes_a_shape_close_to_the_truth(tmp_path):
    bag = tmp_path / "sample.mcap"
    command = ["-m", "mvgamba_ros.ros.demo.record_drive", "-o", str(bag), "--object", "can", "--views", str(STOPS)]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"stop {STOPS} of {STOPS}" in done.stdout and "on /image/compressed" in done.stdout
    assert bag.stat().st_size < 10e6 and [path.name for path in tmp_path.iterdir()] == ["sample.mcap"]

    views = read_capture(bag)
    with AnyReader([bag]) as recording:
        pictures = next(c.msgcount for c in recording.connections if c.topic == "/image/compressed")
    assert STOPS <= len(views) <= STOPS + 1 < pictures / 3  # a stop each, and where the arm began
    assert all(view.name.startswith("/image/compressed@base_link at ") for view in views)

    truth = truth_of(bag)
    region = scaled_box(truth.vertices.min(axis=0), truth.vertices.max(axis=0))
    cheap = Options(method="hull", hull_resolution=64, cloud_points=1000, refine=False)
    result = reconstruct(views, Options(**{**vars(cheap), "prompts": Prompts(roi=region, support_height=0.0)}))
    errors = object_errors(result.mesh, result.box, truth)
    assert errors.chamfer_mm < 6.0 and errors.center_error < 0.01, errors


def test_a_recording_that_is_there_is_left_alone(tmp_path, capsys):
    (tmp_path / "mine.mcap").write_text("mine")
    assert main(["-o", str(tmp_path / "mine.mcap")]) == 1
    assert "is there and is not replaced" in capsys.readouterr().err
    assert (tmp_path / "mine.mcap").read_text() == "mine"
