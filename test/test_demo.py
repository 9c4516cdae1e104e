"""The demo as a newcomer runs it: a process of its own, from the first line it prints to the last node it stops."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import psutil
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("mvgamba_ros.sim.engine")

from patience import PATIENCE

from mvgamba_ros.errors import ErrorCode
from mvgamba_ros.io.mesh_files import read_mesh
from mvgamba_ros.ros.demo.arm_calls import ArmCalls
from mvgamba_ros.ros.demo.main import drive_and_capture
from mvgamba_ros.srv import CaptureView

pytestmark = [pytest.mark.ros, pytest.mark.slow, pytest.mark.timeout(540)]

REPOSITORY = Path(__file__).parents[1]


class Demo:
    """A run of the demo, marked so that whatever it leaves behind can be found."""

    def __init__(self, *arguments: str) -> None:
        self.mark = uuid.uuid4().hex
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-m", "mvgamba_ros.ros.demo", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=REPOSITORY,
            env=os.environ | {"MVGAMBA_DEMO_MARK": self.mark},
        )
        assert self.process.stdout is not None
        self.output = self.process.stdout

    def left_behind(self) -> list[str]:
        """Command lines of processes that still run with this demo's mark."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("MVGAMBA_DEMO_MARK") == self.mark and process.pid != self.process.pid:
                    found.append(" ".join(process.cmdline()))
            except psutil.Error:
                continue
        return found


def test_the_arm_looks_and_the_node_answers_a_shape_close_to_the_truth(tmp_path: Path):
    demo = Demo("--views", "6", "--method", "hull", "--output", str(tmp_path))
    text, _ = demo.process.communicate()
    assert demo.process.returncode == 0, text
    assert text.count("camera at") == 6

    numbers = re.search(r"chamfer ([\d.]+) mm, F@5mm ([\d.]+), box off by ([\d.]+) mm in place, ([\d.]+) mm in", text)
    assert numbers, text
    chamfer, f_score, place, size = (float(x) for x in numbers.groups())
    assert chamfer < 5.0
    assert f_score > 0.7
    assert place < 10.0
    assert size < 20.0

    faces = re.search(r"mesh +(\d+) faces", text)
    assert faces and len(read_mesh(tmp_path / "object" / "mesh.ply").faces) == int(faces[1])
    for name in ("cloud.ply", "mesh.ply", "report.json", "preview.png"):
        assert str(tmp_path / "object" / name) in text
        assert (tmp_path / "object" / name).stat().st_size > 100
    assert demo.left_behind() == []


class LateCamera(ArmCalls):
    """An arm whose pictures are late: each first capture at a new place finds the one of the place before."""

    def __init__(self) -> None:
        super().__init__()
        self.codes: list[ErrorCode] = []

    def move_camera(self, pose: Any, limit_s: float) -> None:
        self.codes = [ErrorCode.DUPLICATE_VIEW, ErrorCode.SUCCESS]

    def call(self, kind: Any, name: str, request: Any, limit_s: float) -> CaptureView.Response:
        return CaptureView.Response(error_code=int(self.codes.pop(0)))

    def spin(self, seconds: float) -> None:
        pass


def test_a_late_picture_of_the_place_before_does_not_end_the_demo(capsys: pytest.CaptureFixture[str]) -> None:
    camera = LateCamera()
    drive_and_capture(camera, [None, None])
    assert "view 2 of 2" in capsys.readouterr().out and not camera.codes


def test_ctrl_c_stops_the_demo_and_both_nodes(tmp_path: Path):
    demo = Demo("--views", "4", "--output", str(tmp_path))
    for line in demo.output:
        if line.startswith("starting"):
            break
    deadline = time.monotonic() + PATIENCE
    while len(demo.left_behind()) < 2:  # until the arm and the node are up
        assert demo.process.poll() is None and time.monotonic() < deadline, demo.left_behind()
        time.sleep(0.1)
    assert len(demo.left_behind()) == 2
    demo.process.send_signal(signal.SIGINT)
    rest = demo.output.read()
    assert demo.process.wait() == 130
    assert "interrupted" in rest
    assert "Traceback" not in rest
    assert demo.left_behind() == []


def test_a_demo_that_cannot_start_says_why_and_fails(tmp_path: Path):
    demo = Demo("--object", "teapot", "--output", str(tmp_path))
    text, _ = demo.process.communicate()
    assert demo.process.returncode == 1
    assert "simulated_arm stopped" in text
    assert "'teapot'" in text and "cereal" in text  # what was asked for, and what there is
    assert "Traceback" not in text
    assert demo.left_behind() == []


def test_help_names_objects_and_gives_examples():
    command = [sys.executable, "-m", "mvgamba_ros.ros.demo", "--help"]
    text = subprocess.run(command, capture_output=True, text=True, check=True, cwd=REPOSITORY).stdout
    for word in ("--object", "--views", "--method", "--output", "bottle", "examples"):
        assert word in text
