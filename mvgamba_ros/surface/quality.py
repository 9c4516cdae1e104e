"""How well a mesh explains the views it came from, and whether to trust it."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from mvgamba_ros.config import ReconstructionConfig
from mvgamba_ros.geometry.occlusion import visible
from mvgamba_ros.metrics.image import mask_iou
from mvgamba_ros.reconstruction import Quality
from mvgamba_ros.rendering.mesh_raycaster import Raycaster, RenderedMesh
from mvgamba_ros.surface.outline_gap import outline_gap
from mvgamba_ros.surface.photo_consistency import photo_residual
from mvgamba_ros.types import F32, F64, View, view_name


def measure_quality(
    caster: Raycaster,
    views: Sequence[View],
    weights: F32,
    places: int,
    config: ReconstructionConfig,
    doubtful: Sequence[str] = (),
) -> Quality:
    """Re-render the mesh into its own undistorted ``views`` (with masks); compare silhouettes, colours and depths, and
    the views' pictures of it with each other.

    ``weights`` (V, N) from `view_weights` for points spread evenly over the mesh: coverage is the share of them that
    some view sees. The underside of a standing object is seen by none, so 1 is out of reach there. ``places``: how many
    different places the views are from. ``doubtful``: reasons not to trust the shape that other stages found.
    """
    limits = config.quality
    renders = [caster.render(view.camera, view.T_world_camera) for view in views]
    ious = [_iou(view, rendered) for view, rendered in zip(views, renders, strict=True)]
    iou, color_error = float(np.mean(ious)), _color_error(views, renders)
    reasons = list(doubtful)
    if places < limits.min_places:
        reasons.append(f"{places} view(s); the far side and the depth are guesses below {limits.min_places}")
    angle = _largest_angle(views, caster.mesh.vertices.mean(axis=0))
    if places > 1 and angle < limits.min_view_angle:
        reasons.append(f"the views span only {angle:.0f} degrees around the object; add one from another side")
    if iou < limits.min_silhouette_iou:
        worst = int(np.argmin(ious))
        name = view_name(views[worst], worst)
        reasons.append(
            f"silhouettes match to {iou:.2f} IoU (at least {limits.min_silhouette_iou} expected), worst in {name} "
            f"({ious[worst]:.2f})"
        )
    covered = hidden_share(views)
    if covered > limits.max_hidden_share:
        reasons.append(
            f"{covered:.0%} of the silhouettes are hidden by other things (at most {limits.max_hidden_share:.0%} "
            "expected): add views that show the object whole, or move it apart"
        )
    if color_error > limits.max_color_error:
        reasons.append(f"colours are off by {color_error:.2f} (at most {limits.max_color_error} expected)")
    return Quality(
        iou,
        color_error,
        coverage=float((weights > 0.0).any(axis=0).mean()),
        low=bool(reasons),
        reasons=tuple(reasons),
        depth_residual_mm=_depth_residual(views, renders),
        outline_gap_mm=_mean_gap(views, renders),
        photo_residual_mm=photo_residual(views, renders, config.photo_consistency),
    )


def hidden_share(views: Sequence[View]) -> float:
    """Share of the completed silhouettes that is hidden, [0, 1], mean over ``views``."""
    shares = []
    for view in views:
        assert view.mask is not None  # the pipeline's segment stage
        shares.append(1.0 - float(visible(view).sum()) / max(float(view.mask.sum()), 1.0))
    return float(np.mean(shares))


def _iou(view: View, rendered: RenderedMesh) -> float:
    """Of the silhouettes, where nothing may cover the object."""
    shown = rendered.mask if view.hidden is None else rendered.mask & ~view.hidden
    return mask_iou(shown, visible(view))


def _color_error(views: Sequence[View], renders: Sequence[RenderedMesh]) -> float:
    """Mean absolute difference of colours where the mesh and the silhouette are, [0, 1]; 1 where that is nowhere."""
    errors = []
    for view, rendered in zip(views, renders, strict=True):
        both = np.flatnonzero(rendered.mask & visible(view))
        if len(both):
            difference = cv2.absdiff(view.image, rendered.color).reshape(-1, 3).take(both, axis=0)
            errors.append(float(difference.mean()) / 255.0)
    return float(np.mean(errors)) if errors else 1.0


def _depth_residual(views: Sequence[View], renders: Sequence[RenderedMesh]) -> float:
    """Median distance between measured depth and the mesh along the optical axis, millimetres; NaN without depth."""
    distances = [np.zeros(0, np.float32)]
    for view, rendered in zip(views, renders, strict=True):
        if view.depth is None:
            continue
        both = np.flatnonzero(rendered.mask & visible(view))
        there = view.depth.ravel()[both]
        measured = (there > 0.0) & np.isfinite(there)
        distances.append(np.abs(rendered.depth.ravel()[both] - there)[measured])
    off = np.concatenate(distances)
    return 1e3 * float(np.median(off)) if len(off) else float("nan")


def _mean_gap(views: Sequence[View], renders: Sequence[RenderedMesh]) -> float:
    """Over the views that show the mesh, millimetres; 0 where none does."""
    gaps = np.array([outline_gap(view, rendered) for view, rendered in zip(views, renders, strict=True)])
    known = gaps[~np.isnan(gaps)]
    return float(known.mean()) if len(known) else 0.0


def _largest_angle(views: Sequence[View], center: F64) -> float:
    """The largest angle between two views' directions from ``center`` (3,), degrees."""
    d = np.stack([view.T_world_camera[:3, 3] - center for view in views])
    d /= np.linalg.norm(d, axis=1, keepdims=True)
    return float(np.degrees(np.arccos(np.clip(d @ d.T, -1.0, 1.0)).max()))
