"""Work far from the world's origin, in UTM or ECEF coordinates: meshes, grids and rasters are float32, which at 10 km
tells two points apart only where they are 1 mm from each other. So the work is done around a nearer origin."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mvgamba_ros.config.views_config import ViewsConfig
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.reconstruction import Reconstruction
from mvgamba_ros.types import F64, Box, Prompts, View

FAR = 1000.0
"""Metres from the origin, beyond which means of Gaussians are float64."""


def far_origin(views: Sequence[View], config: ViewsConfig = ViewsConfig()) -> F64 | None:
    """The mean camera position, rounded to whole metres (3,), where it is further than ``config.max_origin_distance``
    from the world's origin; None nearer to it, and for poses that are none."""
    poses = [np.asarray(view.T_world_camera) for view in views]
    if not poses or any(T.shape != (4, 4) or not np.isfinite(T.astype(np.float64)).all() for T in poses):
        return None
    origin = np.asarray(np.round(np.mean([T[:3, 3] for T in poses], axis=0)), dtype=np.float64)
    return origin if np.linalg.norm(origin) > config.max_origin_distance else None


def moved(T: F64, by: F64) -> F64:
    """``T`` (4, 4) with its translation moved by (3,), float64."""
    result = np.array(T, dtype=np.float64)
    result[:3, 3] += by
    return result


def move_views(views: Sequence[View], by: F64) -> list[View]:
    """The views with their cameras moved by (3,), metres."""
    return [replace(view, T_world_camera=moved(view.T_world_camera, by)) for view in views]


def move_prompts(prompts: Prompts, by: F64) -> Prompts:
    """The prompts with region and support plane moved by (3,), metres."""
    roi, height = prompts.roi, prompts.support_height
    return replace(
        prompts,
        roi=None if roi is None else move_box(roi, by),
        support_height=None if height is None else height + float(by[2]),
    )


def move_box(box: Box, by: F64) -> Box:
    """The box moved by (3,), metres."""
    return replace(box, T_world_box=moved(box.T_world_box, by))


def move_result(result: Reconstruction, by: F64) -> Reconstruction:
    """The result with all that has a place moved by (3,), metres."""
    gaussians, height = result.gaussians, result.support_height
    if gaussians is not None:
        means = gaussians.means.double() + gaussians.means.double().new_tensor(by)
        gaussians = replace(gaussians, means=means if bool((means.abs() > FAR).any()) else means.float())
    return replace(
        result,
        mesh=replace(result.mesh, vertices=result.mesh.vertices + by),
        cloud=replace(result.cloud, points=result.cloud.points + by),
        box=move_box(result.box, by),
        gaussians=gaussians,
        generated=tuple(move_views(result.generated, by)),
        settings=_moved_settings(result.settings, by),
        support_height=None if height is None else height + float(by[2]),
    )


def _moved_settings(settings: Mapping[str, Any], by: F64) -> dict[str, Any]:
    """The settings with where a generated shape was laid, if one was, moved by (3,), metres."""
    completion = settings.get("completion", {})
    if "T_world_canonical" not in completion:
        return dict(settings)
    laid = completion["T_world_canonical"]
    laid = {**laid, "t_m": (np.asarray(laid["t_m"]) + by).tolist()}
    return {**settings, "completion": {**completion, "T_world_canonical": laid}}


def near_origin(
    work: Callable[[Sequence[View], Prompts], Reconstruction],
    views: Sequence[View],
    prompts: Prompts,
    config: ViewsConfig,
) -> Reconstruction:
    """``work(views, prompts)``, around `far_origin` where there is one: the result is moved back; notes and errors say
    around which place their coordinates are."""
    origin = far_origin(views, config)
    if origin is None:
        return work(views, prompts)
    place = (
        f"the cameras are {np.linalg.norm(origin) / 1e3:.4g} km from the world's origin: coordinates in these messages "
        f"are relative to ({', '.join(f'{x:.0f}' for x in origin)}) m"
    )
    try:
        result = work(move_views(views, -origin), move_prompts(prompts, -origin))
    except ReconstructionError as error:
        if error.code not in (ErrorCode.BAD_ROI, ErrorCode.ROI_NOT_VISIBLE, ErrorCode.AMBIGUOUS):
            raise  # names no place
        boxes = [move_box(box, origin) for box in error.boxes]
        raise ReconstructionError(error.code, f"{error.message} ({place})", boxes) from error
    note = f"{place}; float32 (clouds of messages, Gaussians) rounds what is there to {_rounding_mm(origin):.2g} mm"
    return move_result(replace(result, notes=(*result.notes, note)), origin)


def _rounding_mm(origin: F64) -> float:
    """The distance between neighbouring float32 numbers at ``origin``, millimetres."""
    return 1e3 * float(np.spacing(np.abs(origin).max().astype(np.float32)))
