"""How the support plane is found, and how views are compared through it."""

from __future__ import annotations

from dataclasses import dataclass

from mvgamba_ros.config.bounds import bounded


@dataclass(frozen=True)
class PlaneMatchingConfig:
    """Comparison of views through the support plane (`segmentation.plane_matching`)."""

    tolerance: float = bounded(7.0, 0.1, 1000)
    """Two colours match within this distance in weighted L*a*b*, after a shift of up to a pixel. Set by hand."""
    channel_weights: tuple[float, float, float] = bounded((0.7, 1.0, 1.0), 0.01, 100)
    """Weights of L*, a*, b* in the distance between two colours. Lightness counts less than hue, since exposure differs
    between views. Set by hand."""
    grey_weight: float = bounded(2.5, 0.01, 100)
    """Weight of L* where all pictures are grey: lightness alone has to tell colours apart, and agrees by chance three
    times as often. Chosen on grey copies of the captures of docs/segmentation.md, where 2.1 to 3 give the same IoU
    within 0.01 and 0.7 gives 0.025 less."""
    max_grey_chroma: float = bounded(2.0, 0, 100)
    """A picture without a colour of more than this in a* or b* is grey: JPEG and rounding give mono pictures less than
    1. Set by hand."""
    blur: float = bounded(0.7, 0.1, 100)
    """Standard deviation of the smoothing before colours are compared, window pixels. Set by hand."""
    neighbors: int = bounded(6, 1, 64)
    """Views with which each is compared at most: the nearest in direction. Set by hand: accuracy against time. Has no
    effect on fewer views than that."""
    chance_offsets: tuple[int, ...] = bounded((6, 20), 1, 1000, length=(1, 16))
    """Distances from a pixel's partner, window pixels, at which the rate of chance matches is measured."""
    chance_offsets_search: tuple[int, ...] = bounded((4, 8, 20), 1, 1000, length=(1, 16))
    """Distances from a pixel's partner, window pixels, at which the rate of chance matches is measured in a window that
    is searched, where the object may be small."""
    max_exposure_pixels: int = bounded(4000, 1, 10000000)
    """Pixels, at most, from which the difference of two cameras' exposures is measured; more take longer and change
    nothing. No effect on the sample of docs/segmentation.md from half to twice this."""
    min_exposure_pixels: int = bounded(200, 1, 10000000)
    """Exposures of two views that show as many common pixels of the plane, or fewer, are taken as equal. Set by hand:
    with 100, a grey can on grey felt is lost."""
    min_pixels: int = bounded(100, 1, 10000000)
    """A pair of views that shows fewer common pixels of the plane gives no evidence. Set by hand. No effect on the
    sample of docs/segmentation.md from half to twice this."""
    match_rate: tuple[float, float] = bounded((0.05, 0.97), 0.001, 0.999)
    """Least and largest rate at which plane is taken to match plane, [0, 1]: never certain. Set by hand."""
    chance_rate: tuple[float, float] = bounded((0.03, 0.95), 0.001, 0.999)
    """Least and largest rate of chance matches, [0, 1]: never certain. Set by hand."""
    min_mismatch_rate: float = bounded(0.03, 0.001, 0.999)
    """Least rate, [0, 1], at which plane is taken to match nothing. Set by hand."""
    weight: float = bounded(0.8, 0, 100)
    """Factor of the summed log-ratios: pairs of views are not independent. Set by hand."""
    max_log_odds: float = bounded(4.0, 0, 100)
    """The log-odds by the plane are clipped to this. Set by hand."""
    min_off_plane: float = bounded(0.02, 0.001, 1)
    """Least share, [0, 1], of the background that is taken to be off the plane, where a mismatch does not mean the
    object. Set by hand. No effect on the sample of docs/segmentation.md from half to twice this."""
    occlusion_blur: float = bounded(1.0, 0.1, 100)
    """Standard deviation of the smoothing of labels where they hide the plane behind them, window pixels. Set by
    hand."""
    min_agreeing: float = bounded(0.5, 0, 1)
    """A background pixel is on the plane where at least this share of the views, [0, 1], match it. Set by hand. No
    effect on the sample of docs/segmentation.md from half to twice this."""


