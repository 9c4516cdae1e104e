"""The expected chamfer distance, and when it makes a shape low."""

from __future__ import annotations

from dataclasses import dataclass

from mvgamba_ros.config.bounds import bounded


@dataclass(frozen=True)
class ExpectedChamferConfig:
    """The expected chamfer distance (surface/expected_chamfer.py), and the most that is accepted."""

    weights: tuple[float, ...] = bounded((0.498, 0.719, 0.110, -0.068, 1.330, -0.295, 1.361), -100.0, 100.0)
    """Weights of the features in the order of `mvgamba_ros.surface.expected_chamfer.COLUMNS`, log millimetres per unit
    of each. Fitted by `python -m benchmarks.trust_fit` to procedural captures under every condition."""
    usual: tuple[float, ...] = bounded((1.0, -0.199, -0.159, 0.0, 0.0, 0.405, 0.237), -100.0, 100.0)
    """Medians of the same features over good answers to procedural captures: a reason names what exceeds them. From the
    same command."""
    max_mm: float = bounded(4.2, 0.0, 1000.0)
    """A larger expected chamfer distance makes a shape low, millimetres. Chosen by the same
    command: on objects not fitted to, 2 % of the answers with F@5mm of 0.9 or more lie above it."""
    named: int = bounded(3, 1, 7)
    """So many features at most are named in the reason. Set by hand."""
