"""The process of the node: started, spun until a signal, and ended in order and in time."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions

from mvgamba_ros.errors import ReconstructionError
from mvgamba_ros.ros.failures import one_line
from mvgamba_ros.ros.node import Reconstructor

STOP_S = 3.0
"""Time that running work has to end once the node stops; then its request is answered without it. Supervisors
give five seconds at the least."""
ANSWER_S = 0.3
"""Time for the last responses to leave."""


def main(args: list[str] | None = None) -> int:
    """Runs the node until SIGINT or SIGTERM; requests that are under way then get SHUTTING_DOWN, and the process ends
    with status 0; with it ends work that did not stop in time.

    ``args``: the ROS arguments, those of the process where None. Returns 1 where the node could not be made, with one
    line that says why, which wrong parameters and files cause.
    """
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
        node = Reconstructor()
    except Exception as error:
        why = str(error) if isinstance(error, ReconstructionError) else f"{type(error).__name__}: {error}"
        print(f"reconstructor: {one_line(why)}", file=sys.stderr)
        rclpy.try_shutdown()
        return 1
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        while not stop.is_set():
            _spin(executor, node, 0.1)
        deadline = time.monotonic() + STOP_S
        node.refuse_more()
        _spin_until_idle(executor, node, deadline)
        node.give_up()
        _spin_until_idle(executor, node, time.monotonic() + ANSWER_S)
    except ExternalShutdownException:
        deadline = time.monotonic() + STOP_S
    node.close(max(ANSWER_S, deadline - time.monotonic()))
    rclpy.try_shutdown()
    # Unloading the libraries takes a second, several on a busy machine, and a thread that was left behind must not meet
    # their destructors.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _spin(executor: SingleThreadedExecutor, node: Reconstructor, timeout_s: float) -> None:
    """One turn of the executor. What a callback raises, as where a client has gone before its answer, ends that
    callback and not the node."""
    try:
        executor.spin_once(timeout_sec=timeout_s)
    except ExternalShutdownException:
        raise
    except Exception as error:
        node.get_logger().error("".join(traceback.format_exception(error)))
        time.sleep(timeout_s)  # one that comes at every turn fills neither the log nor a core


def _spin_until_idle(executor: SingleThreadedExecutor, node: Reconstructor, deadline: float) -> None:
    idle = 0
    while idle < 5 and time.monotonic() < deadline:  # some turns more: the last responses leave before the context does
        _spin(executor, node, 0.05)
        idle = 0 if node.working else idle + 1
