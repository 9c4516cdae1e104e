"""Whether a mesh is to be trusted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mvgamba_ros.config.quality_config import QualityConfig
from mvgamba_ros.reconstruction import Quality
from mvgamba_ros.surface.agreement import Agreement
from mvgamba_ros.surface.expected_error import mean_expected_error
from mvgamba_ros.types import F32, F64, Mesh, View, view_name


def measure_quality(
    mesh: Mesh,
    views: Sequence[View],
    agreement: Agreement,
    weights: F32,
    places: int,
    config: QualityConfig = QualityConfig(),
    doubtful: Sequence[str] = (),
) -> Quality:
    """Whether ``mesh`` is to be trusted, from its ``agreement`` with the ``views`` it came from, see `compare`.

    ``weights`` (V, N) from `view_weights` for points spread evenly over the mesh: coverage is the share of them that
    some view sees. The underside of a standing object is seen by none, so 1 is out of reach there. ``places``: how many
    different places the views are from. The expected error is the mean of the mesh's own over its area, NaN without.
    ``doubtful``: reasons of earlier stages.
    """
    ious = agreement.iou
    iou = float(ious.mean())
    color_error = 1.0 if np.isnan(agreement.color_error).all() else float(np.nanmean(agreement.color_error))
    coverage = float((weights > 0.0).any(axis=0).mean())

    reasons = [*doubtful]
    if places < config.min_places:
        reasons.append(f"{places} view(s); the far side and the depth are guesses below {config.min_places}")
    angle = _largest_angle(views, mesh.vertices.mean(axis=0))
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
    return Quality(
        iou,
        color_error,
        coverage,
        low=bool(reasons),
        reasons=tuple(reasons),
        expected_error_mm=mean_expected_error(mesh),
    )


def _largest_angle(views: Sequence[View], center: F64) -> float:
    """The largest angle between two views' directions from ``center`` (3,), degrees."""
    d = np.stack([view.T_world_camera[:3, 3] - center for view in views])
    d /= np.linalg.norm(d, axis=1, keepdims=True)
    return float(np.degrees(np.arccos(np.clip(d @ d.T, -1.0, 1.0)).max()))
