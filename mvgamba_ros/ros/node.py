"""The node `reconstructor`: services, actions and timers wired to capture, worker and outputs. See the README.

One executor thread runs every callback and never waits: whatever takes long is a coroutine that awaits the worker's
outcome. Every failure is returned as code and message, keeps the captured views and leaves the node up.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from rclpy.action import ActionServer, CancelResponse
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.task import Future

from mvgamba_ros.action import ReconstructObject
from mvgamba_ros.action import ReconstructScene as SceneAction
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.process import give_memory_back
from mvgamba_ros.ros.auto_capture import POLL_S, AutoCapture
from mvgamba_ros.ros.awaited_capture import AwaitedCapture
from mvgamba_ros.ros.awaited_work import AwaitedWork
from mvgamba_ros.ros.background_work import BackgroundWork
from mvgamba_ros.ros.calibration import Calibration
from mvgamba_ros.ros.captured_views import CapturedViews
from mvgamba_ros.ros.declared_parameters import declare
from mvgamba_ros.ros.diagnostics import Diagnostics
from mvgamba_ros.ros.failures import Failures
from mvgamba_ros.ros.folders import confined, writable_folder
from mvgamba_ros.ros.health import Health
from mvgamba_ros.ros.inputs import Inputs
from mvgamba_ros.ros.making import Maker
from mvgamba_ros.ros.node_time import NodeTime
from mvgamba_ros.ros.outcome import Outcome
from mvgamba_ros.ros.outputs import Outputs
from mvgamba_ros.ros.parameters import Parameters
from mvgamba_ros.ros.region import Region
from mvgamba_ros.ros.request_limits import check_request, check_scene_request
from mvgamba_ros.ros.requests import resolve
from mvgamba_ros.ros.save import save
from mvgamba_ros.ros.transform_listener import listen
from mvgamba_ros.ros.view_capture import Capture
from mvgamba_ros.ros.view_loading import ViewLoading
from mvgamba_ros.ros.view_spool import ViewSpool
from mvgamba_ros.ros.view_suggestions import ViewSuggestions
from mvgamba_ros.ros.worker import Job, Worker
from mvgamba_ros.srv import Calibration as CalibrationService
from mvgamba_ros.srv import Reconstruct, ReconstructScene, Save
from mvgamba_ros.types import Progress
from mvgamba_ros.warm_up import warm_up

TOO_LARGE = (ErrorCode.TOO_MANY_VIEWS, ErrorCode.BAD_IMAGE)
"""Failures of a request that is beyond a limit, and larger than others."""


class Reconstructor(Node):
    """See the module. ``spin`` it with a `SingleThreadedExecutor`."""

    def __init__(self) -> None:
        super().__init__("reconstructor")
        self._settings = declare(self)
        parameters = self._settings()
        writable_folder(parameters.output_dir, "output_dir")
        spool = ViewSpool(parameters.spool_dir, parameters.target_frame, self.get_logger().warning)
        # What a wrong parameter stops comes before the threads that follow.
        self._health = Health()
        self._failures = Failures(self.get_logger(), self._health)
        self._time = NodeTime(self)
        self._now = self._time.now
        self._inputs = Inputs(self, parameters, self._time.jumped)
        self._transforms = listen(self, self._time, self._settings)
        self._outputs = Outputs(self, self._transforms, self._settings)
        self._diagnostics = Diagnostics(self, self._inputs, self._transforms, self._time, self._health)
        self._calibration = Calibration()
        self._maker = Maker(self._outputs, self._health, self._failures, self._calibration, self.get_logger())
        self._worker = Worker()
        self._work = AwaitedWork(self, self._worker, self._failures)
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)

        capture = Capture(
            self._inputs, self._transforms, self._settings, self._now, lambda: self._health.succeeded("capture")
        )
        self._time.forget += [self._inputs.forget, capture.forget]
        awaited = AwaitedCapture(capture, self._settings, self._sleep, lambda: self._worker.closing)
        background = BackgroundWork(
            self._worker,
            lambda: self._views.snapshot(),
            self._transforms,
            self._settings,
            self._failures,
            lambda task, cancelled: self._maker.one(task, lambda stage, fraction: None, cancelled, final=False),
        )
        self._views = CapturedViews(
            awaited, spool, self._settings, self._outputs.views, self._failures, self._now, background.on_new_view
        )
        loading = ViewLoading(
            self._views,
            self._transforms,
            self._settings,
            self._failures,
            self._work,
            lambda: self._sleep(0.001),
            self._now,
            self.get_logger().info,
        )
        suggestions = ViewSuggestions(
            self._views,
            lambda: None if (last := self._maker.last) is None else (last.result, last.used),
            self._settings,
            self._work,
        )

        region = Region(self, self._transforms, self._settings, self._failures, time.monotonic)
        self._auto = AutoCapture(capture, awaited, self._views, self._settings, self._failures, self.get_logger().info)
        # Reentrant: a coroutine that awaits the worker must not hold up the next callback.
        group = ReentrantCallbackGroup()
        # DDS keeps the ten newest requests of a service by default and drops the others without a word.
        queue = QoSProfile(depth=parameters.queue_depth)
        for kind, name, callback in (
            *self._views.services,
            *loading.services,
            *suggestions.services,
            *region.services,
            *self._outputs.services,
            (Reconstruct, "~/reconstruct", self._on_reconstruct),
            (ReconstructScene, "~/reconstruct_scene", self._on_reconstruct_scene),
            (Save, "~/save", self._on_save),
            (CalibrationService, "~/calibration", self._on_calibration),
        ):
            self.create_service(kind, name, callback, callback_group=group, qos_profile=queue)
        self._actions = [
            ActionServer(
                self,
                kind,
                name,
                execute_callback=callback,
                cancel_callback=lambda goal: CancelResponse.ACCEPT,
                callback_group=group,
                goal_service_qos_profile=queue,
                result_service_qos_profile=queue,
                cancel_service_qos_profile=queue,
            )
            for kind, name, callback in (
                (ReconstructObject, "~/reconstruct_object", self._on_action),
                (SceneAction, "~/reconstruct_scene", self._on_scene_action),
            )
        ]
        self.create_timer(1.0, self._on_diagnostics, clock=self._steady)
        self.create_timer(POLL_S, self._auto.poll, clock=self._steady)
        held = f", {len(self._views)} views of spool_dir" if len(self._views) else ""
        tf = f"transforms in the {self._transforms.name} buffer"
        self.get_logger().info(
            f"ready: {parameters.options.method} in {parameters.target_frame}{held}, {tf}; warming up"
        )
        self._worker.prepare("the warm-up after the start", lambda job: self._warm_up(parameters, job))

    def _warm_up(self, parameters: Parameters, job: Job) -> None:
        """While the arm moves to its first view, in the worker's thread; a checkpoint that is wrong is named now."""
        began = time.monotonic()
        try:
            warm_up(parameters.options, job.cancelled)
        except Exception as error:  # a reconstruction meets it again, and returns it
            if getattr(error, "code", None) is not ErrorCode.CANCELLED:
                self._failures.note("warm-up", error)
        else:
            self.get_logger().info(f"warmed up in {time.monotonic() - began:.1f} s")

    # -- services ----------------------------------------------------------------------------------------------------

    async def _on_reconstruct(self, request: Reconstruct.Request, response: Reconstruct.Response) -> Any:
        outcome = await self._reconstruct(request, lambda stage, fraction: None, lambda: False)
        return outcome.fill_object(response)

    async def _on_reconstruct_scene(self, request: ReconstructScene.Request, response: Any) -> Any:
        outcome = await self._reconstruct(request, lambda stage, fraction: None, lambda: False)
        return outcome.fill_scene(response)

    async def _on_action(self, goal: Any) -> Any:
        return (await self._follow(goal, ReconstructObject)).fill_object(ReconstructObject.Result())

    async def _on_scene_action(self, goal: Any) -> Any:
        return (await self._follow(goal, SceneAction)).fill_scene(SceneAction.Result())

    async def _follow(self, goal: Any, kind: Any) -> Outcome:
        """The outcome of an action's goal, with feedback on the way."""

        def progress(stage: str, fraction: float) -> None:
            goal.publish_feedback(kind.Feedback(stage=stage, fraction=float(fraction)))

        outcome = await self._reconstruct(goal.request, progress, lambda: bool(goal.is_cancel_requested))
        if outcome.error is None:
            goal.succeed()
        elif outcome.error.code is ErrorCode.CANCELLED and goal.is_cancel_requested:
            goal.canceled()
        else:
            goal.abort()
        return outcome

    async def _on_save(self, request: Save.Request, response: Save.Response) -> Any:
        settings = self._settings()
        where = request.directory, settings.output_dir, settings.save_outside

        outcome = Outcome()
        try:  # what can be refused without work is refused at once, also while the worker warms up
            if request.directory:
                confined(*where)
            self._worker.check_free()
            if (last := self._maker.last) is None:
                raise ReconstructionError(
                    ErrorCode.NOTHING_TO_SAVE, "no object was reconstructed yet: call ~/reconstruct first"
                )
            moments = last.moments if settings.save_bag else None
            write = partial(save, *where, last.result, last.views, last.message, moments, last.scene)
            outcome = await self._work("save", lambda job: Outcome(files=write()))
        except Exception as error:
            outcome.error = self._failures.note("save", error)
        response.files = outcome.files
        return outcome.fill(response)

    async def _on_calibration(self, request: CalibrationService.Request, response: CalibrationService.Response) -> Any:
        outcome = Outcome()
        try:
            prior = self._settings().options.config.poses.prior
            self._calibration.answer(response, request.reset, prior)
        except Exception as error:
            outcome.error = self._failures.note("calibration", error)
        return outcome.fill(response)

    # -- work --------------------------------------------------------------------------------------------------------

    async def _reconstruct(self, request: Any, progress: Progress, cancelled: Callable[[], bool]) -> Outcome:
        """Of one object, or of several where the request is for these."""
        several = hasattr(request, "prompts")
        check, make = (check_scene_request, self._maker.several) if several else (check_request, self._maker.one)
        try:
            self._worker.check_free()  # before any other check: BUSY comes first
            task = resolve(request, self._settings(), self._views.snapshot(), self._transforms, check)
        except ReconstructionError as error:
            refusal = self._failures.note("reconstruct", error)
            request.views = []
            if refusal.code in TOO_LARGE:
                give_memory_back()
            return Outcome(error=refusal)
        outcome = await self._work(
            "reconstruct", lambda job: make(task, progress, lambda: job.cancelled() or cancelled())
        )
        request.views = []  # an action keeps its goals until their results expire
        return outcome

    # -- time and life -------------------------------------------------------------------------------------------------

    async def _sleep(self, seconds: float) -> None:
        future: Future[None] = Future(executor=self.executor)
        timer = self.create_timer(seconds, lambda: future.set_result(None), clock=self._steady)
        await future
        self.destroy_timer(timer)

    def _on_diagnostics(self) -> None:
        self._diagnostics.publish(self._settings().silent_after_s, len(self._views), self._worker.busy)

    @property
    def working(self) -> bool:
        return self._worker.busy

    def refuse_more(self) -> None:
        """Refuses requests with SHUTTING_DOWN from now on and cancels what runs."""
        self._worker.refuse_more()

    def give_up(self) -> None:
        """See `AwaitedWork.give_up`."""
        self._work.give_up()

    def close(self, timeout_s: float) -> None:
        """Ends the worker and destroys the node; work that goes on after ``timeout_s`` is left behind."""
        left = self._worker.close(timeout_s)
        if left is not None and left.awaited:
            self.get_logger().error(f"{left.name} did not stop in time; leaving it behind")
        elif left is not None:
            self.get_logger().info(f"ends in the middle of {left.name}: nobody waits for it")
        self._transforms.close()
        self._time.close()
        for action in self._actions:
            action.destroy()
        self.destroy_node()
