"""What the pictures show of the poses: the plane's texture and the silhouettes together, at poses that are tried."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from mvgamba_ros.config.pose_refinement_config import PoseRefinementConfig
from mvgamba_ros.errors import stop_if
from mvgamba_ros.geometry.camera import with_focal_length
from mvgamba_ros.geometry.occlusion import grown
from mvgamba_ros.pose_refinement.normal_equations import (
    NormalEquations,
    Posterior,
    Prior,
    posterior,
    radians_per_metre,
    select,
)
from mvgamba_ros.pose_refinement.plane_alignment import PairAgreement, PlaneAlignment
from mvgamba_ros.pose_refinement.silhouette_coherence import OutlineResiduals, SilhouetteCoherence
from mvgamba_ros.pose_refinement.twists import corrected
from mvgamba_ros.types import F64, Bool, Cancelled, View


@dataclass(frozen=True)
class Agreement:
    """How V views agree at some poses: ``measured`` for a correction of them; ``pairs`` of views on the plane, and
    ``outlines`` against the other silhouettes."""

    measured: NormalEquations
    pairs: list[PairAgreement]
    outlines: OutlineResiduals

    @property
    def correlation(self) -> F64:
        """(V, V) of the pairs' textures on the plane; NaN where a pair was not compared or the plane is plain."""
        count = self.measured.views
        table = np.full((count, count), np.nan)
        for pair in self.pairs:
            table[pair.first, pair.second] = table[pair.second, pair.first] = pair.correlation
        return table

    @property
    def residual(self) -> float:
        """Root mean square of the disagreement, pixels: the median block of each pair on the plane, and the outlines'
        misses. NaN where there is neither."""
        squares = [float(np.median(pair.residuals)) ** 2 for pair in self.pairs if len(pair.residuals)]
        squares += [self.outlines.root_mean_square**2] if len(self.outlines.pixels) else []
        return float(np.sqrt(np.mean(squares))) if squares else float("nan")

    @property
    def score(self) -> float:
        """Mean correlation of the pairs, for a comparison of poses that are far apart."""
        values = [pair.correlation for pair in self.pairs if np.isfinite(pair.correlation)]
        return float(np.mean(values)) if values else float("nan")


@dataclass(frozen=True)
class Fit:
    """Poses (V, 4, 4), their correction, and how the views agree under them; what that means in ``words``,
    where other poses were taken than those given."""

    T_world_camera: F64
    posterior: Posterior
    agreement: Agreement
    words: str = ""

    @property
    def focal(self) -> float:
        """The focal lengths by those given."""
        return float(np.exp(self.posterior.focal))


