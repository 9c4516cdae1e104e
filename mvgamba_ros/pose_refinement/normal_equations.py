"""Pose corrections by linear least squares: measurements, priors, and which correction the evidence supports.

The unknowns of V views are ``y`` (6 V + 2): a twist per view in its camera's frame (`twists`), the height by which the
support plane is off, and the logarithm of what the focal lengths given must be multiplied by. A measurement is
quadratic in them, so measurements add up. A correction explains ``y`` by one twist of the hand-eye calibration, common
to all views, one per view, and the other two, each with a zero-mean Gaussian prior; which standard deviations the
priors have is chosen by the marginal likelihood (evidence) of the measurements (MacKay, "Bayesian interpolation",
Neural Computation 1992). A standard deviation of zero leaves a term out: where the measurements do not support a
correction, none is made.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np

from mvgamba_ros.config.pose_refinement_config import PosePriorConfig
from mvgamba_ros.types import F64


@dataclass(frozen=True)
class NormalEquations:
    """``-log p(measurements | y) = y H y / 2 - h y`` and a constant.

    ``H`` (6 V + 2, 6 V + 2) is the information matrix, ``h`` (6 V + 2,) the information vector; metres and radians.
    """

    H: F64
    h: F64

    @classmethod
    def at(cls, y: F64, H: F64, gradient: F64) -> NormalEquations:
        """Linearised at ``y`` (6 V + 2,), where the cost has this ``gradient`` (6 V + 2,)."""
        return cls(H, H @ y - gradient)

    def __add__(self, other: NormalEquations) -> NormalEquations:
        return NormalEquations(self.H + other.H, self.h + other.h)

    @property
    def views(self) -> int:
        return (len(self.h) - 2) // 6


@dataclass(frozen=True)
class Prior:
    """Standard deviations, in metres of the ``hand_eye`` translation, of each of the V ``views``' own, and of the
    ``height`` of the plane; of the logarithm of the focal lengths, ``focal``. A rotation's is ``radians_per_metre``
    times its translation's."""

    hand_eye: float
    views: F64
    height: float
    focal: float
    radians_per_metre: float

    def sigmas(self) -> F64:
        """(6 + 6 V + 2,) standard deviations of the hand-eye twist, the views' twists, the height and the focal
        length."""
        rotation, translation = np.full(3, self.radians_per_metre), np.ones(3)
        unit = np.concatenate([rotation, translation])
        return np.concatenate([self.hand_eye * unit, np.outer(self.views, unit).ravel(), [self.height, self.focal]])


@dataclass(frozen=True)
class Posterior:
    """``hand_eye`` (6,) and ``views`` (V, 6) twists, ``height`` metres, ``focal`` a logarithm; their joint
    ``covariance`` (6 + 6 V + 2, 6 + 6 V + 2), the log ``evidence`` of the prior, and the part of the log-likelihood
    that is ``explained``, without the prior's cost."""

    prior: Prior
    hand_eye: F64
    views: F64
    height: float
    focal: float
    covariance: F64
    evidence: float
    explained: float

    @property
    def y(self) -> F64:
        """(6 V + 2,)"""
        return np.concatenate([(self.hand_eye + self.views).ravel(), [self.height, self.focal]])


def radians_per_metre(config: PosePriorConfig) -> float:
    """Standard deviation of a rotation for each metre of its translation's."""
    return 1e3 * float(np.radians(config.degrees_per_mm))


