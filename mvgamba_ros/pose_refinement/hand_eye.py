"""The hand-eye calibration by many captures: what each shows of it adds up."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mvgamba_ros.config.pose_refinement_config import PosePriorConfig
from mvgamba_ros.pose_refinement.normal_equations import radians_per_metre
from mvgamba_ros.pose_refinement.twists import exponential
from mvgamba_ros.reconstruction import PoseCorrection
from mvgamba_ros.types import F64


@dataclass(frozen=True)
class HandEyeEstimate:
    """The sum of informations (6, 6) and information vectors (6,) of ``captures`` on one hand-eye twist."""

    captures: int = 0
    information: F64 = field(default_factory=lambda: np.zeros((6, 6)))
    vector: F64 = field(default_factory=lambda: np.zeros(6))

    def __add__(self, correction: PoseCorrection) -> HandEyeEstimate:
        return HandEyeEstimate(
            self.captures + 1,
            self.information + correction.hand_eye_information,
            self.vector + correction.hand_eye_vector,
        )

    def solve(self, config: PosePriorConfig) -> tuple[F64, float, float]:
        """The true optical frame in the one that was given (4, 4), metres; standard deviations of its translation,
        millimetres, and of its rotation, degrees. Under the widest prior of the config: what no capture shows stays
        as it is."""
        translation = max(config.hand_eye_sigmas)
        rotation = radians_per_metre(config) * translation
        prior = np.concatenate([np.full(3, rotation), np.full(3, translation)]) ** -2.0
        covariance = np.linalg.inv(self.information + np.diag(prior))
        variances = np.diag(covariance)
        sigma_mm = 1e3 * float(np.sqrt(variances[3:].mean()))
        sigma_deg = float(np.degrees(np.sqrt(variances[:3].mean())))
        return exponential(covariance @ self.vector), sigma_mm, sigma_deg
