"""When a reconstruction is called low."""

from __future__ import annotations

from dataclasses import dataclass

from mvgamba_ros.config.bounds import bounded


@dataclass(frozen=True)
class QualityConfig:
    """When a reconstruction is called low."""

    min_places: int = bounded(3, 1, 64)
    """Views from fewer different places make it low: the far side and the depth are guesses. Set by hand."""
    min_silhouette_iou: float = bounded(0.85, 0.0, 1.0)
    """A lower mean IoU of masks and the re-rendered mesh makes it low, [0, 1]. Set by hand."""
    max_color_error: float = bounded(0.15, 0.0, 1.0)
    """A higher mean absolute colour difference inside the masks makes it low, [0, 1]. Set by hand."""
    max_hidden_share: float = bounded(0.25, 0.0, 1.0)
    """Where other things cover more than this share of the silhouettes, mean over the views, the shape is low, [0, 1].
    Set by hand: of what one view does not show, others carve less."""
    max_guessed_share: float = bounded(0.25, 0.0, 1.0)
    """Where a generator made up more than this share of the surface, the shape is low, [0, 1]. Set by hand: undersides,
    which nobody sees, are 10 to 20 %."""
    min_view_angle: float = bounded(30.0, 0.0, 180.0)
    """A smaller largest angle between two views, seen from the object, makes it low, degrees. Set by hand."""
    max_expected_error_mm: float = bounded(3.0, 0.0, 1000.0)
    """A larger expected error of the whole mesh makes it low, millimetres. Chosen by `python -m benchmarks.trust_fit`:
    on objects not fitted to, 6 % of the answers with F@5mm of 0.9 or more lie above it, and three quarters of those
    below 0.8."""
    min_depth_spread: float = bounded(0.005, 0.0, 1.0)
    """Where a network's depths, as shares of the hull's intervals, differ by less than this between rays (standard
    deviation), it has no effect, and the shape is low. Set by hand: 0 to 0.0001 of broken weights; least 0.024 in what
    was measured, a ball from 16 sides, whose hull is the ball."""