def posterior(measured: NormalEquations, prior: Prior) -> Posterior:
    """The most probable correction under a prior, its covariance, and the prior's evidence."""
    count = measured.views
    split = np.zeros((6 * count + 2, 6 + 6 * count + 2))
    split[:-2, :6] = np.tile(np.eye(6), (count, 1))
    split[:, 6:] = np.eye(6 * count + 2)
    sigmas = prior.sigmas()
    free = sigmas > 0.0
    # in units of the prior's standard deviations the prior's information is the identity
    A = split[:, free] * sigmas[free]
    information = A.T @ measured.H @ A + np.eye(int(free.sum()))
    pulled = A.T @ measured.h
    factor = np.linalg.cholesky(information)
    whitened = np.linalg.solve(factor, pulled)
    z = np.zeros(len(sigmas))
    z[free] = sigmas[free] * np.linalg.solve(factor.T, whitened)
    inverse_factor = np.linalg.inv(factor) * sigmas[free]
    covariance = np.zeros((len(sigmas), len(sigmas)))
    covariance[np.ix_(free, free)] = inverse_factor.T @ inverse_factor
    explained = 0.5 * float(whitened @ whitened)
    evidence = explained - float(np.log(np.diag(factor)).sum())
    views, (height, focal) = z[6:-2].reshape(count, 6), z[-2:]
    return Posterior(prior, z[:6], views, float(height), float(focal), covariance, evidence, explained)


def hand_eye_information(measured: NormalEquations, prior: Prior) -> tuple[F64, F64]:
    """Information (6, 6) and information vector (6,) of the hand-eye twist alone, the views' own errors, the height and
    the focal length marginalised under ``prior``; without a prior of the twist itself."""
    count = measured.views
    A = np.zeros((6 * count + 2, 6))
    A[:-2] = np.tile(np.eye(6), (count, 1))
    sigmas = prior.sigmas()[6:]
    free = sigmas > 0.0
    B = np.eye(6 * count + 2)[:, free] * sigmas[free]
    inner = B.T @ measured.H @ B + np.eye(int(free.sum()))
    cross = A.T @ measured.H @ B
    gain = np.linalg.solve(inner, cross.T).T
    return A.T @ measured.H @ A - gain @ cross.T, A.T @ measured.h - gain @ (B.T @ measured.h)


def select(measured: NormalEquations, height_sigma: float, config: PosePriorConfig) -> Posterior:
    """The correction whose prior has the most evidence; each term of it, the hand-eye calibration, the views' own
    errors, a height and a focal length that were given wrong, must raise the log-evidence by
    ``config.min_log_evidence``.

    The standard deviations are taken from the config's lists; ``height_sigma`` is the height's, unless it was given
    wrong. Single views may have a larger one than the others: one bad view among good ones.
    """
    count, turn = measured.views, radians_per_metre(config)

    def tried(hand_eye: float, view: float, height: float, focal: float = 0.0) -> Posterior:
        return posterior(measured, Prior(hand_eye, np.full(count, view), height, focal, turn))

    def merit(prior: Prior, evidence: float) -> float:
        terms = (prior.hand_eye > 0.0) + bool(prior.views.any()) + (prior.height > height_sigma) + (prior.focal > 0.0)
        return evidence - config.min_log_evidence * terms

    best = tried(0.0, 0.0, height_sigma)
    heights = sorted({height_sigma, max(height_sigma, config.found_height_sigma)})
    widest = tried(max(config.hand_eye_sigmas), max(config.view_sigmas), heights[-1], max(config.focal_sigmas))
    if widest.explained < best.explained + config.min_log_evidence:
        return best  # whatever the prior: a time saver for good poses
    best_prior, best_merit = best.prior, merit(best.prior, best.evidence)
    for height, hand_eye, view in itertools.product(
        heights, (0.0, *config.hand_eye_sigmas), (0.0, *config.view_sigmas)
    ):
        found = tried(hand_eye, view, height)
        start, reached, left = found.prior, merit(found.prior, found.evidence), _Unexplained.by(measured, found)
        tries = [(start, reached, left)]
        gain, focal = max((left.focal_gain(sigma**2) - config.min_log_evidence, sigma) for sigma in config.focal_sigmas)
        if gain > 0.0:
            tries.append((replace(start, focal=focal), reached + gain, left.with_focal(focal**2)))
        for prior, merits, rest in tries:
            prior, merits = _with_single_views(prior, merits, rest, config)
            if merits > best_merit:
                best_prior, best_merit = prior, merits
    return posterior(measured, best_prior)


