"""What the worker makes of a request: of its views results, of these messages and outputs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from std_msgs.msg import Header

from mvgamba_ros.errors import ReconstructionError
from mvgamba_ros.msg import ObjectFailure, ReconstructedObject
from mvgamba_ros.pipeline import reconstruct
from mvgamba_ros.reconstruction import Reconstruction
from mvgamba_ros.ros.answer import Parts, carried, parts_of
from mvgamba_ros.ros.bag_writer import Moments
from mvgamba_ros.ros.calibration import Calibration
from mvgamba_ros.ros.conversions.geometry import box_to_message, matrix_to_pose
from mvgamba_ros.ros.conversions.shapes import gaussians_to_cloud, reconstruction_to_object, seconds_to_stages
from mvgamba_ros.ros.conversions.stamps import make_header
from mvgamba_ros.ros.failures import Failures
from mvgamba_ros.ros.health import Health
from mvgamba_ros.ros.outcome import Outcome
from mvgamba_ros.ros.outputs import Outputs, mask_sheet
from mvgamba_ros.ros.requests import Task, views_and_objects, views_and_options
from mvgamba_ros.ros.save import moments_of
from mvgamba_ros.scene_objects import SceneObject, reconstruct_scene
from mvgamba_ros.types import Bool, Progress, View


@dataclass(frozen=True)
class Made:
    """The last reconstruction. ``result``, ``used``, ``message``: of several objects the last one, ``used`` being those
    of the ``views`` that it was made from. ``scene``: all of them, failed ones too, by their ids; None where one object
    was requested."""

    result: Reconstruction
    used: list[View]
    views: list[View]
    message: ReconstructedObject
    moments: Moments
    scene: dict[str, SceneObject] | None = None


class Maker:
    """All of it in the worker's thread; ``log`` is the node's logger."""

    def __init__(
        self, outputs: Outputs, health: Health, failures: Failures, calibration: Calibration, log: Any
    ) -> None:
        self._outputs, self._health, self._failures = outputs, health, failures
        self._calibration, self._log = calibration, log
        self.last: Made | None = None

    def one(self, task: Task, progress: Progress, cancelled: Callable[[], bool], final: bool = True) -> Outcome:
        """The whole job: views, shape, messages, outputs. One that is not ``final`` is shown and can be saved; no
        planner gets it as an obstacle, and it counts neither for health nor for the calibration, which its views tell
        of once."""
        began = time.monotonic()
        parts = parts_of(task.request, task.parameters)
        views, options = views_and_options(task)
        header = make_header(task.frame, task.stamp)
        try:
            result = reconstruct(views, options, progress, cancelled)
        except ReconstructionError as error:
            if error.boxes:
                of = f" of {len(error.boxes)}"
                self._outputs.regions([(f"{k}{of}", box, False) for k, box in enumerate(error.boxes, 1)], header)
            raise
        message = _message(result, task.request.object_id or "object", header, parts)
        self._outputs.regions([], header)
        sheet = mask_sheet([view.image for view in views], result.masks)
        placing = self._outputs.reconstructions([(result, message)], sheet, task.parameters, cancelled, final)
        self.last = Made(result, views, views, message, moments_of(task))
        seconds = {**result.seconds, **placing, "total": time.monotonic() - began}
        if final:
            self._count(task, [result], seconds)
        self._tell(message, result, "" if final else "preliminary: ", f" in {seconds['total']:.2f} s")
        return Outcome(message=carried(message, parts), stages=seconds_to_stages(seconds))

    def several(self, task: Task, progress: Progress, cancelled: Callable[[], bool]) -> Outcome:
        """The same for several objects. What fails is noted, and the error of all where nothing else was made."""
        began = time.monotonic()
        parts = parts_of(task.request, task.parameters)
        views, options, known = views_and_objects(task)
        found = reconstruct_scene(views, options, known, progress, cancelled)
        given = [prompts.object_id for prompts in task.request.prompts] or [""] * len(found)
        places = [item.region if item.result is None else item.result.box for item in found]
        scene = dict(zip(self._outputs.names.choose(given, task.frame, places), found, strict=True))
        header = make_header(task.frame, task.stamp)
        results = {name: item.result for name, item in scene.items() if item.result is not None}
        errors = {
            name: self._failures.note(f"reconstruct '{name}'", item.error)
            for name, item in scene.items()
            if item.error is not None
        }
        self._outputs.regions(
            [
                (name if item.error is None else f"{name}: {item.error.code.name}", item.region, item.error is None)
                for name, item in scene.items()
                if item.region is not None
            ],
            header,
        )
        failures = [_failure(name, scene[name], error) for name, error in errors.items()]
        if not results:
            return Outcome(error=next(iter(errors.values())), failures=failures)
        messages = [_message(result, name, header, parts) for name, result in results.items()]
        made = list(zip(results.values(), messages, strict=True))
        sheet = mask_sheet([view.image for view in views], [_joined(found, views, k) for k in range(len(views))])
        placing = self._outputs.reconstructions(made, sheet, task.parameters, cancelled)
        last = [item for item in found if item.result is not None][-1]
        used = [views[k] for k in last.views]
        self.last = Made(made[-1][0], used, views, messages[-1], moments_of(task), scene)
        seconds = {stage: sum(result.seconds[stage] for result in results.values()) for stage in made[0][0].seconds}
        seconds |= {**placing, "total": time.monotonic() - began}
        self._count(task, list(results.values()), seconds)
        for result, message in made:
            self._tell(message, result)
        self._log.info(f"{len(made)} of {len(scene)} objects in {seconds['total']:.2f} s")
        return Outcome(
            messages=[carried(message, parts) for message in messages],
            failures=failures,
            stages=seconds_to_stages(seconds),
        )

    def _count(self, task: Task, results: Sequence[Reconstruction], seconds: dict[str, float]) -> None:
        """For health and calibration, which the views tell of once, however many objects they show."""
        if not task.request.views:
            self._calibration.add(results[0], [captured.mounts for captured in task.captured])
        self._health.reconstructions += len(results)
        self._health.succeeded("reconstruct")
        self._health.last_seconds = seconds
        made_up = [result.settings["completion"]["generator"] for result in results if "completion" in result.settings]
        self._health.completed_by = made_up[0] if made_up else ""

    def _tell(self, message: ReconstructedObject, result: Reconstruction, before: str = "", took: str = "") -> None:
        low = ", low quality" if result.quality.low else ""
        self._log.info(
            f"{before}'{message.id}' from {result.view_count} views{took}: {len(result.mesh.faces)} faces, silhouette "
            f"IoU {result.quality.silhouette_iou:.3f}{low}{''.join(f'; {note}' for note in result.notes)}"
        )


def _message(result: Reconstruction, name: str, header: Header, parts: Parts) -> ReconstructedObject:
    message = reconstruction_to_object(result, name, header)
    if parts.gaussians and result.gaussians is not None:
        message.gaussians = gaussians_to_cloud(result.gaussians)
        message.gaussians.header = header
    return message


def _joined(found: Sequence[SceneObject], views: Sequence[View], index: int) -> Bool:
    """Of a view, what is on any of the objects."""
    masks = [mask for item in found if (mask := item.mask(index)) is not None]
    joined: Bool = np.any([np.zeros(views[index].image.shape[:2], bool), *masks], axis=0)
    return joined


def _failure(name: str, item: SceneObject, error: ReconstructionError) -> ObjectFailure:
    failure = ObjectFailure(id=name, error_code=int(error.code), error_msg=error.message)
    failure.roi_pose = matrix_to_pose(np.eye(4))
    if item.region is not None:
        failure.roi_pose, failure.roi_size = box_to_message(item.region)
    return failure
