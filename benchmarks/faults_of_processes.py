"""Faults of the node's process and of its clients': starts, signals, and what the system denies."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from benchmarks.faults import Report

SECONDS = 5.0
"""In which a node that is told to end has ended."""


def starts(report: Report, folder: Path) -> None:
    """What makes a start impossible: one line, status 1."""
    from patience import PATIENCE, REPOSITORY

    (folder / "broken.yaml").write_text("/**:\n  ros__parameters: [1, 2\n")
    (folder / "file").write_text("")
    settings = folder / "settings.yaml"
    settings.write_text("segmentatoin: {}\n")
    for kind, log_folder, arguments in (
        ("a log folder that cannot be written", "file", []),
        ("a parameter file of broken YAML", "logs", ["--params-file", str(folder / "broken.yaml")]),
        ("an unknown parameter", "logs", ["-p", "max_veiws:=4"]),
        ("a parameter out of its range", "logs", ["-p", "max_views:=900"]),
        ("parameters that contradict each other", "logs", ["-p", "min_views:=9", "-p", "max_views:=4"]),
        ("an unknown setting in config_file", "logs", ["-p", f"config_file:={settings}"]),
        ("output_dir below a file", "logs", ["-p", f"output_dir:={folder / 'file' / 'out'}"]),
        ("spool_dir that is a file", "logs", ["-p", f"spool_dir:={folder / 'file'}"]),
        ("an unknown ROS argument", "logs", ["--bogus"]),
    ):
        with report.case(kind, "one line that names it, status 1") as case:
            done = subprocess.run(
                [sys.executable, "-m", "mvgamba_ros.ros", "--ros-args", *arguments],
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                cwd=REPOSITORY,
                env=os.environ | {"ROS_LOG_DIR": str(folder / log_folder)},
                check=False,
            )
            (case.did,) = [line for line in done.stderr.splitlines() if line.startswith("reconstructor: ")]
            case.did = case.did[:150].replace(str(folder), "...")
            assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr


def ended(case: Any, process: Any, number: int, status: int, seconds: float = SECONDS) -> None:
    """Sends a signal and waits for the end."""
    began = time.monotonic()
    process.send_signal(number)
    process.wait(60)
    case.did += f"ended after {time.monotonic() - began:.1f} s with status {process.returncode}"
    assert time.monotonic() - began < seconds and process.returncode == status


def ends(report: Report, folder: Path) -> None:
    """Signals to the node, and clients that go."""
    from ros_world import World
    from test_ros_work import views_with_masks

    from mvgamba_ros.errors import ErrorCode

    many, few = views_with_masks(12), views_with_masks(4)
    must = "SHUTTING_DOWN, ended in 5 s, status 0"
    with report.case("kill -TERM in the middle of work", must) as case, World(folder) as world:
        node = world.start_node()
        future = world.begin_long_work(many)
        ended(case, node, signal.SIGTERM, 0)
        case.did += f"; answered {ErrorCode(world.finish(future).error_code).name}"
        assert world.finish(future).error_code == ErrorCode.SHUTTING_DOWN
    with report.case("kill -INT while it is idle", "ended in 5 s, status 0") as case, World(folder) as world:
        ended(case, world.start_node(), signal.SIGINT, 0)
    with report.case("kill -TERM while it starts", "ended in 5 s") as case, World(folder) as world:
        node = world.start("node", ["-m", "mvgamba_ros.ros"])
        time.sleep(2.0)
        node.terminate()
        began = time.monotonic()
        case.did = f"ended with status {node.wait(60)}"
        assert time.monotonic() - began < SECONDS
    must = "a whole result, or none under its name"
    with report.case("kill -TERM while ~/save writes", must) as case, World(folder) as world:
        node = world.start_node(output_dir=folder / "out")
        assert world.reconstruct(views=few).error_code == 0
        world.begin(*save_call(str(folder / "out" / "cut")))
        world.spin(0.05)
        ended(case, node, signal.SIGTERM, 0)
        there = sorted(path.name for path in (folder / "out" / "cut").glob("*"))
        case.did += f"; {'a whole result' if 'report.json' in there else 'nothing'} in the folder"
        assert not there or "report.json" in there, there
    with World(folder) as world:
        node = world.start_node()
        with report.case("kill -STOP for 3 s in the middle of work", "the object, once it goes on") as case:
            future = world.begin_long_work(few)
            node.send_signal(signal.SIGSTOP)
            time.sleep(3.0)
            node.send_signal(signal.SIGCONT)
            case.did = f"answered {ErrorCode(world.finish(future).error_code).name}"
            assert world.finish(future).error_code == 0
        with report.case("a client is killed in the middle of its call", "the next client is served") as case:
            client = world.start("client", ["-c", CLIENT])
            world.wait_for_log("client", "called")
            client.kill()
            deadline = time.monotonic() + 60
            while (answer := world.reconstruct(views=few)).error_code == ErrorCode.BUSY and time.monotonic() < deadline:
                world.spin(0.2)
            case.did = f"answered {ErrorCode(answer.error_code).name}"
            assert answer.error_code == 0 and node.poll() is None
        with report.case("~/clear_views in the middle of work", "the object of the views it began with") as case:
            from std_srvs.srv import Trigger

            future = world.begin_long_work(few)
            world.call(Trigger, "/reconstructor/clear_views")
            case.did = f"answered {ErrorCode(world.finish(future).error_code).name}"
            assert world.finish(future).error_code == 0


CLIENT = """
import sys, time
sys.path.insert(0, "test")
import rclpy
from test_ros_work import views_with_masks
from mvgamba_ros.srv import Reconstruct
rclpy.init()
node = rclpy.create_node("short_lived")
client = node.create_client(Reconstruct, "/reconstructor/reconstruct")
client.wait_for_service()
client.call_async(Reconstruct.Request(views=views_with_masks(4)))
print("called", flush=True)
time.sleep(60)
"""


def save_call(directory: str) -> tuple[Any, str, Any]:
    """What `World.begin` takes."""
    from mvgamba_ros.srv import Save

    return Save, "/reconstructor/save", Save.Request(directory=directory)


@contextmanager
def limited(pid: int, what: int, most: int) -> Iterator[None]:
    """The process may have no more than ``most`` of a resource for a while."""
    before = resource.prlimit(pid, what)
    resource.prlimit(pid, what, (most, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, what, before)


def resources(report: Report, folder: Path) -> None:
    """What the system denies the node for a while; afterwards it serves as before."""
    from ros_world import World
    from test_ros_work import views_with_masks

    from mvgamba_ros.errors import ErrorCode

    few = views_with_masks(4)
    with World(folder) as world:
        node = world.start_node(output_dir=folder / "out")
        world.wait_for_log("node", "warmed up")
        process = psutil.Process(node.pid)

        def served(case: Any) -> None:
            answer = world.reconstruct(views=few)
            assert answer.error_code == 0 and node.poll() is None, answer.error_msg
            case.did += f"{'; ' if case.did else ''}served"

        with report.case("nothing", "the object") as case:
            served(case)
        with report.case("no more memory (RLIMIT_AS)", "refused with a code; served again once there is some") as case:
            with limited(node.pid, resource.RLIMIT_AS, process.memory_info().vms + 1_000_000):
                answer = world.reconstruct(views=views_with_masks(12), method="mvgamba", refine=True)
            case.did = f"{ErrorCode(answer.error_code).name}: {answer.error_msg[:60]}"
            served(case)
        with report.case("no more descriptors (RLIMIT_NOFILE)", "CANNOT_WRITE; served again") as case:
            with limited(node.pid, resource.RLIMIT_NOFILE, process.num_fds()):
                answer = world.save("")
            case.did = ErrorCode(answer.error_code).name
            assert answer.error_code == ErrorCode.CANNOT_WRITE, answer.error_msg
            served(case)
        with report.case("a full disk under ~/save (RLIMIT_FSIZE)", "CANNOT_WRITE, no cut file; served again") as case:
            with limited(node.pid, resource.RLIMIT_FSIZE, 10_000):
                answer = world.save(str(folder / "out" / "full"))
            case.did = ErrorCode(answer.error_code).name
            assert answer.error_code == ErrorCode.CANNOT_WRITE, answer.error_msg
            assert not (folder / "out" / "full" / "report.json").exists()
            served(case)
        with report.case("four busy processes beside it", "the object, later") as case:
            busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(4)]
            try:
                served(case)
            finally:
                for other in busy:
                    other.kill()
