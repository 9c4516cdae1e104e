"""The services about the captured views: `~/capture_view` and `~/clear_views`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from std_msgs.msg import Header
from std_srvs.srv import Trigger

from mvgamba_ros.factories import embed
from mvgamba_ros.geometry.camera import undistort
from mvgamba_ros.options import Options
from mvgamba_ros.ros.awaited_capture import AwaitedCapture
from mvgamba_ros.ros.conversions.geometry import matrix_to_pose
from mvgamba_ros.ros.conversions.stamps import make_header
from mvgamba_ros.ros.failures import Failures
from mvgamba_ros.ros.outcome import Outcome
from mvgamba_ros.ros.parameters import Parameters
from mvgamba_ros.ros.view_buffer import CapturedView, ViewBuffer, coverage
from mvgamba_ros.ros.view_capture import poses_of
from mvgamba_ros.ros.view_spool import ViewSpool
from mvgamba_ros.ros.worker import Worker
from mvgamba_ros.srv import CaptureView
from mvgamba_ros.types import View


class CapturedViews:
    """Holds the views and answers the services about them, in the executor's thread.

    ``publish`` shows where the held views were taken from, ``now`` returns the time of the node's clock, nanoseconds.
    """

    def __init__(
        self,
        awaited: AwaitedCapture,
        spool: ViewSpool,
        settings: Callable[[], Parameters],
        publish: Callable[[Sequence[View], Header], None],
        failures: Failures,
        worker: Worker,
        now: Callable[[], int],
    ) -> None:
        self._awaited, self._spool, self._settings, self._publish = awaited, spool, settings, publish
        self._failures, self._worker, self._now = failures, worker, now
        self._held = ViewBuffer(spool.restore())
        self.services: tuple[tuple[type, str, Callable[..., Any]], ...] = (
            (CaptureView, "~/capture_view", self._on_capture_view),
            (Trigger, "~/clear_views", self._on_clear_views),
        )

    def __len__(self) -> int:
        return len(self._held)

    def snapshot(self) -> tuple[CapturedView, ...]:
        """The views, in the order of capture."""
        return self._held.snapshot()

    async def _on_capture_view(self, request: CaptureView.Request, response: CaptureView.Response) -> Any:
        outcome = Outcome()
        try:
            captured = await self._awaited.next_good_view()
            parameters = self._settings()
            self._held.add(captured, parameters.min_view_distance_m, parameters.max_views)
            self._spool.add(captured)
            header = make_header(parameters.target_frame, captured.stamp)
            response.pose.header, response.pose.pose = header, matrix_to_pose(captured.view.T_world_camera)
            self._publish([c.view for c in self.snapshot()], header)
            self._worker.prepare(lambda: self._embed(captured.view, parameters.options))
        except Exception as error:
            outcome.error = self._failures.note("capture_view", error)
        response.view_count = len(self)
        response.coverage, response.largest_gap = coverage(poses_of(self.snapshot()))
        return outcome.fill(response)

    def _embed(self, view: View, options: Options) -> None:
        """What a segmenter computes of a view alone, while the arm moves on, in the worker's thread."""
        try:
            embed(options, undistort(view))
        except Exception as error:  # the reconstruction meets it again, and returns it
            self._failures.note(f"segmenter {options.segmenter}", error)

    def _on_clear_views(self, request: Trigger.Request, response: Trigger.Response) -> Any:
        count = self._held.clear()
        self._spool.clear()
        self._publish([], make_header(self._settings().target_frame, self._now()))
        response.success, response.message = True, f"{count} views cleared"
        return response
