"""A capture that waits, as a coroutine, for what is on its way: a transform, an image, its depth or mask."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.ros.parameters import Parameters
from mvgamba_ros.ros.view_buffer import CapturedView
from mvgamba_ros.ros.view_capture import Capture

RETRY_S = 0.02
"""Period of a capture's tries while a transform or a message is on its way."""
ON_THE_WAY = (
    ErrorCode.TRANSFORM_UNAVAILABLE,
    ErrorCode.NO_IMAGE,
    ErrorCode.NO_CAMERA_INFO,
    ErrorCode.BAD_DEPTH,
    ErrorCode.BAD_MASK,
)
"""Failures of a capture that a message still on its way mends."""


class AwaitedCapture:
    """`Capture.newest_good_view`, tried again until it succeeds or its time is over. ``sleep`` awaits some seconds,
    ``stopped`` is True once nobody should wait any longer."""

    def __init__(
        self,
        capture: Capture,
        settings: Callable[[], Parameters],
        sleep: Callable[[float], Awaitable[None]],
        stopped: Callable[[], bool],
    ) -> None:
        self._capture, self._settings, self._sleep, self._stopped = capture, settings, sleep, stopped
        self._waiting = 0

    @property
    def waiting(self) -> bool:
        """Whether a capture is under way."""
        return self._waiting > 0

    async def next_good_view(self) -> CapturedView:
        """The newest good view. Raises what `Capture.newest_good_view` raises after tf_timeout_s, at once where waiting
        does not help, and BUSY where max_waiting captures wait already."""
        parameters = self._settings()
        if self._waiting >= parameters.max_waiting:
            raise ReconstructionError(
                ErrorCode.BUSY,
                f"{self._waiting} captures wait for an image or a transform already (max_waiting): wait for an answer "
                "before the next call",
            )
        deadline = time.monotonic() + parameters.tf_timeout_s
        self._waiting += 1
        try:
            while True:
                try:
                    return self._capture.newest_good_view()
                except ReconstructionError as error:
                    if error.code not in ON_THE_WAY or time.monotonic() >= deadline or self._stopped():
                        raise
                await self._sleep(RETRY_S)
        finally:
            self._waiting -= 1
