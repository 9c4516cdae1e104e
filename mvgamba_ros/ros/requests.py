"""A request of one object or of several, of a service or an action, to views and `Options`; all of it is checked."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mvgamba_ros.config.rows import rows
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.se3 import rigid
from mvgamba_ros.options import OWN_GUESS, Options
from mvgamba_ros.ros.camera_frames import other_frames
from mvgamba_ros.ros.conversions.geometry import pose_to_matrix
from mvgamba_ros.ros.conversions.posed_view import make_view
from mvgamba_ros.ros.conversions.stamps import stamp_of
from mvgamba_ros.ros.parameters import Parameters
from mvgamba_ros.ros.request_limits import check_request
from mvgamba_ros.ros.transforms import TransformSource
from mvgamba_ros.ros.view_buffer import CapturedView
from mvgamba_ros.types import F64, Box, Prompts, View

SWITCHES: dict[int, bool | None] = {0: None, 1: True, 2: False}
"""The constants DEFAULT, YES and NO of srv/Reconstruct and action/ReconstructObject."""


@dataclass(frozen=True)
class Task:
    """A request with its frames resolved. ``request`` is a service request or an action goal."""

    request: Any
    parameters: Parameters
    captured: tuple[CapturedView, ...]
    frame: str
    """The frame of the result."""
    T_frame_captured: F64
    """From the frame of the captured views to the frame of the result."""
    stamp: int
    """Of the newest view used, nanoseconds."""


def resolve(
    request: Any,
    parameters: Parameters,
    captured: tuple[CapturedView, ...],
    transforms: TransformSource,
    check: Callable[[Any, Parameters], None] = check_request,
) -> Task:
    """The `Task` of a request that is within the limits, by ``check``. TF is queried only where the result's frame is
    not that of the captured views.

    Raises TOO_FEW_VIEWS, TOO_MANY_VIEWS, TRANSFORM_UNAVAILABLE and what ``check`` raises.
    """
    check(request, parameters)
    _check_count(len(request.views or captured), bool(request.views), parameters)
    frame = request.target_frame or parameters.target_frame
    stamps = [stamp_of(view.image) for view in request.views] or [c.stamp for c in captured]
    stamp = max(stamps)
    T = np.eye(4)
    if frame != parameters.target_frame:
        T = transforms.lookup(frame, parameters.target_frame, stamp)
    return Task(request, parameters, captured, frame, T, stamp)


def views_and_options(task: Task) -> tuple[list[View], Options]:
    """The views in the frame of the result, and the options. Decodes images, so it runs in the worker.

    Raises BAD_ROI, BAD_OPTION and what `make_view` raises.
    """
    views = _views(task)
    return views, _options(task, views, replace(_prompts(task.request, len(views)), roi=_roi(task)))


def views_and_objects(task: Task) -> tuple[list[View], Options, list[Prompts] | None]:
    """As `views_and_options`, of a request for several objects: and what is known of each; None: they are to be
    found."""
    request, views = task.request, _views(task)
    own = []
    for index, prompts in enumerate(request.prompts):
        known = _prompts(prompts, len(views), f"prompts[{index}] ")
        if known == Prompts():
            raise ReconstructionError(
                ErrorCode.BAD_ROI,
                f"prompts[{index}] does not say where its object is: give use_roi and a region, pixel boxes or points; "
                "or no prompts at all, and the objects are found",
            )
        own.append(known)
    return views, _options(task, views, Prompts(roi=_roi(task))), own or None


def _views(task: Task) -> list[View]:
    if task.request.views:
        return [_carried_view(view, index, task.parameters) for index, view in enumerate(task.request.views)]
    T = task.T_frame_captured
    return [replace(c.view, T_world_camera=T @ c.view.T_world_camera) for c in task.captured]


def _options(task: Task, views: Sequence[View], prompts: Prompts) -> Options:
    request, options = task.request, task.parameters.options
    support = request.support_height if request.use_support_height else _default_support(task)
    return replace(
        options,
        **chosen_options(request, options),
        use_masks=any(view.mask is not None for view in views),
        prompts=replace(prompts, support_height=support),
    )


def _prompts(message: Any, count: int, where: str = "") -> Prompts:
    """What ``message`` says of one object: its region, pixel boxes and points."""
    return Prompts(
        roi=_given_roi(message, where),
        pixel_boxes=_pixel_boxes(message, count, where),
        points=_points(message, count, where),
    )


def chosen_options(request: Any, options: Options) -> dict[str, Any]:
    """The options that a request chooses: its fields of the names of rows of ``options``, but for those that leave the
    choice to the node, which are DEFAULT, 0 and the empty text. The weights of the node's generator are not given to
    another one. Raises BAD_OPTION.
    """
    given = {row.name: getattr(request, row.name) for row in rows(options) if hasattr(request, row.name)}
    chosen = {}
    for name, value in given.items():
        if value:
            default = getattr(options, name)
            chosen[name] = switched(name, value, default) if isinstance(default, bool) else value
    if chosen.get("generator", options.generator) != options.generator != OWN_GUESS:
        chosen["generator_weights"] = ""
    return chosen


def switched(name: str, value: int, default: bool) -> bool:
    """What the field ``name`` of a request chooses; DEFAULT is ``default``. Raises BAD_OPTION."""
    if value not in SWITCHES:
        raise ReconstructionError(ErrorCode.BAD_OPTION, f"{name} {value} must be 0 (DEFAULT), 1 (YES) or 2 (NO)")
    chosen = SWITCHES[value]
    return default if chosen is None else chosen


def _carried_view(message: Any, index: int, parameters: Parameters) -> View:
    what = f"views[{index}]"
    belonging: dict[str, Any] = {
        "camera_info": message.camera_info,
        "depth": message.depth if message.depth.width else None,
        "mask": message.mask if message.mask.width else None,
    }
    same = {parameters.camera_frame.lstrip("/")}
    for error in other_frames(message.image, belonging, lambda name: f"{what} {name}", same).values():
        raise error
    return make_view(
        message.image,
        T_world_camera=pose_to_matrix(message.pose, f"{what} pose"),
        **belonging,
        rectified=parameters.image_is_rectified,
        name=what,
        config=parameters.options.config.views,
        most_megapixels=parameters.max_view_megapixels,
    )


def _check_count(count: int, carried: bool, parameters: Parameters) -> None:
    source = "the request carries" if carried else "captured so far:"
    fewest = parameters.options.min_views
    if count < fewest:
        raise ReconstructionError(
            ErrorCode.TOO_FEW_VIEWS,
            f"{source} {count} views, min_views is {fewest}: capture the object from more sides",
        )
    if count > parameters.max_views:  # lowered since they were captured
        raise ReconstructionError(
            ErrorCode.TOO_MANY_VIEWS, f"{source} {count} views, max_views is {parameters.max_views}: clear them"
        )


def _roi(task: Task) -> Box | None:
    """That of the request, or else the node's."""
    roi = np.array(task.parameters.roi_m)
    if task.request.use_roi or not roi.size:
        return _given_roi(task.request, "")
    return Box(task.T_frame_captured @ rigid(np.eye(3), roi[:3]), roi[3:])


