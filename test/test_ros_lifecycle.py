"""How the node's process starts and ends, whatever is wrong: one line, the right status, in time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy")

from patience import PATIENCE, REPOSITORY
from ros_world import World, free_domain
from test_ros_work import views_with_masks

from mvgamba_ros.errors import ErrorCode
from mvgamba_ros.srv import CaptureView, LoadViews, Reconstruct

pytestmark = [pytest.mark.ros, pytest.mark.slow, pytest.mark.timeout(600)]

CANNOT_START = {
    "log_folder": ([], "log"),
    "yaml": (["--params-file", "{folder}/broken.yaml"], "broken.yaml"),
    "unknown_parameter": (["-p", "max_veiws:=4"], "unknown parameter 'max_veiws': did you mean max_views"),
    "contradiction": (["-p", "min_views:=9", "-p", "max_views:=4"], "min_views 9 is more than max_views 4"),
    "config_file": (["-p", "config_file:={folder}/wrong.yaml"], "wrong.yaml: there is no setting 'segmentatoin': did"),
    "output_dir": (["-p", "output_dir:={folder}/file/out"], "output_dir {folder}/file/out: Not a directory"),
    "spool_dir": (["-p", "spool_dir:={folder}/file"], "spool_dir {folder}/file: File exists"),
    "argument": (["--bogus"], "--bogus"),
}


START = """
import os, sys
from mvgamba_ros.ros import lifecycle
for case in sys.argv[1:]:
    name, log_folder, *arguments = case.split("|")
    os.environ["ROS_LOG_DIR"] = log_folder
    print("case", name, flush=True)
    print("status", lifecycle.main(["--ros-args", *arguments]), flush=True)
"""


@pytest.fixture(scope="module")
def attempts(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, list[str]], Path]:
    """What each attempt writes, and the folder of all; in one process, as most of the time is the import of torch."""
    folder = tmp_path_factory.mktemp("starts")
    (folder / "broken.yaml").write_text("/**:\n  ros__parameters: [1, 2\n")
    (folder / "wrong.yaml").write_text("segmentatoin: {}\n")
    (folder / "file").write_text("")
    cases = [
        "|".join([name, str(folder / ("file" if name == "log_folder" else "logs")), *arguments]).format(folder=folder)
        for name, (arguments, _) in CANNOT_START.items()
    ]
    environment = os.environ | {"ROS_DOMAIN_ID": str(free_domain())}
    written = subprocess.run(
        [sys.executable, "-c", START, *cases],
        env=environment,
        cwd=REPOSITORY,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=PATIENCE,
    ).stdout
    parts = [part.splitlines() for part in written.split("case ")[1:]]
    return {lines[0]: lines[1:] for lines in parts}, folder


@pytest.mark.parametrize("name", CANNOT_START)
def test_a_node_that_cannot_start_says_why_in_one_line(attempts: tuple[dict[str, list[str]], Path], name: str) -> None:
    written, folder = attempts
    *lines, status = written[name]
    assert status == "status 1"
    (line,) = [line for line in lines if " [rcl" not in line]  # the client library logs lines of its own
    assert line.startswith("reconstructor: ") and CANNOT_START[name][1].format(folder=folder) in line


def ended_within(process: subprocess.Popen[bytes], seconds: float, number: int = signal.SIGTERM) -> None:
    began = time.monotonic()
    process.send_signal(number)
    process.wait(PATIENCE)
    assert time.monotonic() - began < seconds


def test_an_interrupted_node_ends_within_five_seconds_in_the_middle_of_work_and_answers(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        node = world.start_node(tf_timeout_s=10.0)
        work = world.begin_long_work(views_with_masks(12))
        waiting = world.begin(CaptureView, "/reconstructor/capture_view")
        ended_within(node, 5.0, signal.SIGINT)
        assert world.finish(work).error_code == ErrorCode.SHUTTING_DOWN
        assert world.finish(waiting).error_code == ErrorCode.NO_IMAGE
        assert node.returncode == 0 and "Traceback" not in world.log("node")


STUCK = """
import time
from mvgamba_ros.ros import making
def stuck(*_):
    print("stuck", flush=True)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        time.sleep(0.1)
making.reconstruct = stuck
from mvgamba_ros.ros.lifecycle import main
raise SystemExit(main(["--ros-args", "-p", "method:=hull"]))
"""


def test_work_that_ignores_its_cancelling_is_answered_and_left_behind(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        node = world.start("node", ["-c", STUCK])
        world.wait_for_service(Reconstruct, "/reconstructor/reconstruct", node)
        request = Reconstruct.Request(views=views_with_masks(3))
        future = world.begin(Reconstruct, "/reconstructor/reconstruct", request)
        world.wait_for_log("node", "stuck")
        ended_within(node, 5.0)
        assert world.finish(future).error_code == ErrorCode.SHUTTING_DOWN
        assert node.returncode == 0 and "leaving it behind" in world.log("node")


STUCK_WARM_UP = """
import time
from mvgamba_ros.ros import node
node.warm_up = lambda *_: time.sleep(120)
from mvgamba_ros.ros.lifecycle import main
raise SystemExit(main(["--ros-args", "-p", "method:=hull", "-p", "output_dir:=OUT"]))
"""


def test_while_it_warms_up_what_needs_no_work_is_refused_at_once_and_its_end_is_no_error(tmp_path: Path) -> None:
    with World(tmp_path) as world:
        node = world.start("node", ["-c", STUCK_WARM_UP.replace("OUT", str(tmp_path / "out"))])
        world.wait_for_service(CaptureView, "/reconstructor/capture_view", node)

        def load(path: str) -> Any:
            return world.begin(LoadViews, "/reconstructor/load_views", LoadViews.Request(path=path))

        assert world.finish(load("/etc")).error_code == ErrorCode.BAD_CAPTURE
        assert world.save("/etc").error_code == ErrorCode.CANNOT_WRITE
        assert world.save("").error_code == ErrorCode.NOTHING_TO_SAVE
        first = load("mug")
        second = world.finish(load("mug"))
        assert second.error_code == ErrorCode.BUSY
        assert "~/load_views waits for the warm-up after the start" in second.error_msg
        assert (
            world.finish(load("/etc")).error_code == ErrorCode.BAD_CAPTURE
            and world.save("").error_code == second.error_code
        )
        ended_within(node, 5.0)
        assert world.finish(first).error_code == ErrorCode.SHUTTING_DOWN
        log = world.log("node")
        assert node.returncode == 0 and "; warming up" in log and "in the middle of the warm-up" in log
        assert "[ERROR]" not in log and "warmed up" not in log


def test_what_a_callback_raises_is_logged_and_the_node_goes_on() -> None:
    from types import SimpleNamespace

    from rclpy.executors import ExternalShutdownException

    from mvgamba_ros.ros.lifecycle import _spin

    lines: list[str] = []
    node = SimpleNamespace(get_logger=lambda: SimpleNamespace(error=lines.append))

    def executor(error: Exception) -> SimpleNamespace:
        def spin_once(timeout_sec: float) -> None:
            raise error

        return SimpleNamespace(spin_once=spin_once)

    _spin(executor(RuntimeError("the client has gone")), node, 0.0)  # type: ignore[arg-type]
    assert "RuntimeError: the client has gone" in lines[0]
    with pytest.raises(ExternalShutdownException):
        _spin(executor(ExternalShutdownException()), node, 0.0)  # type: ignore[arg-type]
