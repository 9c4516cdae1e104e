"""What the check of the poses found, as numbers and in words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mvgamba_ros.config.pose_refinement_config import PoseRefinementConfig
from mvgamba_ros.geometry.se3 import inverse, transform
from mvgamba_ros.pose_refinement.alternatives import agreeing
from mvgamba_ros.pose_refinement.evidence import Agreement, Fit
from mvgamba_ros.pose_refinement.normal_equations import Prior, hand_eye_information, posterior
from mvgamba_ros.pose_refinement.odd_view import outline_residuals
from mvgamba_ros.pose_refinement.twists import exponential, point_motion
from mvgamba_ros.reconstruction import PoseCorrection
from mvgamba_ros.types import F64, Bool, View

UNSEEN = 0.9
"""Standard deviations above this share of their prior's are the prior's own: the views show nothing."""


def pose_correction(
    fit: Fit, moved_px: Sequence[float], kept: Sequence[int], count: int, config: PoseRefinementConfig
) -> PoseCorrection:
    """The numbers of a correction of the ``kept`` ones of ``count`` views, see `PoseCorrection`. ``moved_px``: how far
    it moves the object in each of their pictures."""
    sigma_mm, sigma_deg = _hand_eye_sigmas(fit, config)
    information, vector = hand_eye_information(fit.agreement.measured, fit.posterior.prior)
    views = np.zeros((count, 6))
    views[list(kept)] = fit.posterior.views
    return PoseCorrection(
        hand_eye=exponential(fit.posterior.hand_eye),
        hand_eye_sigma_mm=sigma_mm,
        hand_eye_sigma_deg=sigma_deg,
        view_mm=1e3 * np.linalg.norm(views[:, 3:], axis=1),
        view_deg=np.degrees(np.linalg.norm(views[:, :3], axis=1)),
        residual_before_px=float(np.hypot(fit.agreement.residual, np.sqrt(np.mean(np.square(moved_px))))),
        residual_after_px=fit.agreement.residual,
        left_out=tuple(v for v in range(count) if v not in kept),
        hand_eye_information=information,
        hand_eye_vector=vector,
    )


def _hand_eye_sigmas(fit: Fit, config: PoseRefinementConfig) -> tuple[float, float]:
    """Standard deviations (millimetres, degrees) of the hand-eye correction, or of none: of one that would be seen. NaN
    where the views show nothing of it."""
    prior = fit.posterior.prior
    if not prior.hand_eye:
        wide = Prior(config.prior.hand_eye_sigmas[0], prior.views, prior.height, prior.focal, prior.radians_per_metre)
        found = posterior(fit.agreement.measured, wide)
    else:
        found = fit.posterior
    sigmas = np.sqrt(np.diag(found.covariance)[:6])
    if (sigmas > UNSEEN * found.prior.sigmas()[:6]).all():
        return float("nan"), float("nan")
    return 1e3 * float(np.sqrt((sigmas[3:] ** 2).mean())), float(np.degrees(np.sqrt((sigmas[:3] ** 2).mean())))


def describe(
    fit: Fit,
    before: Agreement,
    center: F64,
    names: Sequence[str],
    correction: PoseCorrection,
    config: PoseRefinementConfig,
) -> tuple[list[str], list[str]]:
    """Notes on what was corrected, with the numbers of ``correction``, and reasons to doubt the result."""
    notes, reasons = [], []
    found, after = fit.posterior, fit.agreement
    if fit.words:
        notes.append(f"{fit.words}: taken so, as the pictures agree then")
    if found.prior.hand_eye:
        mm, degrees = 1e3 * np.linalg.norm(found.hand_eye[3:]), np.degrees(np.linalg.norm(found.hand_eye[:3]))
        sigma_mm, sigma_deg = correction.hand_eye_sigma_mm, correction.hand_eye_sigma_deg
        notes.append(
            f"the hand-eye calibration is {mm:.1f} mm and {degrees:.2f} degrees off (standard deviation {sigma_mm:.1f} "
            f"mm, {sigma_deg:.2f} degrees); corrected"
        )
    if found.prior.focal:
        off, sigma = 100.0 * (1.0 / fit.focal - 1.0), 100.0 * float(np.sqrt(found.covariance[-1, -1]))
        notes.append(
            f"the focal length is {abs(off):.1f} % too {'long' if off > 0.0 else 'short'} (standard deviation "
            f"{sigma:.1f} %); corrected"
        )
    shifts = _shifts(found.views, fit.T_world_camera, center)
    lengths = 1e3 * np.linalg.norm(shifts, axis=1)
    if found.prior.views.any():
        worst = int(lengths.argmax())
        notes.append(
            f"poses contradict each other: at the object by {np.sqrt((lengths**2).mean()):.1f} mm, most in "
            f"{names[worst]} ({lengths[worst]:.1f} mm); corrected"
        )
        reasons += _position_doubt(fit, center, before, names, config)
    groups = [g for g in agreeing(after.correlation, config.min_correlation) if np.isfinite(after.correlation[g]).any()]
    if len(groups) > 1:
        apart = " | ".join(", ".join(names[v] for v in group) for group in groups)
        notes.append(f"pictures of the support plane agree only within groups of views ({apart})")
    return notes, reasons


def outline_doubt(views: Sequence[View], masks: Sequence[Bool], config: PoseRefinementConfig) -> list[str]:
    """A reason where outlines miss each other under the poses of the ``views``."""
    missed = outline_residuals(views, masks, config).root_mean_square
    if not missed > config.max_outline_residual:
        return []
    return [
        f"outlines miss each other by {missed:.1f} px (at most {config.max_outline_residual:g} expected): a pose is "
        "off, the object moved between views, or a silhouette shows another thing"
    ]


def _shifts(views: F64, T_world_camera: F64, center: F64) -> F64:
    """(V, 3) metres: how far each of ``views``' twists moves the object's middle, world. At the corrected poses: those
    that were given may be another view's."""
    moved = []
    for T, twist in zip(T_world_camera, views, strict=True):
        in_camera = transform(inverse(T), center[None])[0]
        moved.append(T[:3, :3] @ (transform(exponential(twist), in_camera[None])[0] - in_camera))
    return np.stack(moved)


