"""How well a mesh explains the views it came from."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from mvgamba_ros.rendering.mesh_raycaster import Raycaster
from mvgamba_ros.types import F32, Quality, View, view_name

FEWEST_VIEWS = 3
LOWEST_IOU = 0.85
HIGHEST_COLOR_ERROR = 0.15
LOWEST_COVERAGE = 0.5
NARROWEST_DEGREES = 30.0
"""Below the first three, above the fourth, the shape is marked low; so is one whose views span a smaller angle."""


def measure_quality(caster: Raycaster, views: Sequence[View], weights: F32, places: int) -> Quality:
    """Re-render the mesh into its own undistorted ``views`` (with masks) and compare.

    ``weights`` (V, N) from `view_weights` for points spread evenly over the mesh: coverage is the share of them that
    some view sees. The underside of a standing object is seen by none, so 1 is out of reach there. ``places``: how many
    different places the views are from.
    """
    ious, errors = [], []
    for view in views:
        assert view.mask is not None  # the pipeline's segment stage
        picture = caster.picture(view.camera, view.T_world_camera)
        both = np.flatnonzero(picture.mask & view.mask)
        ious.append(len(both) / max(int(np.count_nonzero(picture.mask | view.mask)), 1))
        if len(both):
            difference = cv2.absdiff(view.image, picture.color).reshape(-1, 3).take(both, axis=0)
            errors.append(float(difference.mean()) / 255.0)
    iou = float(np.mean(ious))
    color_error = float(np.mean(errors)) if errors else 1.0
    coverage = float((weights > 0.0).any(axis=0).mean())

    reasons = []
    if places < FEWEST_VIEWS:
        reasons.append(f"{places} view(s); the far side and the depth are guesses below {FEWEST_VIEWS}")
    spread = _spread_degrees(views, caster.mesh.vertices.mean(axis=0))
    if places > 1 and spread < NARROWEST_DEGREES:
        reasons.append(f"the views span only {spread:.0f} degrees around the object; add one from another side")
    if iou < LOWEST_IOU:
        worst = int(np.argmin(ious))
        name = view_name(views[worst], worst)
        reasons.append(
            f"silhouettes match to {iou:.2f} IoU (at least {LOWEST_IOU} expected), worst in {name} ({ious[worst]:.2f})"
        )
    if color_error > HIGHEST_COLOR_ERROR:
        reasons.append(f"colours are off by {color_error:.2f} (at most {HIGHEST_COLOR_ERROR} expected)")
    if coverage < LOWEST_COVERAGE:
        reasons.append(f"the views see {coverage:.0%} of the surface (at least {LOWEST_COVERAGE:.0%} expected)")
    return Quality(iou, color_error, coverage, low=bool(reasons), reasons=tuple(reasons))


def _spread_degrees(views: Sequence[View], center: np.ndarray) -> float:
    """The largest angle between two views' directions to the object."""
    d = np.stack([view.T_world_camera[:3, 3] - center for view in views])
    d /= np.linalg.norm(d, axis=1, keepdims=True)
    return float(np.degrees(np.arccos(np.clip(d @ d.T, -1.0, 1.0)).max()))
