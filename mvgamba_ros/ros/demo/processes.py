"""Nodes in processes of their own that talk DDS on this machine alone, and end with whoever started them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mvgamba_ros.ros.fastdds import profile_environment
from mvgamba_ros.ros.service_calls import CallError

DOMAINS = range(51, 101)
"""A demo's; people number theirs from 0 on. From 102 on their ports are among those that the system gives out."""
STOP_S = 10.0
"""A node that did not end so long after SIGINT is killed."""


class Child:
    """A node in a process of its own."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.name, self.process, self.log = name, process, log


def free_domain(domains: Sequence[int], first: int) -> int:
    """The one of ``domains``, begun at ``first`` and going round, that no participant of this machine takes part in."""
    for index in range(len(domains)):
        domain = domains[(first + index) % len(domains)]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(("", 7410 + 250 * domain))  # the first participant's port
            except OSError:
                continue
            return domain
    raise CallError(
        f"every ROS domain from {domains[0]} to {domains[-1]} is in use on this machine: end other programs"
    )


def use_own_network() -> None:
    """DDS for this process and those it starts: this machine only, a domain of its own, room for images."""
    os.environ["ROS_DOMAIN_ID"] = str(free_domain(DOMAINS, os.getpid()))
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    os.environ.update(profile_environment("", str(_config("fastdds.xml")), os.environ))


def _config(name: str) -> Path:
    """A file of config/: beside the sources, or where the build installed it."""
    source = Path(__file__).parents[3] / "config" / name
    if source.is_file():
        return source
    from ament_index_python.packages import get_package_share_directory

    return Path(get_package_share_directory("mvgamba_ros")) / "config" / name


@contextmanager
def running(name: str, module: list[str], parameters: dict[str, Any], output: Path) -> Iterator[Child]:
    """Runs ``python -m module`` with ROS parameters until the context ends. What it prints goes into a file of
    ``output``."""
    command = [sys.executable, "-m", *module, "--ros-args"]
    for key, value in parameters.items():
        command += ["-p", f"{key}:={json.dumps(value)}"]  # JSON is YAML: a text stays a text, whatever is in it
    with _process(name, command, output) as child:
        yield child


@contextmanager
def running_rviz(output: Path) -> Iterator[None]:
    """RViz on the outputs of a node without a namespace, where it is installed. The context ends on Enter."""
    program = shutil.which("rviz2")
    if program is None:
        print("rviz2 is not installed (ros-$ROS_DISTRO-rviz2): it goes on without", file=sys.stderr, flush=True)
        yield
        return
    with _process("rviz", [program, "-d", str(_config("reconstruct.rviz"))], output):
        yield
        print("\nEnter ends it", file=sys.stderr, flush=True)
        sys.stdin.readline()


@contextmanager
def _process(name: str, command: list[str], output: Path) -> Iterator[Child]:
    """Runs it until the context ends: then SIGINT, and SIGKILL if need be."""
    log = output / f"{name}.log"
    with log.open("wb") as file:
        # A session of its own: Ctrl-C reaches this process only, which then stops the children in order.
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            yield Child(name, process, log)
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def check_alive(children: list[Child]) -> None:
    """Raises CallError, with the end of its log, for the first that has ended."""
    for child in children:
        status = child.process.poll()
        if status is not None:
            lines = child.log.read_text(errors="replace").strip().splitlines()
            reason = "\n  ".join(lines[-5:]) or "it wrote nothing"
            raise CallError(f"{child.name} stopped (status {status}); the end of {child.log}:\n  {reason}")


def interrupt(*_: Any) -> None:
    """A signal's handler: ends the program as Ctrl-C does."""
    raise KeyboardInterrupt
