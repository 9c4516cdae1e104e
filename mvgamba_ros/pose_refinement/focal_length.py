"""Whether the pictures agree better with another focal length than the one given.

A wrong focal length hides behind a support plane at another height and behind wrong poses, but not wholly: with the
right one the poses as they are given explain the plane's texture better than corrected ones with the wrong one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mvgamba_ros.config.pose_refinement_config import PoseRefinementConfig
from mvgamba_ros.pose_refinement.evidence import PoseEvidence
from mvgamba_ros.types import F64, Bool, Cancelled, View

HEIGHT_STEP = 0.01
"""Step of the plane's height, of the views' distance."""


class _Tried:
    """Mean correlations on the plane under focal lengths and heights that are tried. ``free``: the height may change
    with the focal length, as it was estimated with it."""

    def __init__(
        self,
        views: Sequence[View],
        masks: Sequence[Bool],
        center: F64,
        height: float,
        free: bool,
        config: PoseRefinementConfig,
        cancelled: Cancelled,
    ) -> None:
        distance = np.linalg.norm([view.T_world_camera[:3, 3] - center for view in views], axis=1)
        step = HEIGHT_STEP * float(np.median(distance))

        def at(scale: float, steps: int, poses: F64) -> float:
            evidence = PoseEvidence(views, masks, center, height + steps * step, step, config, cancelled)
            return evidence.with_focal_length(scale).score(poses)

        self._at, self._free = at, free

    def best(self, scale: float, poses: F64, steps: int = 0) -> tuple[float, int]:
        """The largest score near a height of ``steps`` and these, with ``scale`` times the focal length."""
        found = self._at(scale, steps, poses)
        for direction in (1, -1) if self._free else ():
            start = steps
            while (tried := self._at(scale, steps + direction, poses)) > found:
                found, steps = tried, steps + direction
            if steps != start:
                break
        return found, steps


def focal_doubt(
    views: Sequence[View],
    masks: Sequence[Bool],
    corrected: F64,
    center: F64,
    height: float | None,
    height_given: bool,
    config: PoseRefinementConfig,
    cancelled: Cancelled = lambda: False,
) -> list[str]:
    """A reason where ``views`` (undistorted, with the poses given) agree on the plane better with another focal length
    than under their ``corrected`` poses (V, 4, 4) with the one given. Arguments as of `refine_poses`."""
    if height is None:
        return []
    tried = _Tried(views, masks, center, height, not height_given, config, cancelled)
    found, steps = tried.best(1.0, corrected)
    if not found < config.sure_correlation:
        return []
    given = np.stack([view.T_world_camera for view in views])
    most, scale = found + config.min_focal_gain * (1.0 - found), 1.0
    start = tried.best(1.0, given, steps)
    for factor in (config.focal_step, 1.0 / config.focal_step):
        before, (now, at), s = start[0], tried.best(factor, given, start[1]), factor
        while now > before and 1.0 / config.focal_range <= s <= config.focal_range:
            if now > most:
                most, scale = now, s
            before, s = now, s * factor
            now, at = tried.best(s, given, at)
    if scale == 1.0:
        return []
    focal = float(views[0].camera.K[0, 0])
    return [
        f"the pictures agree better with a focal length of about {scale * focal:.0f} px than with the {focal:.0f} px "
        "given: are the intrinsics another camera's, or of another image size or crop?"
    ]
