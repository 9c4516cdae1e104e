"""Which one view's silhouette the others contradict: without it their outlines meet, without any other they do not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mvgamba_ros.config.pose_refinement_config import PoseRefinementConfig
from mvgamba_ros.pose_refinement.silhouette_coherence import OutlineResiduals, SilhouetteCoherence
from mvgamba_ros.types import Bool, View

FEWEST = 3
"""Two silhouettes nearly always meet somewhere, so at least this many views must agree against one."""


def outline_residuals(views: Sequence[View], masks: Sequence[Bool], config: PoseRefinementConfig) -> OutlineResiduals:
    """By how much the outlines of ``masks`` miss each other under the poses of the ``views``."""
    poses = np.stack([view.T_world_camera for view in views])
    return SilhouetteCoherence(views, masks, config.silhouettes).linearise(poses, np.zeros(6 * len(views) + 2))[1]


def odd_view(views: Sequence[View], masks: Sequence[Bool], config: PoseRefinementConfig) -> int | None:
    """The view without which the outlines of all others miss each other by no more than
    ``config.max_outline_residual``; None where they do with it too, where there is no such view, where others would
    do as well, and where fewer than `FEWEST` would be left."""
    count = len(views)
    if count <= FEWEST:
        return None
    limit = config.max_outline_residual
    found = outline_residuals(views, masks, config)
    if not found.root_mean_square > limit:
        return None
    blamed = [float((found.pixels[(found.view == v) | (found.against == v)] ** 2).sum()) for v in range(count)]
    suspects = np.argsort(blamed)[::-1][: config.suspects]
    without = []
    for suspect in suspects:
        kept = [v for v in range(count) if v != suspect]
        rest = outline_residuals([views[v] for v in kept], [masks[v] for v in kept], config)
        without.append(rest.root_mean_square)
    best = int(np.argmin(without))
    alone = all(missed > limit for k, missed in enumerate(without) if k != best)
    return int(suspects[best]) if without[best] <= limit and alone else None
