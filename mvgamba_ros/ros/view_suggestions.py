"""The service `~/suggest_views`: where the camera should look from next."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.camera import undistort
from mvgamba_ros.geometry.rays import axes_intersection
from mvgamba_ros.geometry.se3 import inverse, transform
from mvgamba_ros.reconstruction import Reconstruction
from mvgamba_ros.ros.captured_views import CapturedViews
from mvgamba_ros.ros.conversions.geometry import matrix_to_pose
from mvgamba_ros.ros.conversions.stamps import make_header
from mvgamba_ros.ros.outcome import Outcome
from mvgamba_ros.ros.parameters import Parameters
from mvgamba_ros.ros.view_buffer import CapturedView, poses_of
from mvgamba_ros.ros.worker import Job
from mvgamba_ros.srv import SuggestViews
from mvgamba_ros.surface.next_best_view import (
    NextViews,
    fitting_distance,
    poses_around,
    reachable,
    views_of_the_uncovered,
    views_of_the_unsure,
)
from mvgamba_ros.types import F64, View

USUAL_COUNT = 5
"""Suggestions where a request does not say how many."""
ROOM = 1.2
"""A suggested camera stands off so much further than where the object would fill its picture."""


class ViewSuggestions:
    """Answers the service. ``last`` returns the last reconstruction and its views, ``in_worker`` awaits the outcome of
    work in the worker's thread."""

    def __init__(
        self,
        views: CapturedViews,
        last: Callable[[], tuple[Reconstruction, Sequence[View]] | None],
        settings: Callable[[], Parameters],
        in_worker: Callable[[str, Callable[[Job], Outcome], bool], Awaitable[Outcome]],
    ) -> None:
        self._views, self._last, self._settings, self._in_worker = views, last, settings, in_worker
        self.services: tuple[tuple[type, str, Callable[..., Any]], ...] = (
            (SuggestViews, "~/suggest_views", self._on_suggest_views),
        )

    async def _on_suggest_views(self, request: SuggestViews.Request, response: SuggestViews.Response) -> Any:
        parameters, captured = self._settings(), self._views.snapshot()

        def work(job: Job) -> Outcome:
            return Outcome(value=suggest(captured, self._last(), parameters, request.count or USUAL_COUNT))

        # patient: a preliminary reconstruction under way knows more of the object than the one before
        outcome = await self._in_worker("suggest_views", work, True)
        if outcome.error is None:
            stamp = max(c.stamp for c in captured)
            response.poses.header = make_header(parameters.target_frame, stamp)
            response.poses.poses = [matrix_to_pose(T) for T in outcome.value.T_world_camera]
            response.gains = outcome.value.gains.tolist()
        response.coverage, _ = self._views.coverage()
        return outcome.fill(response)


def suggest(
    captured: Sequence[CapturedView],
    last: tuple[Reconstruction, Sequence[View]] | None,
    parameters: Parameters,
    count: int,
) -> NextViews:
    """At most ``count`` poses to take next, in the frame of the ``captured`` views.

    ``last``: the last reconstruction with the views it was made from, in its own frame; it tells of the object where
    one of these is held still. Raises TOO_FEW_VIEWS where nothing tells where the object is, NO_ESTIMATE where no pose
    is better than those held.
    """
    if not captured:
        raise ReconstructionError(
            ErrorCode.TOO_FEW_VIEWS, "no view is held, so nothing is known of object and camera: capture or load a view"
        )
    held = poses_of(captured)
    camera = undistort(captured[-1].view).camera
    known = None if last is None else from_held_views(captured, *last)
    floor = None if math.isnan(parameters.support_height_m) else parameters.support_height_m
    if known is not None:
        result, since = known
        centre, radius = result.box.T_world_box[:3, 3], float(np.linalg.norm(result.box.size)) / 2.0
        floor = floor if result.support_height is None else result.support_height
    else:
        centre, radius = object_place(held, parameters), 0.0
    distance = max(
        float(np.median(np.linalg.norm(held[:, :3, 3] - centre, axis=1))), ROOM * fitting_distance(radius, camera)
    )
    if parameters.suggest_radius_m:
        least, most = parameters.suggest_radius_m
        distance = min(max(distance, least), most)
    low, high = parameters.suggest_elevation_deg
    poses = poses_around(centre, distance, (low, high))
    poses = reachable(poses, centre, held, parameters.min_view_distance_m, floor)
    if known is not None:
        found = views_of_the_unsure(result, camera, poses, since, count)
        remedy = "widen suggest_elevation_deg or suggest_radius_m"
    else:
        found = views_of_the_uncovered(centre, poses, held, count)
        remedy = "call ~/reconstruct first, then what its mesh leaves unsure tells, or widen suggest_elevation_deg"
    if not len(found.gains):
        raise ReconstructionError(
            ErrorCode.NO_ESTIMATE,
            f"of {len(poses)} free poses {distance:.2f} m from the object, {low:g} to {high:g} degrees above it, none "
            f"shows more than the {len(held)} views held: {remedy}",
        )
    return found


def object_place(held: F64, parameters: Parameters) -> F64:
    """The centre (3,) of the region, else where the optical axes of ``held`` (V, 4, 4) meet, else where a single one
    meets the support plane. Raises TOO_FEW_VIEWS where none of these is known."""
    if parameters.roi_m:
        return np.array(parameters.roi_m[:3])
    eyes, axes = held[:, :3, 3], held[:, :3, 2]
    meeting = axes_intersection(eyes, axes)
    if meeting is not None:
        return meeting
    down = parameters.support_height_m - eyes[-1, 2]
    if not math.isnan(down) and down * axes[-1, 2] > 0.0:
        return np.asarray(eyes[-1] + down / axes[-1, 2] * axes[-1], np.float64)
    raise ReconstructionError(
        ErrorCode.TOO_FEW_VIEWS,
        f"{len(held)} view(s) held and their optical axes do not meet, so nothing tells where the object is: capture "
        "one more from another side, or set roi_m or support_height_m",
    )


def from_held_views(
    captured: Sequence[CapturedView], result: Reconstruction, views: Sequence[View]
) -> tuple[Reconstruction, F64] | None:
    """``result`` in the frame of the ``captured`` views, and the poses (N, 4, 4) of those of them that were not among
    its ``views``; None where none was, or where it carries no expected errors."""
    if result.cloud.seen is None or result.cloud.expected_error_mm is None:
        return None
    poses = {id(view.image): view.T_world_camera for view in views}
    used = [c for c in captured if id(c.view.image) in poses]
    if not used:
        return None
    since = poses_of([c for c in captured if id(c.view.image) not in poses])
    T = used[0].view.T_world_camera @ inverse(poses[id(used[0].view.image)])
    return (result if np.allclose(T, np.eye(4), atol=1e-9) else _moved(result, T)), since


def _moved(result: Reconstruction, T: F64) -> Reconstruction:
    """The parts of ``result`` that suggestions need, in another frame: ``T`` takes its points there."""
    cloud, box = result.cloud, result.box
    return replace(
        result,
        mesh=replace(result.mesh, vertices=transform(T, result.mesh.vertices)),
        cloud=replace(cloud, points=transform(T, cloud.points), normals=cloud.normals @ T[:3, :3].T),
        box=replace(box, T_world_box=T @ box.T_world_box),
        support_height=None,  # the plane need not be level there
    )
