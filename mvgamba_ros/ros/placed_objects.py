"""The objects that planners know by their ids: in MoveIt's planning scene and as frames on TF, until they are cleared.

A reconstruction ends in the worker's thread; everything about the middleware's graph happens in the executor's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from std_msgs.msg import Header

from mvgamba_ros.ros.object_frames import ObjectFrames
from mvgamba_ros.ros.parameters import Parameters
from mvgamba_ros.ros.transforms import TransformSource
from mvgamba_ros.types import F64


@dataclass(frozen=True)
class Placed:
    """An object where it stands."""

    name: str
    header: Header
    T_frame_object: F64
    """(4, 4), in the header's frame."""
    frame: str
    """Its name on TF; empty: it gets none."""
    collision: Any
    """A moveit_msgs/CollisionObject and its colour; None: the planning scene stays without it."""
    clears: int = 0
    """`PlacedObjects.clears` when it was shown: one that was cleared since is not placed."""


class PlacedObjects:
    """Keeps at most ``max_objects``; for one more the oldest goes."""

    def __init__(self, node: Node, transforms: TransformSource, settings: Callable[[], Parameters]) -> None:
        self._settings, self._log = settings, node.get_logger()
        self._frames = ObjectFrames(node, transforms)
        self._scene: Any = None
        try:
            from mvgamba_ros.ros.planning_scene import PlanningScene
        except ImportError:  # documented: this output exists only beside MoveIt
            pass
        else:
            self._scene = PlanningScene(node)
            node.create_timer(1.0, self._scene.watch, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self.clears = 0
        """How often all were removed."""
        self._held: dict[str, Placed] = {}
        self._arrived: SimpleQueue[Placed] = SimpleQueue()
        self._wake = node.create_guard_condition(self._take)

    @property
    def has_planning_scene(self) -> bool:
        """Whether moveit_msgs is installed."""
        return self._scene is not None

    def place(self, placed: Placed) -> None:
        """Adds an object, or replaces the one of its name. From any thread."""
        self._arrived.put(placed)
        self._wake.trigger()

    def clear(self) -> list[str]:
        """Removes all; returns their names. In the executor's thread, as all below."""
        self._take()
        self.clears += 1
        names = list(self._held)
        for name in names:
            self._remove(name)
        return names

    def _take(self) -> None:
        while True:
            try:
                placed = self._arrived.get_nowait()
            except Empty:
                return
            self._put(placed)

    def _put(self, placed: Placed) -> None:
        if placed.clears != self.clears:
            self._log.info(f"'{placed.name}' was cleared before planners had it: they do not get it")
            return
        self._held.pop(placed.name, None)
        while len(self._held) >= self._settings().max_objects:
            oldest = next(iter(self._held))
            self._log.warning(f"'{oldest}' leaves the planning scene: max_objects is {self._settings().max_objects}")
            self._remove(oldest)
        self._held[placed.name] = placed
        if placed.frame:
            self._frames.add(placed.name, placed.frame, placed.header.frame_id, placed.T_frame_object)
        else:
            self._frames.remove(placed.name)
        if self._scene is not None and placed.collision is not None:
            self._scene.add(*placed.collision)

    def _remove(self, name: str) -> None:
        placed = self._held.pop(name)
        self._frames.remove(name)
        if self._scene is not None:
            self._scene.remove(name, placed.header)