def _position_doubt(
    fit: Fit, center: F64, before: Agreement, names: Sequence[str], config: PoseRefinementConfig
) -> list[str]:
    """Where all the poses err, which ones are right is not known: the result lies between them."""
    found = fit.posterior
    groups = [g for g in agreeing(before.correlation, config.same_correlation) if len(g) > 1]
    limit = 1e3 * config.max_position_sigma
    if len(groups) > 1:
        shifts = _shifts(found.hand_eye + found.views, fit.T_world_camera, center)
        first, second = (shifts[group].mean(axis=0) for group in groups[:2])
        apart = 1e3 * float(np.linalg.norm(first - second))
        if apart > 1e3 * config.max_groups_apart:
            named = [", ".join(names[v] for v in group) for group in groups[:2]]
            return [
                f"{named[0]} and {named[1]} are {apart:.0f} mm apart: the object or the arm's base moved between them; "
                "capture all views again"
            ]
    sigma = 1e3 * _position_sigma(fit, center)
    if sigma > limit:
        return [
            f"the poses contradict each other so much that the object's position is known to {sigma:.1f} mm only (at "
            f"most {limit:g} expected): check the robot's calibration and the stamps of the pictures"
        ]
    return []


def _position_sigma(fit: Fit, center: F64) -> float:
    """Standard deviation of the object's place, metres: what the views' own corrections leave of their mean, and what
    the hand-eye correction's covariance does there."""
    own, found = fit.posterior.prior.views, fit.posterior
    common = own <= own.min()  # the others are single bad views, which the common ones outvote
    shifts = _shifts(found.views, fit.T_world_camera, center)[common]
    variance = float((shifts**2).sum()) / len(shifts) / max(len(shifts) - 1, 1)
    motions = [T[:3, :3] @ point_motion(T, center[None])[0] for T in fit.T_world_camera[common]]
    mean = np.mean(motions, axis=0)
    return float(np.sqrt(variance + np.trace(mean @ found.covariance[:6, :6] @ mean.T)))
