"""The check of the poses: corrected where the pictures show how, views set aside that all others contradict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mvgamba_ros.config.pose_refinement_config import PoseRefinementConfig
from mvgamba_ros.geometry.se3 import inverse, transform
from mvgamba_ros.pose_refinement.alternatives import (
    agreeing,
    best_alternative,
    contradicting,
    intrinsics_doubt,
    other_focal_length,
)
from mvgamba_ros.pose_refinement.evidence import Fit, PoseEvidence
from mvgamba_ros.pose_refinement.findings import describe, pose_correction
from mvgamba_ros.reconstruction import PoseCorrection
from mvgamba_ros.types import F64, Bool, Cancelled, View, view_name


@dataclass(frozen=True)
class RefinedPoses:
    """What the check of V poses found.

    ``T_world_camera`` (V, 4, 4): the poses to use; ``moved_px``: how far the object moves in the pictures by the
    correction, at most; ``correction``: what was corrected, and which views were set aside; ``notes``: the same in
    words; ``reasons``: why a result with these poses is doubtful; ``score``: mean correlation on the plane, NaN where
    nothing was compared there; ``focal``: the focal lengths by those given.
    """

    T_world_camera: F64
    moved_px: float
    correction: PoseCorrection
    notes: list[str]
    reasons: list[str]
    score: float = float("nan")
    focal: float = 1.0


def refine_poses(
    views: Sequence[View],
    masks: Sequence[Bool] | None,
    center: F64,
    height: float | None,
    height_given: bool,
    config: PoseRefinementConfig,
    cancelled: Cancelled = lambda: False,
) -> RefinedPoses:
    """Check the poses of undistorted ``views``, at least two, and correct them where the pictures show how.

    Args:
        views: With poses in metres.
        masks: The object's silhouette in each, (H, W); None where it is not known yet.
        center: (3,) about where the object is, world.
        height: World z of the support plane, metres; None where it is not known: its texture is not used then.
        height_given: Whether the height is known, not estimated from the same views.
        config: Its settings.
        cancelled: Polled for each poses that are tried; CANCELLED is raised once it returns True.
    """
    given = np.stack([view.T_world_camera for view in views])
    names = [view_name(view, index) for index, view in enumerate(views)]
    sigma = config.prior.given_height_sigma if height_given else config.prior.found_height_sigma
    evidence = PoseEvidence(views, masks, center, height, sigma, config, cancelled)
    before = evidence.at(given)
    fit = evidence.refine(given)
    reasons: list[str] = []
    if _is_poor(fit, config):
        alternative = best_alternative(evidence, given, before, fit.agreement, names)
        if alternative is not None:
            start = None if alternative.start is None else np.append(alternative.start, [0.0, 0.0])
            other = evidence.refine(alternative.T_world_camera, start)
            if other.agreement.score > fit.agreement.score + config.min_gain:
                fit = replace(other, words=alternative.words)
        if _is_poor(fit, config):
            climbed = evidence.refine(given, evidence.climbed(given))
            fit = fit if _is_poor(climbed, config) else climbed
        if _is_poor(fit, config):
            reasons = other_focal_length(evidence, views, given, fit.agreement.score)
    left_out = contradicting(fit.agreement, config)
    kept = [v for v in range(len(views)) if v not in left_out]
    if left_out:  # it must not have pulled the others along
        some = None if masks is None else [masks[v] for v in kept]
        evidence = PoseEvidence([views[v] for v in kept], some, center, height, sigma, config, cancelled)
        fit, before = evidence.refine(given[kept]), evidence.at(given[kept])
    far = abs(fit.posterior.focal) > config.max_focal_correction
    if far and not fit.agreement.score > config.sure_correlation:
        reasons = [intrinsics_doubt(fit.focal, views)]
    poses = given.copy()
    poses[kept] = fit.T_world_camera
    moved = [_moved_px(views[v], poses[v], fit.focal, center) for v in kept]
    correction = pose_correction(fit, moved, kept, len(views), config)
    notes, doubts = describe(fit, before, center, [names[v] for v in kept], correction, config)
    if left_out:
        out = ", ".join(names[v] for v in left_out)
        notes.append(f"{out} left out: all other views contradict it on the support plane")
    return RefinedPoses(poses, max(moved), correction, notes, [*reasons, *doubts], fit.agreement.score, fit.focal)


def _is_poor(fit: Fit, config: PoseRefinementConfig) -> bool:
    """Whether the views contradict each other on the plane, or agree only half after a correction."""
    if not np.isfinite(fit.agreement.score):
        return False
    prior = fit.posterior.prior
    corrected = bool(prior.hand_eye or prior.views.any() or prior.focal)
    half = corrected and fit.agreement.score < config.same_correlation
    return half or len(agreeing(fit.agreement.correlation, config.min_correlation)) > 1


def _moved_px(view: View, T_world_camera: F64, focal: float, center: F64) -> float:
    """How far a correction moves the object in a picture, or the picture's corners against it, pixels."""
    (before,), (after,) = (transform(inverse(T), center[None]) for T in (view.T_world_camera, T_world_camera))
    K, camera = view.camera.K, view.camera
    if min(before[2], after[2]) <= 0.0:
        return float("inf")
    longer = abs(focal - 1.0) * 0.5 * float(np.hypot(camera.width, camera.height))
    return longer + float(np.linalg.norm(K[:2] @ (before / before[2] - after / after[2])))