@dataclass(frozen=True)
class PlaneHeightConfig:
    """Search for the height at which views agree most on the plane's texture (`segmentation.plane_height`)."""

    views: int = bounded(4, 2, 64)
    """Views compared at most, outside of a segmenter; the work grows with the square. Set by hand."""
    heights: int = bounded(64, 8, 4096)
    """Heights tried over the region's own. Set by hand. No effect on the sample of docs/segmentation.md from half to
    twice this."""
    finest_step: float = bounded(0.0005, 1e-5, 0.1)
    """The height is refined to this, metres. Set by hand."""
    min_reach: float = bounded(0.02, 0.001, 10)
    """Half the range of heights at least, metres, however thin the region. Set by hand."""
    below: float = bounded(1.25, 0, 100)
    """The range of heights begins this many times its half below the region's middle. Set by hand."""
    above: float = bounded(0.25, 0, 100)
    """The range of heights ends this many times its half above the region's middle. Set by hand: with 0.5 a faint
    agreement at the height of an object in the table's own colours is taken for the plane."""
    above_of_two: float = bounded(0.5, 0, 100)
    """The same of two views around an object whose silhouettes are known: the hull of two views from opposite sides
    reaches as far below the plane as above it. Chosen with `min_clarity_of_two`."""
    camera_clearance: float = bounded(0.02, 0, 10)
    """The range of heights ends at least this far below the lowest camera, metres. Set by hand. No effect on the sample
    of docs/segmentation.md from half to twice this."""
    min_downward: float = bounded(0.1, 0.01, 1)
    """Cameras look down by at least this (cosine to the vertical), or nothing is searched. Set by hand. No effect on
    the sample of docs/segmentation.md from half to twice this."""
    grid: int = bounded(48, 4, 1024)
    """Points of the plane that are compared, along a side of a square around the region. Set by hand."""
    grid_size: float = bounded(0.75, 0.1, 10)
    """Half the side of the square whose points are compared, in diagonals of the region. Set by hand."""
    min_pair_points: int = bounded(34, 1, 10000000)
    """Two views that show fewer common points are not compared. Set by hand. No effect on the sample of
    docs/segmentation.md from half to twice this."""
    min_points: float = bounded(225.0, 1, 10000000)
    """Heights at which fewer points were compared, over all pairs, are not considered. Set by hand."""
    min_points_share: float = bounded(0.25, 0, 1)
    """Heights at which less than this share, [0, 1], of the most points compared at any height was compared are not
    considered. Set by hand."""
    tolerance: float = bounded(10.5, 0.1, 1000)
    """Colours agree by 1 less their distance over this, in weighted L*a*b*. Set by hand. No effect on the sample of
    docs/segmentation.md from half to twice this."""
    peak_width: int = bounded(2, 0, 1000)
    """Heights this many steps from a peak are part of it. Set by hand. No effect on the sample of docs/segmentation.md
    from half to twice this."""
    peak_neighborhood: int = bounded(8, 1, 1000)
    """A peak is measured against the median agreement of heights up to this many steps away; a range of fewer
    steps is not searched. Set by hand."""
    min_clarity: float = bounded(0.1, 0, 1)
    """A peak of less clarity, [0, 1], is not accepted. Set by hand. No effect on the sample of docs/segmentation.md
    from half to twice this."""
    min_clarity_of_two: float = bounded(0.5, 0, 1)
    """The same of two views around an object whose silhouettes are known: they agree by chance more easily than several
    do. Chosen with `max_rival_of_two`, `min_points` and `min_pair_points` on pairs of views of scanned captures."""
    max_rival: float = bounded(0.5, 0, 1)
    """A peak is not accepted where a height elsewhere has more than this share, [0, 1], of its clarity. Set by hand."""
    max_rival_of_two: float = bounded(0.75, 0, 1)
    """The same of two views around an object whose silhouettes are known: on planks they agree at several heights, but
    less well. Chosen with `min_clarity_of_two`."""
    excluded_center: float = bounded(0.5, 0, 10)
    """Where the object may be anywhere it is taken to be nearer to the centre than this, where 1 is the region's edge,
    and left out: its own flat top is a plane too. Set by hand."""
    refine_reach: float = bounded(0.003, 0, 1)
    """A height found in a wider region is right within this, metres. Set by hand. The height depends on it, masks do
    not."""
    refine_step: float = bounded(0.001, 1e-5, 0.1)
    """Step of the heights tried around one found in a wider region, metres. Set by hand. The height depends on it,
    masks do not."""


@dataclass(frozen=True)
class SupportDepthConfig:
    """The support plane from measured depth (`segmentation.support_plane`)."""

    bin: float = bounded(0.004, 1e-4, 1)
    """Bin of the histogram of heights, metres. Set by hand. No effect on the sample of docs/segmentation.md from half
    to twice this."""
    min_share: float = bounded(0.3, 0, 1)
    """Share, [0, 1], of the readings that two neighbouring bins must hold to be a plane. Set by hand. No effect on the
    sample of docs/segmentation.md from half to twice this."""
    min_readings: int = bounded(500, 1, 1000000000)
    """Fewer readings give no plane. Set by hand. No effect on the sample of docs/segmentation.md from half to twice
    this."""
