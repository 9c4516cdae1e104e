"""The process of the node: started, spun until a signal, and ended in order."""

from __future__ import annotations

import signal
import sys
import threading
import time

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions

from mvgamba_ros.ros.node import STOP_S, Reconstructor


def main(args: list[str] | None = None) -> int:
    """Runs the node until SIGINT or SIGTERM; requests that are under way then get SHUTTING_DOWN.

    ``args``: the ROS arguments, those of the process where None. Returns the exit status: 1 where the node could not
    be made, which a wrong parameter or a wrong configuration file causes.
    """
    stop = threading.Event()
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    executor = SingleThreadedExecutor()
    try:
        node = Reconstructor()
    except Exception as error:
        print(f"reconstructor: {error}", file=sys.stderr)
        rclpy.try_shutdown()
        return 1
    executor.add_node(node)
    try:
        while not stop.is_set():
            executor.spin_once(timeout_sec=0.1)
        node.refuse_more()
        deadline = time.monotonic() + STOP_S
        idle = 0
        while idle < 5 and time.monotonic() < deadline:  # the last responses leave before the context does
            executor.spin_once(timeout_sec=0.05)
            idle = 0 if node.working else idle + 1
    except ExternalShutdownException:
        pass
    finally:
        node.close()
        rclpy.try_shutdown()
    return 0
