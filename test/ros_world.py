"""Real processes over real DDS: the node, a player, and a client that calls them as a planner would."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import rclpy
from patience import PATIENCE, REPOSITORY
from rclpy.action import ActionClient
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile

from mvgamba_ros.action import ReconstructObject
from mvgamba_ros.errors import ErrorCode
from mvgamba_ros.ros.demo import processes
from mvgamba_ros.srv import CaptureView, Reconstruct, Save

DOMAINS = range(
    1 + int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")),
    51,
    int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")),
)
"""Those of this process of several that share the tests: one that a probe finds free may be taken by another before a
participant is in it. The demo has others."""
_first_domain = itertools.count(os.getpid())
MANY = QoSProfile(depth=1000)
"""For a client that calls often without waiting: by default it keeps ten of its requests, and ten answers."""
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def free_domain() -> int:
    """One of `DOMAINS` in which no participant of this machine takes part."""
    return processes.free_domain(DOMAINS, next(_first_domain))


class World:
    """A ROS domain of its own on this machine. Leave it and every process in it ends."""

    def __init__(self, log_folder: Path) -> None:
        self.domain = free_domain()
        self.logs = log_folder
        self.environment = os.environ | {
            "ROS_DOMAIN_ID": str(self.domain),
            "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
            "FASTDDS_DEFAULT_PROFILES_FILE": str(REPOSITORY / "config" / "fastdds.xml"),
            "PYTHONPATH": os.pathsep.join(filter(None, (str(REPOSITORY), os.environ.get("PYTHONPATH")))),
            "OMP_NUM_THREADS": "2",
        }
        self.processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> World:
        os.environ.update({k: self.environment[k] for k in ("ROS_AUTOMATIC_DISCOVERY_RANGE",)})
        os.environ["FASTDDS_DEFAULT_PROFILES_FILE"] = self.environment["FASTDDS_DEFAULT_PROFILES_FILE"]
        self.context = rclpy.Context()
        self.context.init(domain_id=self.domain)
        self.client = rclpy.create_node("planner", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.client)
        self.clients: dict[str, Any] = {}
        return self

    def __exit__(self, *exception: object) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
        for process in self.processes:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.client.destroy_node()
        self.executor.shutdown()
        self.context.shutdown()

    def start(self, name: str, command: Sequence[str]) -> subprocess.Popen[bytes]:
        log = (self.logs / f"{name}.log").open("wb")
        process = subprocess.Popen(
            [sys.executable, *command], env=self.environment, stdout=log, stderr=subprocess.STDOUT, cwd=REPOSITORY
        )
        log.close()
        self.processes.append(process)
        return process

    def log(self, name: str) -> str:
        return (self.logs / f"{name}.log").read_text(errors="replace")

    def wait_for_log(self, name: str, words: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while words not in self.log(name):
            assert time.monotonic() < deadline, f"'{words}' is not in the log:\n{self.log(name)}"
            self.spin(0.1)

    def start_node(self, **parameters: Any) -> subprocess.Popen[bytes]:
        """The reconstructor with the shipped parameter file and these values on top; returns once it answers.

        By the hull, where a test does not name a method: these tests are about the node, and the hull is fast.
        """
        parameters.setdefault("method", "hull")
        parameters.setdefault("output_dir", self.logs)
        command = ["-m", "mvgamba_ros.ros", "--ros-args", "--params-file", "config/reconstruct.yaml"]
        for name, value in parameters.items():
            command += ["-p", f"{name}:={str(value).lower() if isinstance(value, bool) else value}"]
        process = self.start("node", command)
        self.wait_for_service(CaptureView, "/reconstructor/capture_view", process)
        return process

    def start_player(self, folder: Path, *options: str) -> subprocess.Popen[bytes]:
        from std_srvs.srv import Trigger

        process = self.start("player", ["test/ros_player.py", str(folder), *options])
        self.wait_for_service(Trigger, "/next", process)
        return process

    def wait_for_service(self, kind: Any, name: str, process: subprocess.Popen[bytes]) -> None:
        client = self._client(kind, name)
        deadline = time.monotonic() + PATIENCE
        while not client.wait_for_service(timeout_sec=0.2):
            assert process.poll() is None, f"{name} never came up:\n" + self.log(self._name_of(process))
            assert time.monotonic() < deadline, f"{name} did not come up in {PATIENCE} s"

    def _name_of(self, process: subprocess.Popen[bytes]) -> str:
        return "player" if "ros_player" in str(process.args) else "node"

    def _client(self, kind: Any, name: str) -> Any:
        if name not in self.clients:
            self.clients[name] = self.client.create_client(kind, name, qos_profile=MANY)
        return self.clients[name]

    def begin(self, kind: Any, name: str, request: Any = None) -> Any:
        """A service call under way: a future. A request sent before DDS has matched its new client would be lost."""
        client = self._client(kind, name)
        assert client.wait_for_service(timeout_sec=PATIENCE), f"{name} is not there"
        return client.call_async(request or kind.Request())

    def finish(self, future: Any, timeout: float = PATIENCE) -> Any:
        self.executor.spin_until_future_complete(future, timeout_sec=timeout)
        assert future.done(), f"no answer within {timeout} s; the node's log:\n{self.log('node')}"
        return future.result()

    def call(self, kind: Any, name: str, request: Any = None, timeout: float = PATIENCE) -> Any:
        return self.finish(self.begin(kind, name, request), timeout)

    def begin_long_work(self, views: list[Any]) -> Any:
        """A reconstruction of some seconds, by the network and refined: its future, once the node works on it.

        Messages on two topics may overtake each other, so only BUSY shows that the work has begun. It is got by a
        request that is refused before it reaches the worker.
        """
        request = Reconstruct.Request(
            views=views, method="mvgamba", refine=True, answer_gaussians=Reconstruct.Request.YES
        )
        future = self.begin(Reconstruct, "/reconstructor/reconstruct", request)
        while self.reconstruct(views=views[:1], target_frame="nowhere").error_code != ErrorCode.BUSY:
            assert not future.done(), future.result().error_msg
        return future

    def set_parameter(self, node: str, name: str, value: Any) -> None:
        from rcl_interfaces.srv import SetParameters
        from rclpy.parameter import Parameter

        request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
        (result,) = self.call(SetParameters, f"/{node}/set_parameters", request).results
        assert result.successful, result.reason

    def capture(self) -> CaptureView.Response:
        return self.call(CaptureView, "/reconstructor/capture_view")

    def capture_until_good(self, timeout: float = PATIENCE) -> CaptureView.Response:
        """As a planner does: asks again while the arm settles."""
        deadline = time.monotonic() + timeout
        while (answer := self.capture()).error_code and time.monotonic() < deadline:
            self.spin(0.05)
        return answer

    def next_view(self) -> None:
        from std_srvs.srv import Trigger

        self.call(Trigger, "/next")

    def capture_all(self, count: int) -> list[CaptureView.Response]:
        answers = []
        for index in range(count):
            if index:
                self.next_view()
                self.spin(0.2)
            answers.append(self.capture_until_good())
            assert answers[-1].error_code == 0, answers[-1].error_msg
        return answers

    def reconstruct(self, timeout: float = PATIENCE, **fields: Any) -> Reconstruct.Response:
        return self.call(Reconstruct, "/reconstructor/reconstruct", Reconstruct.Request(**fields), timeout)

    def save(self, directory: str) -> Save.Response:
        return self.call(Save, "/reconstructor/save", Save.Request(directory=directory))

    def action(self) -> ActionClient:
        if "action" not in self.clients:
            self.clients["action"] = ActionClient(
                self.client,
                ReconstructObject,
                "/reconstructor/reconstruct_object",
                goal_service_qos_profile=MANY,
                result_service_qos_profile=MANY,
            )
            assert self.clients["action"].wait_for_server(timeout_sec=PATIENCE)
        return self.clients["action"]

    def spin(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.executor.spin_once(timeout_sec=left)

    def listen(self, kind: Any, topic: str, qos: Any = LATCHED) -> list[Any]:
        """The messages of a topic as they come in while the client spins."""
        received: list[Any] = []
        self.client.create_subscription(kind, topic, received.append, qos)
        return received

    def await_message(self, received: list[Any], timeout: float = PATIENCE) -> Any:
        deadline = time.monotonic() + timeout
        while not received and time.monotonic() < deadline:
            self.executor.spin_once(timeout_sec=0.1)
        assert received, "no message"
        return received[-1]
