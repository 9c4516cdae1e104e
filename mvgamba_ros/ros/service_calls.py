"""The node's services and action as plain functions that wait for the answer, each with a time limit."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

import rclpy
from rclpy.action import ActionClient
from rclpy.exceptions import NameValidationException
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from mvgamba_ros.action import ReconstructObject, ReconstructScene
from mvgamba_ros.errors import ErrorCode
from mvgamba_ros.ros.qos import latched
from mvgamba_ros.srv import CaptureView, ListViews, Reconstruct, Save
from mvgamba_ros.types import Progress

ON_ITS_WAY = (ErrorCode.NO_IMAGE, ErrorCode.NO_CAMERA_INFO, ErrorCode.STALE_IMAGE, ErrorCode.CAMERA_MOVING)
"""What a capture may answer while the arm settles and the first image after a move is still on its way."""
NOT_YET = (*ON_ITS_WAY, ErrorCode.DUPLICATE_VIEW, ErrorCode.BLURRED_IMAGE, ErrorCode.TRANSFORM_UNAVAILABLE)
"""What it may answer until the camera stands at a new place."""
RETRY_S = 0.2
MOST_WAITING = 10
"""Messages of a latched topic that are kept for a caller until it waits again."""


class CallError(Exception):
    """A call failed; the message names which and the cause. ``code``: of the node's answer, None where none came."""

    def __init__(self, message: str, code: ErrorCode | None = None) -> None:
        super().__init__(message)
        self.code = code


