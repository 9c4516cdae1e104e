"""When two views count as one, and when a pose must be wrong."""

from __future__ import annotations

from dataclasses import dataclass

from mvgamba_ros.config.bounds import bounded


@dataclass(frozen=True)
class ViewsConfig:
    """How views from the same place are recognised (`mvgamba_ros.checks`)."""

    min_distance: float = bounded(1e-3, 0.0, 1.0)
    """Camera centres closer together than this are one place, metres: about how well an arm returns to a pose. Set by
    hand."""
    min_angle: float = bounded(0.2, 0.0, 180.0)
    """Two views from one place that are turned by less than this against each other are one view twice, degrees. Set
    by hand."""
    max_difference: float = bounded(8.0, 0.0, 255.0)
    """The pictures of such a pair differ by no more than this, mean absolute grey levels, else one pose is wrong
    (DUPLICATE_VIEW): lights flicker and sensors are noisy. Set by hand."""