def _given_roi(message: Any, where: str) -> Box | None:
    if not message.use_roi:
        return None
    size = np.array([message.roi_size.x, message.roi_size.y, message.roi_size.z])
    if not np.isfinite(size).all() or not (size > 0).all():
        raise ReconstructionError(
            ErrorCode.BAD_ROI, f"{where}roi_size {size.tolist()} m: each side must be positive and finite"
        )
    try:
        return Box(pose_to_matrix(message.roi_pose, f"{where}roi_pose"), size)
    except ReconstructionError as error:
        raise ReconstructionError(ErrorCode.BAD_ROI, error.message) from error


def _default_support(task: Task) -> float | None:
    """The parameter's plane in the frame of the result; None where it is not known or not level there."""
    height = task.parameters.support_height_m
    if math.isnan(height):
        return None
    if task.T_frame_captured[2, 2] < 1.0 - 1e-6:  # the two z axes differ: the plane is not level here
        return None
    return float(height + task.T_frame_captured[2, 3])


def _view_index(view: int, count: int, what: str) -> int:
    if view >= count:
        raise ReconstructionError(ErrorCode.BAD_ROI, f"{what} names view {view}, there are {count} (0 to {count - 1})")
    return view


def _pixel_boxes(request: Any, count: int, where: str) -> dict[int, tuple[float, float, float, float]]:
    boxes = {}
    for index, box in enumerate(request.pixel_boxes):
        what = f"{where}pixel_boxes[{index}]"
        corners = (box.x_min, box.y_min, box.x_max, box.y_max)
        if not all(map(math.isfinite, corners)) or box.x_max <= box.x_min or box.y_max <= box.y_min:
            raise ReconstructionError(ErrorCode.BAD_ROI, f"{what} {corners} px: max must lie above min on both axes")
        boxes[_view_index(box.view, count, what)] = corners
    return boxes


def _points(request: Any, count: int, where: str) -> dict[int, F64]:
    rows: dict[int, list[tuple[float, float, float]]] = defaultdict(list)
    for index, point in enumerate(request.point_prompts):
        what = f"{where}point_prompts[{index}]"
        if not (math.isfinite(point.x) and math.isfinite(point.y)):
            raise ReconstructionError(ErrorCode.BAD_ROI, f"{what} ({point.x}, {point.y}) px is not finite")
        rows[_view_index(point.view, count, what)].append((point.x, point.y, float(point.on_object)))
    return {view: np.array(points) for view, points in rows.items()}
