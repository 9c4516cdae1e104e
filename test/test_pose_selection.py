"""Which correction of the poses the evidence supports, by numbers alone."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
import rendered

from mvgamba_ros.config.pose_refinement_config import PosePriorConfig, PoseRefinementConfig
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.pose_refinement.evidence import PoseEvidence
from mvgamba_ros.pose_refinement.normal_equations import (
    NormalEquations,
    _Unexplained,
    posterior,
    radians_per_metre,
    select,
)
from mvgamba_ros.pose_refinement.refine_poses import refine_poses
from mvgamba_ros.types import F64

CONFIG = PosePriorConfig()
TURN = radians_per_metre(CONFIG)
UNIT = np.array([TURN] * 3 + [1.0] * 3)


def measured(errors: F64, seed: int = 0) -> NormalEquations:
    """Many noisy measurements of twists (V, 6)."""
    rng = np.random.default_rng(seed)
    y = np.concatenate([errors.ravel(), [0.0, 0.0]])
    J = rng.normal(size=(4 * len(y), len(y))) * 30.0 / np.concatenate([np.tile(UNIT, len(errors)), [1.0, 1.0]])
    r = J @ y + rng.normal(size=len(J))
    return NormalEquations(J.T @ J, J.T @ r)


def test_a_view_s_wider_prior_gains_the_evidence_that_the_whole_system_gives() -> None:
    equations = measured(np.outer([0.0, 0.003, 0.0], UNIT))
    start = posterior(equations, select(equations, 0.001, replace(CONFIG, min_log_evidence=1000.0)).prior)
    left = _Unexplained.by(equations, start)
    for first, second, sigma in ((1, 2, 0.006), (0, 1, 0.002)):
        views = start.prior.views.copy()
        views[first] = sigma
        one = posterior(equations, replace(start.prior, views=views))
        variances = np.full((1, 3), sigma**2)
        assert left.gains(variances, TURN)[0, first] == pytest.approx(one.evidence - start.evidence)
        views[second] = sigma
        two = posterior(equations, replace(start.prior, views=views))
        then = left.widened(first, sigma**2, TURN).gains(variances, TURN)[0, second]
        assert then == pytest.approx(two.evidence - one.evidence)


def test_a_focal_length_gains_the_evidence_that_the_whole_system_gives() -> None:
    equations = measured(np.outer([0.0, 0.003, 0.0], UNIT))
    start = posterior(equations, select(equations, 0.001, replace(CONFIG, min_log_evidence=1000.0)).prior)
    left = _Unexplained.by(equations, start)
    longer = posterior(equations, replace(start.prior, focal=0.03))
    assert left.focal_gain(0.03**2) == pytest.approx(longer.evidence - start.evidence)
    variances = np.full((1, 3), 0.006**2)
    both = posterior(equations, replace(longer.prior, views=np.array([0.0, 0.006, 0.0])))
    then = left.with_focal(0.03**2).gains(variances, TURN)[0, 1]
    assert then == pytest.approx(both.evidence - longer.evidence)


def test_forty_views_that_all_err_are_weighed_in_a_moment() -> None:
    equations = measured(np.random.default_rng(3).normal(0.0, 0.006, (40, 6)) * UNIT)
    began = time.process_time()
    found = select(equations, 0.001, CONFIG)
    assert time.process_time() - began < 3.0  # a system for each view and width takes minutes
    assert (found.prior.views > 0.0).all()


def test_poses_that_are_tried_score_as_they_do_in_full() -> None:
    views = rendered.views(4)
    masks = [view.mask for view in views if view.mask is not None]
    evidence = PoseEvidence(views, masks, rendered.CENTER, 0.0, 0.001, PoseRefinementConfig())
    poses = np.stack([view.T_world_camera for view in views])
    for tried in (poses, np.roll(poses, 1, axis=0)):
        assert evidence.score(tried) == pytest.approx(evidence.at(tried).score)
    assert evidence.score(poses) > 0.8


def test_the_search_for_poses_that_are_far_off_is_cancelled_within_it() -> None:
    views = [
        replace(view, T_world_camera=T)
        for view, T in zip(rendered.views(4), np.roll(rendered.orbit(4), 2, axis=0), strict=True)
    ]
    polls = iter(range(1000))

    def cancelled() -> bool:
        return next(polls) > 12

    with pytest.raises(ReconstructionError) as error:
        refine_poses(views, None, rendered.CENTER, 0.0, True, PoseRefinementConfig(), cancelled)
    assert error.value.code == ErrorCode.CANCELLED
    assert next(polls) == 14
