"""The parameter `auto_capture`: views that are kept without a call, wherever the camera stands still at a new place."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.se3 import inverse, transform
from mvgamba_ros.geometry.view_coverage import directions_from, viewed_point
from mvgamba_ros.geometry.view_selection import ViewSelection
from mvgamba_ros.ros.awaited_capture import AwaitedCapture
from mvgamba_ros.ros.captured_views import CapturedViews
from mvgamba_ros.ros.failures import Failures, clipped, one_line
from mvgamba_ros.ros.parameters import Parameters
from mvgamba_ros.ros.transforms import speeds
from mvgamba_ros.ros.view_buffer import poses_of
from mvgamba_ros.ros.view_capture import Capture
from mvgamba_ros.types import F64, View

POLL_S = 0.2
"""Period of the tries. The camera must stand at one place in two of them, so a view comes at most this much later than
a planner's call could have got it."""
RETRY_S = 1.0
"""Time between two pictures of one place that are decoded, where the first failed a test."""


class AutoCapture:
    """`poll` is called every `POLL_S` in the executor's thread. While the camera moves it compares two transforms; a
    picture is decoded once at each new place. ``log`` takes a line."""

    def __init__(
        self,
        capture: Capture,
        awaited: AwaitedCapture,
        views: CapturedViews,
        settings: Callable[[], Parameters],
        failures: Failures,
        log: Callable[[str], Any],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._capture, self._awaited, self._views, self._settings = capture, awaited, views, settings
        self._failures, self._log, self._clock = failures, log, clock
        self._place: F64 | None = None
        self._next_try = 0.0
        self._done = False
        self._failing: dict[ErrorCode, float] = {}
        self._logged: set[ErrorCode] = set()

    def poll(self) -> None:
        """Keeps a view where one is due. Raises nothing, for a timer's error would end the node; an unforeseen one is
        noted once, until the next view is kept."""
        try:
            self._poll()
        except Exception as error:
            if ErrorCode.INTERNAL not in self._logged:
                self._logged.add(ErrorCode.INTERNAL)
                self._failures.note("capture by auto_capture", error)

    def _poll(self) -> None:
        parameters = self._settings()
        if not parameters.auto_capture:
            self._place, self._done = None, False
            return
        if self._awaited.waiting or self._is_done(parameters):
            return
        try:
            pose = self._capture.still_pose()
        except ReconstructionError as error:
            self._place = None
            self._note(error, parameters)
            return
        stood, self._place = self._place is not None and _stood(self._place, pose, parameters), pose
        if not stood:
            self._next_try, self._failing = 0.0, {}
            return
        if self._clock() < self._next_try or not self._is_new(pose, parameters):
            return
        self._next_try = self._clock() + RETRY_S
        try:
            captured = self._capture.newest_good_view()
            if not _shows_region(captured.view, parameters):
                self._next_try = math.inf  # until the camera moved
                return
            self._views.add(captured)
        except ReconstructionError as error:
            self._note(error, parameters)
            return
        self._failing, self._logged = {}, set()
        self._log(f"auto_capture: view {len(self._views) - 1} kept, coverage {self._views.coverage()[0]:.2f}")
        self._is_done(parameters)

    def _is_done(self, parameters: Parameters) -> bool:
        """Whether no view is wanted any more; the log has it once."""
        count, (coverage, gap) = len(self._views), self._views.coverage()
        enough = count >= parameters.options.min_views and coverage >= parameters.auto_capture_coverage
        if (enough or count >= parameters.max_views) and not self._done:
            self._log(
                f"auto_capture: done with {count} views, coverage {coverage:.2f}, largest gap {math.degrees(gap):.0f} "
                f"degrees{'' if enough else ' (max_views)'}; it goes on once views are dropped"
            )
        self._done = enough or count >= parameters.max_views
        return self._done

    def _is_new(self, pose: F64, parameters: Parameters) -> bool:
        """Whether ``pose`` (4, 4) is far enough from every view held, and sees the object from another side."""
        if not len(self._views):
            return True
        if self._views.nearest(pose[:3, 3])[1] < parameters.min_view_distance_m:
            return False
        poses = np.concatenate([poses_of(self._views.snapshot()), pose[None]])
        centre = np.array(parameters.roi_m[:3]) if parameters.roi_m else viewed_point(poses)
        away = directions_from(centre, poses[:, :3, 3])
        return bool((away[:-1] @ away[-1]).max() < math.cos(math.radians(ViewSelection().min_angle)))

    def _note(self, error: ReconstructionError, parameters: Parameters) -> None:
        """One line where no view can be kept for `silent_after_s` for one reason, until the next view is kept."""
        if error.code in (ErrorCode.CAMERA_MOVING, ErrorCode.DUPLICATE_VIEW):
            return
        since = self._failing.setdefault(error.code, self._clock())
        if self._clock() - since >= parameters.silent_after_s and error.code not in self._logged:
            self._logged.add(error.code)
            self._log(f"auto_capture waits: {error.code.name}: {one_line(clipped(error.message))}")


def _stood(before: F64, pose: F64, parameters: Parameters) -> bool:
    """Whether a camera that came from the one pose to the other in `POLL_S` is still, as for `~/capture_view`."""
    speed, turn_rate = speeds(before, pose, POLL_S)
    return speed <= parameters.max_camera_speed_m_s and turn_rate <= parameters.max_camera_turn_rate_rad_s


def _shows_region(view: View, parameters: Parameters) -> bool:
    """Whether the centre of the region, where there is one, lies in the picture, the lens taken for a pinhole."""
    if not parameters.roi_m:
        return True
    x, y, z = transform(inverse(view.T_world_camera), np.array([parameters.roi_m[:3]]))[0]
    if z <= 0.0:
        return False
    column, row, _ = view.camera.K @ [x / z, y / z, 1.0]
    return bool(0 <= column < view.camera.width and 0 <= row < view.camera.height)
