"""How a generated shape is registered to what was seen; every number of `alignment`."""

from __future__ import annotations

from dataclasses import dataclass

from mvgamba_ros.config.bounds import bounded


@dataclass(frozen=True)
class AlignmentConfig:
    """Pixels are those of a square around the object's mask, `side` or `coarse_side` of them wide."""

    side: int = bounded(160, 32, 1024)
    """Side of the picture of each mask that residuals are taken from, pixels. Set by hand: contours are averaged over
    a few hundred of them, so that a tenth of one is left."""
    coarse_side: int = bounded(64, 16, 256)
    """The same for scoring hypotheses, pixels. Set by hand."""
    window: float = bounded(1.6, 1.1, 5.0)
    """Side of that picture over the mask's longer side: what a wrong hypothesis shows beside the mask counts. Set by
    hand."""
    turns: int = bounded(24, 4, 360)
    """Azimuths tried where the generator does not tell from where it saw the picture: every 15 degrees. Set by hand."""
    elevations: int = bounded(4, 1, 20)
    """Elevations tried, from level, as multi-view diffusion takes its input to be, to the camera's own. Set by hand."""
    swing: float = bounded(20.0, 0.0, 90.0)
    """Azimuths tried on either side of the one that the generator tells, degrees. Set by hand."""
    kept: int = bounded(3, 1, 50)
    """Hypotheses that are refined. Set by hand."""
    fits: int = bounded(3, 1, 20)
    """Rounds that fit size and place of a hypothesis to the mask. Set by hand."""
    depth_weight: float = bounded(2.0, 0.0, 100.0)
    """Of the median depth error, as a part of the object's size, against the silhouettes' IoU. Set by hand."""
    color_weight: float = bounded(0.3, 0.0, 100.0)
    """Of the mean absolute colour error, [0, 1], against the silhouettes' IoU: it tells front from back. Set by
    hand."""
    steps: int = bounded(30, 1, 500)
    """Gauss-Newton steps at most, each with the contours rendered anew. Set by hand: 10 to 15 are usual."""
    least_step: float = bounded(2e-4, 0.0, 0.1)
    """A shorter step, as a part of the object's size and in radians, ends the refinement. Set by hand."""
    damping: float = bounded(1e-3, 0.0, 10.0)
    """Levenberg's, relative to the diagonal of the normal matrix. Set by hand."""
    independent: float = bounded(24.0, 1.0, 1e6)
    """Residuals that each contour, depth map and the plane count for, however many pixels there are: neighbours on a
    made-up shape are off together. Set by hand; standard deviations follow from it."""
    shape_sigma: float = bounded(0.02, 1e-4, 1.0)
    """Standard deviation of a generated surface, as a part of the object's size. Set by hand: what reconstructions from
    a few made-up views are off by."""
    guess_sigma: float = bounded(0.05, 1e-3, 1.0)
    """The same where no view saw the surface: its weight beside depth maps follows from it. Set by hand, larger than
    `shape_sigma`, which outlines and depth have corrected."""
    guess_side: int = bounded(256, 32, 1024)
    """Side of the pictures that an aligned shape's depth is rendered into, pixels. Set by hand: as generators paint."""
    level: float = bounded(0.15, 0.0, 1.0)
    """A generator's camera is level where the sine of its axis' rise is no larger: from higher up, lines of sight enter
    the hull far before the object, and do not tell where it ends. Set by hand: 9 degrees."""
    room: float = bounded(0.1, 0.0, 1.0)
    """What is left free around an aligned shape, as a part of its size. Set by hand."""
    plane_sigma: float = bounded(0.01, 1e-4, 1.0)
    """The same of its lowest point. Set by hand."""
    turn_sigma: float = bounded(20.0, 0.1, 180.0)
    """Standard deviation of the turn about the vertical from a hypothesis, degrees. Set by hand: as far as they lie
    apart."""
    tilt_sigma: float = bounded(4.0, 0.1, 180.0)
    """The same about level axes: generators make things that stand upright, or as their camera is tipped. Set by hand:
    half of what hypotheses lie apart."""
    robust: float = bounded(1.5, 0.1, 100.0)
    """Residuals of more than so many robust standard deviations count less (Huber). As is usual."""
    min_depth_share: float = bounded(0.05, 0.0, 1.0)
    """Least part of a mask with depth that makes depth a measure of scale. Set by hand."""
    max_points: int = bounded(400, 10, 100000)
    """Depth pixels of a view that are used at most. Set by hand: the rest repeat them."""
    min_baseline: float = bounded(0.05, 1e-3, 2.0)
    """Least distance of two cameras, over their distance from the object, that makes their poses a measure of scale: 3
    degrees. Set by hand."""
