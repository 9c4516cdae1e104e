"""The captured views, in memory and on disk, and the services about them that take no time: `~/capture_view`,
`~/list_views`, `~/remove_view`, `~/clear_views`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from std_msgs.msg import Header
from std_srvs.srv import Trigger

from mvgamba_ros.geometry.view_coverage import coverage
from mvgamba_ros.msg import ViewInfo
from mvgamba_ros.ros.awaited_capture import AwaitedCapture
from mvgamba_ros.ros.conversions.geometry import matrix_to_pose
from mvgamba_ros.ros.conversions.stamps import make_header
from mvgamba_ros.ros.failures import Failures
from mvgamba_ros.ros.outcome import Outcome
from mvgamba_ros.ros.parameters import Parameters
from mvgamba_ros.ros.view_buffer import CapturedView, ViewBuffer, poses_of
from mvgamba_ros.ros.view_spool import ViewSpool
from mvgamba_ros.srv import CaptureView, ListViews, RemoveView
from mvgamba_ros.types import View


class CapturedViews:
    """Holds the views and answers the services about them, in the executor's thread.

    ``publish`` shows where the held views were taken from, at once where ``spool`` has some, ``now`` returns the time
    of the node's clock, nanoseconds, ``on_new`` is called with each view that was added.
    """

    def __init__(
        self,
        awaited: AwaitedCapture,
        spool: ViewSpool,
        settings: Callable[[], Parameters],
        publish: Callable[[Sequence[View], Header], None],
        failures: Failures,
        now: Callable[[], int],
        on_new: Callable[[CapturedView], None],
    ) -> None:
        self._awaited, self._spool, self._settings, self._publish = awaited, spool, settings, publish
        self._failures, self._now, self._on_new = failures, now, on_new
        self._held = ViewBuffer(spool.restore())
        if self._held:
            self._show(self._now())
        self.services: tuple[tuple[type, str, Callable[..., Any]], ...] = (
            (CaptureView, "~/capture_view", self._on_capture_view),
            (ListViews, "~/list_views", self._on_list_views),
            (RemoveView, "~/remove_view", self._on_remove_view),
            (Trigger, "~/clear_views", self._on_clear_views),
        )

    def __len__(self) -> int:
        return len(self._held)

    def snapshot(self) -> tuple[CapturedView, ...]:
        """The views, in the order of capture."""
        return self._held.snapshot()

    def nearest(self, eye: Any) -> tuple[int, float]:
        """See `ViewBuffer.nearest`."""
        return self._held.nearest(eye)

    def coverage(self) -> tuple[float, float]:
        """See `mvgamba_ros.geometry.view_coverage.coverage`."""
        return coverage(poses_of(self.snapshot()))

    def add(self, captured: CapturedView) -> None:
        """Keeps one more view, on disk too. Raises DUPLICATE_VIEW, TOO_MANY_VIEWS."""
        parameters = self._settings()
        self._held.add(captured, parameters.min_view_distance_m, parameters.max_views)
        self._spool.add(captured)
        self._show(captured.stamp)
        self._on_new(captured)

    def replace(self, kept: Sequence[CapturedView], added: Sequence[CapturedView]) -> None:
        """Holds in memory ``kept``, of those held so far, and after them ``added``, for which `store` follows."""
        for captured in self.snapshot():
            if not any(captured is other for other in kept):
                self._spool.remove(captured)
        self._held.replace((*kept, *added))
        self._show(self._now())
        for captured in added:
            self._spool.reserve(captured)
            self._on_new(captured)

    def store(self, captured: CapturedView) -> None:
        """Writes a view of `replace` to disk, where it is still held."""
        if any(captured is other for other in self.snapshot()):
            self._spool.add(captured)

    def _show(self, stamp: int) -> None:
        self._publish([c.view for c in self.snapshot()], make_header(self._settings().target_frame, stamp))

    async def _on_capture_view(self, request: CaptureView.Request, response: CaptureView.Response) -> Any:
        outcome = Outcome()
        try:
            captured = await self._awaited.next_good_view()
            self.add(captured)
            response.pose.header = make_header(self._settings().target_frame, captured.stamp)
            response.pose.pose = matrix_to_pose(captured.view.T_world_camera)
        except Exception as error:
            outcome.error = self._failures.note("capture_view", error)
        response.view_count = len(self)
        response.coverage, response.largest_gap = self.coverage()
        return outcome.fill(response)

    def _on_list_views(self, request: ListViews.Request, response: ListViews.Response) -> Any:
        frame = self._settings().target_frame
        response.views = [view_info(captured, frame) for captured in self.snapshot()]
        response.coverage, response.largest_gap = self.coverage()
        return Outcome().fill(response)

    def _on_remove_view(self, request: RemoveView.Request, response: RemoveView.Response) -> Any:
        outcome = Outcome()
        try:
            self._spool.remove(self._held.remove(request.index))
            self._show(self._now())
        except Exception as error:
            outcome.error = self._failures.note("remove_view", error)
        response.view_count = len(self)
        return outcome.fill(response)

    def _on_clear_views(self, request: Trigger.Request, response: Trigger.Response) -> Any:
        count = self._held.clear()
        self._spool.clear()
        self._show(self._now())
        response.success, response.message = True, f"{count} views cleared"
        return response


def view_info(captured: CapturedView, frame: str) -> ViewInfo:
    """What a view posed in ``frame`` is, without its pictures."""
    view = captured.view
    return ViewInfo(
        header=make_header(frame, captured.stamp),
        pose=matrix_to_pose(view.T_world_camera),
        width=view.camera.width,
        height=view.camera.height,
        sharpness=captured.sharpness,
        has_depth=view.depth is not None,
        has_mask=view.mask is not None,
    )