class NodeCalls:
    """A ROS node of its own inside a ``with``, which calls the node ``target``, e.g. "/left/reconstructor".

    ``check``, called while waiting, raises where waiting is in vain.
    """

    def __init__(
        self,
        target: str = "/reconstructor",
        check: Callable[[], None] = lambda: None,
        arguments: list[str] | None = None,
    ) -> None:
        self.target = "/" + target.strip("/")
        self._check, self._arguments = check, arguments or []

    def __enter__(self) -> NodeCalls:
        # The caller keeps its own signal handlers: Ctrl-C must reach it, not only the middleware.
        rclpy.init(args=self._arguments, signal_handler_options=SignalHandlerOptions.NO)
        self._node = Node("reconstruct_client", enable_rosout=False, start_parameter_services=False)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._services: dict[str, Any] = {}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._executor.shutdown(timeout_sec=1.0)
        self._node.destroy_node()
        rclpy.try_shutdown()

    def wait_for_node(self, limit_s: float) -> None:
        """Returns once the node answers. Raises CallError, which names the nodes of its kind that there are."""
        name = f"{self.target}/reconstruct"
        try:
            self.wait_for_service(Reconstruct, name, limit_s)
        except CallError:
            if name not in self._services:
                raise
            kind = "mvgamba_ros/srv/Reconstruct"
            offered = self._node.get_service_names_and_types()
            others = sorted(name.rpartition("/")[0] for name, kinds in offered if kind in kinds)
            others = [name for name in others if name != self.target]  # this client's own call is listed too
            there = f"; there are: {', '.join(others)}" if others else ""
            raise CallError(
                f"no node {self.target} answers: start it by `ros2 launch mvgamba_ros reconstruct.launch.py`, or name "
                f"another by --node{there}"
            ) from None

    def count(self) -> int:
        """How many nodes have the target's name. One that was killed counts until its lease ends."""
        namespace, _, name = self.target.rpartition("/")
        return self._node.get_node_names_and_namespaces().count((name, namespace or "/"))

    def wait_for_service(self, kind: Any, name: str, limit_s: float) -> None:
        """Returns once a server of ``name`` is there."""
        if name not in self._services:
            try:
                self._services[name] = self._node.create_client(kind, name)
            except (NameValidationException, ValueError) as error:
                raise CallError(f"{name}: {' '.join(str(error).split())}") from None
        self._wait(self._services[name].service_is_ready, limit_s, f"the service {name}")

    def capture_view(self, limit_s: float, until_new: bool = False) -> CaptureView.Response:
        """Captures a view, trying again while an image is on its way; ``until_new``: also until the camera stands still
        at a place that no view was captured from."""
        deadline = time.monotonic() + limit_s
        while True:
            answer = self.call(CaptureView, "capture_view", CaptureView.Request(), limit_s)
            if answer.error_code == ErrorCode.SUCCESS:
                return answer
            if answer.error_code not in (NOT_YET if until_new else ON_ITS_WAY) or time.monotonic() > deadline:
                raise refused("capture_view", answer)
            self.spin(RETRY_S)

    def reconstruct(self, goal: Any, progress: Progress, limit_s: float) -> Any:
        """The result of the action for ``goal``. What ends the waiting, Ctrl-C too, cancels the work."""
        return self._act(ReconstructObject, "reconstruct_object", goal, progress, limit_s)

    def reconstruct_scene(self, goal: Any, progress: Progress, limit_s: float) -> Any:
        """The same for several objects; the result's ``failures`` may hold some of them."""
        return self._act(ReconstructScene, "reconstruct_scene", goal, progress, limit_s)

    def _act(self, kind: Any, name: str, goal: Any, progress: Progress, limit_s: float) -> Any:
        name = f"{self.target}/{name}"
        client: Any = ActionClient(self._node, kind, name)
        self._wait(client.server_is_ready, limit_s, f"the action {name}")
        sent = client.send_goal_async(goal, lambda m: progress(m.feedback.stage, m.feedback.fraction))
        try:
            self._wait(sent.done, limit_s, f"an answer of {name}")
            handle: Any = sent.result()
            if not handle.accepted:
                raise CallError(f"{name} did not accept the request")
            future = handle.get_result_async()
            self._wait(future.done, limit_s, f"the result of {name}")
        except BaseException:
            self._cancel(sent)
            raise
        answer: Any = future.result()
        result = answer.result
        if result.error_code != ErrorCode.SUCCESS:
            raise refused("reconstruct", result)
        return result

    def _cancel(self, sent: Any) -> None:
        """Cancels a goal, which may not have been accepted yet."""
        self._executor.spin_until_future_complete(sent, timeout_sec=2.0)
        if sent.done() and sent.result().accepted:
            self._executor.spin_until_future_complete(sent.result().cancel_goal_async(), timeout_sec=2.0)

    def save(self, folder: str, limit_s: float) -> list[str]:
        """Has the node write its last object as ``folder`` of its output_dir; returns the files."""
        answer = self.call(Save, "save", Save.Request(directory=folder), limit_s)
        if answer.error_code != ErrorCode.SUCCESS:
            raise refused("save", answer)
        return list(answer.files)

    def list_views(self, limit_s: float) -> ListViews.Response:
        """The views that the node holds."""
        answer = self.call(ListViews, "list_views", ListViews.Request(), limit_s)
        if answer.error_code != ErrorCode.SUCCESS:
            raise refused("list_views", answer)
        return answer

    def listen(self, kind: Any, topic: str, callback: Callable[[Any], None]) -> None:
        """Calls ``callback`` with every message of a latched topic, the last one included, while something waits."""
        self._node.create_subscription(kind, topic, callback, latched(MOST_WAITING))

    def spin(self, seconds: float) -> None:
        """Serves what comes in for that long."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self._check()
            self._executor.spin_once(timeout_sec=min(left, 0.1))

    def call(self, kind: Any, name: str, request: Any, limit_s: float) -> Any:
        """The answer of a service; ``name``: absolute, or below the node."""
        name = name if name.startswith("/") else f"{self.target}/{name}"
        self.wait_for_service(kind, name, limit_s)
        future = self._services[name].call_async(request)
        self._wait(future.done, limit_s, f"an answer of {name}")
        return future.result()

    def _wait(self, done: Callable[[], bool], limit_s: float, what: str) -> None:
        deadline = time.monotonic() + limit_s
        while not done():
            self._check()
            if time.monotonic() > deadline:
                raise CallError(f"waited {limit_s:g} s for {what} in vain")
            self._executor.spin_once(timeout_sec=0.1)


def refused(what: str, answer: Any) -> CallError:
    """The error of an answer whose error_code is not SUCCESS."""
    try:
        code = ErrorCode(answer.error_code)
    except ValueError:  # of a newer node
        return CallError(f"{what} answered error_code {answer.error_code}: {answer.error_msg}")
    return CallError(f"{what} answered {code.name}: {answer.error_msg}", code)
