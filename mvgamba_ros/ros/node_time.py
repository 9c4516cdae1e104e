"""The node's clock: its time, whether it runs, and what to forget where it goes back.

Time goes back where a recording is played again, a simulator is reset, or a clock is set. What was kept of the time
before (transforms, pictures, the last view) would then mix with what comes after. Captured views stay.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from rclpy.clock import JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.node import Node

from mvgamba_ros.ros.conversions.stamps import NANOSECONDS

BACK_S = 0.1
"""Time that goes back further than this has jumped; messages of one stream overtake each other by less."""
ONE_JUMP_S = 2.0
"""Seconds in which the clock and every stream show the same jump."""


class NodeTime:
    """The clock of ``node``. Each of ``forget`` is called at a jump, in the thread that met it."""

    def __init__(self, node: Node) -> None:
        self._clock: Any = node.get_clock()
        self._logger = node.get_logger()
        self._lock = threading.Lock()
        self.forget: list[Callable[[], None]] = []
        self.jumps = 0
        self.last_jump = ""
        self._jumped_at = -ONE_JUMP_S
        self._standing = (-1, 0.0)
        threshold = JumpThreshold(min_forward=None, min_backward=Duration(seconds=-BACK_S), on_clock_change=True)
        self._handle = self._clock.create_jump_callback(threshold, post_callback=self._on_jump)

    def now(self) -> int:
        """Nanoseconds. 0 where use_sim_time is set and nothing came on /clock yet."""
        return int(self._clock.now().nanoseconds)

    @property
    def simulated(self) -> bool:
        """Whether the time is that of /clock."""
        return bool(self._clock.ros_time_is_active)

    def _on_jump(self, jump: TimeJump) -> None:
        seconds = jump.delta.nanoseconds / NANOSECONDS
        self.jumped(f"the node's clock went back by {-seconds:.2f} s" if seconds < 0 else "use_sim_time was changed")

    def jumped(self, why: str) -> None:
        """Forgets what belongs to the time before. The clock and every stream may show one jump; it is said once."""
        with self._lock:
            first = time.monotonic() - self._jumped_at > ONE_JUMP_S
            self._jumped_at = time.monotonic()
            self.jumps += first
        for forget in self.forget:
            forget()
        if first:
            self.last_jump = why
            self._logger.warning(f"time jumped: {why}; transforms and pictures are forgotten, captured views are kept")

    def close(self) -> None:
        """Meets no more jumps of the clock."""
        self._handle.unregister()

    def silence(self, after_s: float) -> str:
        """Why simulated time does not run and what to do about it, or "" where it runs, or is the system's. Time that
        stands is known from the second call on."""
        if not self.simulated:
            return ""
        now, steady = self.now(), time.monotonic()
        if now == 0:
            return "use_sim_time is set and nothing came on /clock: start the simulator or the recording, or unset it"
        if now != self._standing[0]:
            self._standing = now, steady
        stood = steady - self._standing[1]
        if stood <= after_s:
            return ""
        return (
            f"/clock stands at {now / NANOSECONDS:.2f} s for {stood:.1f} s (use_sim_time): is the simulator paused, "
            "or the recording over?"
        )


class StreamTime:
    """Whether the stamps of one stream went back by more than ``limit`` nanoseconds: twice in turn, as one message may
    come late, or be of another sender."""

    def __init__(self, limit: int) -> None:
        self._limit, self._newest, self._late = limit, 0, 0

    def seconds_back(self, stamp: int) -> float:
        """How far this stamp and the one before it lie behind the newest, seconds; 0 where they do not."""
        if stamp >= self._newest - self._limit:
            self._newest, self._late = max(stamp, self._newest), 0
            return 0.0
        self._late += 1
        if self._late < 2:
            return 0.0
        back, self._newest, self._late = self._newest - stamp, stamp, 0
        return back / NANOSECONDS

    @property
    def late(self) -> bool:
        """Whether the last stamp lay too far back, and the one before it did not."""
        return self._late > 0