def _with_single_views(prior: Prior, merit: float, left: _Unexplained, config: PosePriorConfig) -> tuple[Prior, float]:
    """``prior`` with larger standard deviations of single views, one after the other as long as each gains enough
    evidence, fewer than half; and its merit, from that of the ``prior`` that leaves this ``left`` unexplained."""
    count, turn = len(prior.views), prior.radians_per_metre
    for _ in range((count - 1) // 2):
        wider = np.maximum(np.array(config.view_sigmas)[:, None] ** 2 - prior.views**2, 0.0)
        gains = left.gains(wider, turn)
        first = 0.0 if prior.views.any() else config.min_log_evidence  # the term's own price
        s, v = np.unravel_index(int(gains.argmax()), gains.shape)
        if gains[s, v] - first <= config.min_log_evidence:
            break
        merit += float(gains[s, v]) - first
        left = left.widened(int(v), float(wider[s, v]), turn)
        prior = replace(prior, views=np.where(np.arange(count) == v, config.view_sigmas[s], prior.views))
    return prior, merit


@dataclass(frozen=True)
class _Unexplained:
    """What a posterior leaves unexplained: information (6 V + 2, 6 V + 2) and vector (6 V + 2,) of a further, unknown
    motion of the views, all that the posterior's prior allows marginalised. A view's wider prior is such a motion, so
    its evidence follows from that view's block, without the whole system (Woodbury's identity); so does that of a
    focal length."""

    information: F64
    vector: F64

    @classmethod
    def by(cls, measured: NormalEquations, found: Posterior) -> _Unexplained:
        H, spread = measured.H, found.covariance[6:, 6:].copy()  # of y: hand-eye and own errors together
        common, both = found.covariance[:6, :6], found.covariance[:6, 6:]
        count = measured.views
        spread[:-2] += np.tile(both, (count, 1))
        spread[:, :-2] += np.tile(both.T, (1, count))
        spread[:-2, :-2] += np.tile(common, (count, count))
        return cls(H - H @ spread @ H, measured.h - H @ found.y)

    def gains(self, variances: F64, ratio: float) -> F64:
        """(S, V) log-evidence gained where view v's own translation has ``variances[s, v]`` more, metres^2."""
        count = variances.shape[1]
        blocks = np.arange(6 * count).reshape(count, 6)
        W = self.information[blocks[:, :, None], blocks[:, None, :]]
        B = np.sqrt(variances)[..., None] * np.array([ratio] * 3 + [1.0] * 3)
        inner = np.eye(6) + B[..., :, None] * W * B[..., None, :]
        pulled = B * self.vector[blocks]
        solved = np.linalg.solve(inner, pulled[..., None])[..., 0]
        gain: F64 = 0.5 * (pulled * solved).sum(axis=-1) - 0.5 * np.linalg.slogdet(inner)[1]
        return gain

    def focal_gain(self, variance: float) -> float:
        """Log-evidence gained where the focal lengths' logarithm has this variance."""
        inner = 1.0 + variance * self.information[-1, -1]
        return float(0.5 * variance * self.vector[-1] ** 2 / inner - 0.5 * np.log(inner))

    def with_focal(self, variance: float) -> _Unexplained:
        """After the focal lengths' logarithm got this variance."""
        column = self.information[:, -1]
        share = variance / (1.0 + variance * column[-1])
        information = self.information - share * np.outer(column, column)
        return _Unexplained(information, self.vector - share * self.vector[-1] * column)

    def widened(self, view: int, variance: float, ratio: float) -> _Unexplained:
        """After view ``view``'s own translation got this ``variance`` more, metres^2."""
        block = slice(6 * view, 6 * view + 6)
        B = np.sqrt(variance) * np.array([ratio] * 3 + [1.0] * 3)
        columns = self.information[:, block] * B
        inner = np.eye(6) + B[:, None] * self.information[block, block] * B
        gain = np.linalg.solve(inner, columns.T).T
        return _Unexplained(self.information - gain @ columns.T, self.vector - gain @ (B * self.vector[block]))
