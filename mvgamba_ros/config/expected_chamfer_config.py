"""The expected chamfer distance of a shape."""

from __future__ import annotations

from dataclasses import dataclass

from mvgamba_ros.config.bounds import bounded


@dataclass(frozen=True)
class ExpectedChamferConfig:
    """The expected chamfer distance (surface/expected_chamfer.py)."""

    weights: tuple[float, ...] = bounded((0.037, 0.233, 0.359, 0.443, 0.692, 0.993), -100.0, 100.0)
    """Weights of the features in the order of `mvgamba_ros.surface.expected_chamfer.COLUMNS`, log millimetres per unit
    of each. Fitted by `python -m benchmarks.trust_fit` to procedural captures under every condition."""
    usual: tuple[float, ...] = bounded((1.0, -0.374, 0.0, 0.0, 0.01, 0.561), -100.0, 100.0)
    """Medians of the same features over good answers to procedural captures: a reason names what exceeds them. From the
    same command."""
