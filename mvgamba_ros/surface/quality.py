"""How well a mesh explains the views it came from."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from mvgamba_ros.config.quality_config import QualityConfig
from mvgamba_ros.metrics.image import mask_iou
from mvgamba_ros.rendering.mesh_raycaster import Raycaster
from mvgamba_ros.types import F32, F64, Quality, View, view_name


def measure_quality(
    caster: Raycaster,
    views: Sequence[View],
    weights: F32,
    places: int,
    config: QualityConfig = QualityConfig(),
    doubtful: Sequence[str] = (),
) -> Quality:
    """Re-render the mesh into its own undistorted ``views`` (with masks) and compare silhouettes and colours.

    ``weights`` (V, N) from `view_weights` for points spread evenly over the mesh: coverage is the share of them that
    some view sees. The underside of a standing object is seen by none, so 1 is out of reach there. ``places``: how many
    different places the views are from. ``doubtful``: reasons of earlier stages.
    """
    ious, errors = [], []
    for view in views:
        assert view.mask is not None  # the pipeline's segment stage
        rendered = caster.render(view.camera, view.T_world_camera)
        ious.append(mask_iou(rendered.mask, view.mask))
        both = np.flatnonzero(rendered.mask & view.mask)
        if len(both):
            difference = cv2.absdiff(view.image, rendered.color).reshape(-1, 3).take(both, axis=0)
            errors.append(float(difference.mean()) / 255.0)
    iou = float(np.mean(ious))
    color_error = float(np.mean(errors)) if errors else 1.0
    coverage = float((weights > 0.0).any(axis=0).mean())

    reasons = [*doubtful]
    if places < config.min_places:
        reasons.append(f"{places} view(s); the far side and the depth are guesses below {config.min_places}")
    angle = _largest_angle(views, caster.mesh.vertices.mean(axis=0))
    if places > 1 and angle < config.min_view_angle:
        reasons.append(f"the views span only {angle:.0f} degrees around the object; add one from another side")
    if iou < config.min_silhouette_iou:
        worst = int(np.argmin(ious))
        name = view_name(views[worst], worst)
        reasons.append(
            f"silhouettes match to {iou:.2f} IoU (at least {config.min_silhouette_iou} expected), worst in {name} "
            f"({ious[worst]:.2f})"
        )
    if color_error > config.max_color_error:
        reasons.append(f"colours are off by {color_error:.2f} (at most {config.max_color_error} expected)")
    if coverage < config.min_coverage:
        reasons.append(f"the views see {coverage:.0%} of the surface (at least {config.min_coverage:.0%} expected)")
    return Quality(iou, color_error, coverage, low=bool(reasons), reasons=tuple(reasons))


def _largest_angle(views: Sequence[View], center: F64) -> float:
    """The largest angle between two views' directions from ``center`` (3,), degrees."""
    d = np.stack([view.T_world_camera[:3, 3] - center for view in views])
    d /= np.linalg.norm(d, axis=1, keepdims=True)
    return float(np.degrees(np.arccos(np.clip(d @ d.T, -1.0, 1.0)).max()))
