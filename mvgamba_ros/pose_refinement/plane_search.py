"""Poses checked on a support plane whose height they hide."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mvgamba_ros.config.pose_refinement_config import PoseRefinementConfig
from mvgamba_ros.pose_refinement.refine_poses import RefinedPoses, refine_poses
from mvgamba_ros.types import F64, Cancelled, View


def refine_on_a_hidden_plane(
    views: Sequence[View], center: F64, config: PoseRefinementConfig, cancelled: Cancelled = lambda: False
) -> RefinedPoses | None:
    """`refine_poses` of ``views`` without silhouettes, on that height below ``center`` (3,), of some in steps that are
    a share of the views' distance, on which they agree most; None where nothing can be compared on any. What stands on
    the plane counts as plane, so whether the poses are right is for silhouettes to decide."""
    eyes = np.stack([view.T_world_camera[:3, 3] for view in views])
    step = config.height_step * float(np.median(np.linalg.norm(eyes - center, axis=1)))
    best = None
    for k in range(1, config.height_steps + 1):
        found = refine_poses(views, None, center, float(center[2]) - k * step, False, config, cancelled)
        if np.isnan(found.score):
            continue
        if best is None or found.score > best.score:
            best = found
    return best
