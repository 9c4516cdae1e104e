"""What the worker makes of a new view while the arm moves on and nobody waits: what a segmenter computes of it alone,
and with the parameter `preliminary` a reconstruction of the views so far. Whatever a client requests comes first."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mvgamba_ros.errors import ErrorCode
from mvgamba_ros.factories import embed
from mvgamba_ros.geometry.camera import undistort
from mvgamba_ros.ros.failures import Failures
from mvgamba_ros.ros.parameters import Parameters
from mvgamba_ros.ros.requests import Task, resolve
from mvgamba_ros.ros.transforms import TransformSource
from mvgamba_ros.ros.view_buffer import CapturedView
from mvgamba_ros.ros.worker import Job, Worker
from mvgamba_ros.srv import Reconstruct


class BackgroundWork:
    """``make`` reconstructs and publishes a task, in the worker's thread."""

    def __init__(
        self,
        worker: Worker,
        held: Callable[[], Sequence[CapturedView]],
        transforms: TransformSource,
        settings: Callable[[], Parameters],
        failures: Failures,
        make: Callable[[Task, Callable[[], bool]], object],
    ) -> None:
        self._worker, self._held, self._transforms, self._settings = worker, held, transforms, settings
        self._failures, self._make = failures, make

    def on_new_view(self, captured: CapturedView) -> None:
        """Begins it, in the executor's thread."""
        options = self._settings().options

        def work(job: Job) -> None:
            try:
                embed(options, undistort(captured.view))
            except Exception as error:  # the reconstruction meets it again, and returns it
                self._failures.note(f"segmenter {options.segmenter}", error)

        self._worker.prepare("the segmenter's look at a new view", work)
        self._reconstruct()

    def _reconstruct(self) -> None:
        """Begins a reconstruction where one is wanted and the worker is idle. One that other views came in during is
        followed by the next."""
        parameters, captured = self._settings(), tuple(self._held())
        if not parameters.preliminary or not parameters.options.min_views <= len(captured) <= parameters.max_views:
            return
        task = resolve(Reconstruct.Request(), parameters, captured, self._transforms)

        def work(job: Job) -> Callable[[], None]:
            try:
                self._make(task, job.cancelled)
            except Exception as error:
                if getattr(error, "code", None) is not ErrorCode.CANCELLED:
                    self._failures.note("preliminary", error)
            return lambda: None if job.cancelled() else self._follow(task)

        self._worker.start_spare("a preliminary reconstruction", work)

    def _follow(self, task: Task) -> None:
        """In the worker's thread, once it is free again."""
        if list(map(id, tuple(self._held()))) != list(map(id, task.captured)):
            self._reconstruct()
