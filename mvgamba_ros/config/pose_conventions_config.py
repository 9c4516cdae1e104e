"""How poses of another convention are recognised."""

from __future__ import annotations

from dataclasses import dataclass

from mvgamba_ros.config.bounds import bounded


@dataclass(frozen=True)
class PoseConventionsConfig:
    """Trying of pose conventions after a failure (`mvgamba_ros.geometry.pose_conventions`)."""

    views: int = bounded(6, 2, 64)
    """Views that are compared at most, evenly over all; each pair of them costs some 20 ms. Set by hand."""
    side: int = bounded(640, 64, 4096)
    """Longer side of the pictures in which features are sought, pixels. Set by hand."""
    features: int = bounded(1500, 10, 100_000)
    """Features of a picture at most. Set by hand."""
    ratio: float = bounded(0.8, 0.1, 1.0)
    """A match is this much nearer than the second nearest feature: Lowe's value."""
    tolerance: float = bounded(3.0, 0.1, 100.0)
    """Distance from the epipolar line within which a match agrees, pixels: hand-eye errors of a few millimetres leave
    some. Set by hand."""
    min_agreeing: int = bounded(6, 1, 1_000_000)
    """Fewest matches that agree under a convention which is called certain: by chance one to three do, of 20 to 40 that
    plain tables give. Read off captures from four sides."""
    factor: float = bounded(3.0, 1.0, 1e6)
    """So many times as many matches agree as under the poses as they are given: under a mirrored world a sixth of those
    of the right one agree, where views are alike. Read off captures from four sides."""
    min_share: float = bounded(0.2, 0.0, 1.0)
    """Least share of all matches that agree under such a convention: under the right one 0.2 to 0.9 do, under others at
    most 0.1. Read off captures from four sides."""
    near_best: float = bounded(0.5, 0.0, 1.0)
    """The most frequent mistake is named under which at least this share of the matches of the best one agree: those on
    a symmetric object agree under a mirrored world too. Set by hand."""