class PoseEvidence:
    """The evidence of V views with silhouettes ``masks`` (H, W), on a plane at ``height`` or None where it is not
    known."""

    def __init__(
        self,
        views: Sequence[View],
        masks: Sequence[Bool] | None,
        center: F64,
        height: float | None,
        height_sigma: float,
        config: PoseRefinementConfig,
        cancelled: Cancelled = lambda: False,
    ) -> None:
        """``cancelled`` is polled for each poses that are tried."""
        self.config, self._cancelled = config, cancelled
        self.height_sigma = height_sigma
        self._views, self._masks, self._center, self._height = views, masks, center, height
        if masks is None:  # what stands on the plane is an outlier there
            self._hidden = [np.zeros(view.image.shape[:2], bool) for view in views]
        else:
            self._hidden = [
                grown(_not_plane(view, mask), config.mask_margin) for view, mask in zip(views, masks, strict=True)
            ]

    @cached_property
    def plane(self) -> PlaneAlignment | None:
        if self._height is None:
            return None
        return PlaneAlignment(self._views, self._hidden, self._center, self._height, self.config.plane)

    @cached_property
    def silhouettes(self) -> SilhouetteCoherence | None:
        return None if self._masks is None else SilhouetteCoherence(self._views, self._masks, self.config.silhouettes)

    def with_focal_length(self, scale: float) -> PoseEvidence:
        """The evidence of the plane, had all cameras ``scale`` times their focal lengths."""
        views = [replace(view, camera=with_focal_length(view.camera, scale)) for view in self._views]
        other = PoseEvidence(views, None, self._center, None, self.height_sigma, self.config, self._cancelled)
        if self._height is not None:
            other.plane = PlaneAlignment(views, self._hidden, self._center, self._height, self.config.plane)
        return other

    def agreement(self, T_world_camera: F64, y: F64, points: int) -> Agreement:
        """At poses (V, 4, 4), those of the corrections ``y`` (6 V + 2,); ``points`` a side of the plane's grid."""
        stop_if(self._cancelled)
        measured = NormalEquations(np.zeros((len(y), len(y))), np.zeros(len(y)))
        pairs: list[PairAgreement] = []
        outlines = OutlineResiduals(np.zeros(0), np.zeros(0), np.zeros(0))
        if self.plane is not None:
            found, pairs = self.plane.linearise(T_world_camera, y, self.plane.level(points))
            measured = measured + found
        if self.silhouettes is not None:
            found, outlines = self.silhouettes.linearise(T_world_camera, y)
            measured = measured + found
        return Agreement(measured, pairs, outlines)

    @property
    def search_step(self) -> float:
        """``config.search_step`` as an angle of the cameras, radians."""
        if self.plane is None:
            return 0.0
        focal = float(np.median([np.sqrt(view.camera.K[0, 0] * view.camera.K[1, 1]) for view in self._views]))
        return self.config.search_step * self.plane.level(self.config.plane.coarse_points).pixels / focal

    def at(self, T_world_camera: F64) -> Agreement:
        """On the coarse grid, without a correction."""
        return self.agreement(T_world_camera, np.zeros(6 * len(T_world_camera) + 2), self.config.plane.coarse_points)

    def score(self, T_world_camera: F64) -> float:
        """`Agreement.score` on the coarse grid, a fraction of the work: for many poses that are tried."""
        stop_if(self._cancelled)
        if self.plane is None:
            return float("nan")
        return self.plane.score(T_world_camera, self.plane.level(self.config.plane.coarse_points))

    def climbed(self, T_world_camera: F64) -> F64:
        """Unknowns (6 V + 2,) to start `refine` at, nearer to agreement: steps of Gauss-Newton on the coarser grids
        under the widest priors, as long as the correlation grows. Far from agreement the residuals are no noise, and
        evidence means little."""
        y = np.zeros(6 * len(T_world_camera) + 2)
        for points in (self.config.plane.coarsest_points, self.config.plane.coarse_points):
            y = self._climb(T_world_camera, y, points)
        return y

    def _climb(self, T_world_camera: F64, y: F64, points: int) -> F64:
        prior, count, turn = self.config.prior, len(T_world_camera), radians_per_metre(self.config.prior)

        def at(y: F64) -> Agreement:
            return self.agreement(corrected(T_world_camera, y[:-2].reshape(count, 6)), y, points)

        found = at(y)
        for _ in range(self.config.climbing_rounds):
            if not found.score < self.config.same_correlation:
                break
            hand_eye, own = max(prior.hand_eye_sigmas), max(prior.view_sigmas)
            tried = [
                posterior(found.measured, Prior(common, np.full(count, each), self.height_sigma, focal, turn)).y
                for common, each, focal in ((hand_eye, 0.0, 0.0), (0.0, own, 0.0), (0.0, 0.0, max(prior.focal_sigmas)))
            ]
            reached = [at(each) for each in tried]
            best = int(np.argmax([np.nan_to_num(each.score, nan=-1.0) for each in reached]))
            if not reached[best].score > found.score + self.config.min_climb:
                break
            y, found = tried[best], reached[best]
        return y

    def refine(self, T_world_camera: F64, start: F64 | None = None) -> Fit:
        """Corrected poses (V, 4, 4), the correction with its covariance, and the agreement before the last step.

        ``start`` (6 V + 2,): the unknowns at which the search for the correction of ``T_world_camera`` starts.
        """
        config, plane, count = self.config, self.config.plane, len(T_world_camera)
        y = np.zeros(6 * count + 2) if start is None else start
        rounds = [plane.coarse_points] * config.coarse_rounds + [plane.fine_points] * config.fine_rounds
        settled_at = 0
        for points in rounds:
            if points == settled_at:
                continue
            found = self.agreement(corrected(T_world_camera, y[:-2].reshape(count, 6)), y, points)
            best = select(found.measured, self.height_sigma, config.prior)
            step, y = best.y - y, best.y
            if np.abs(np.delete(step, -2)).max() < config.settled:  # whatever the height
                settled_at = points
                as_given = not np.delete(y, -2).any() and abs(y[-2]) <= self.height_sigma
                if points == plane.coarse_points and as_given:
                    break  # nothing to correct; the fine grid would not find more
        return Fit(corrected(T_world_camera, y[:-2].reshape(count, 6)), best, found)


def _not_plane(view: View, mask: Bool) -> Bool:
    """What hides the plane: the object of ``mask``, and the things beside it."""
    return mask if view.hidden is None else mask | view.hidden
