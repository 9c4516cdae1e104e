"""How the poses of the views are checked and corrected."""

from __future__ import annotations

from dataclasses import dataclass, field

from mvgamba_ros.config.bounds import bounded


@dataclass(frozen=True)
class PlaneAlignmentConfig:
    """Alignment of views through the support plane's texture (`pose_refinement.plane_alignment`)."""

    coarsest_points: int = bounded(40, 16, 1000)
    """Points along each side of the grid on the plane in the first rounds; a multiple of `block`. Set by hand: fine
    grain agrees over a few of its own widths only, unless it is smoothed away."""
    coarse_points: int = bounded(80, 16, 1000)
    """Points along each side of the grid in the rounds after these; a multiple of `block`. Set by hand: stripes are
    lost on a coarser grid."""
    fine_points: int = bounded(160, 16, 1000)
    """Points along each side of the grid on the plane in the last rounds; a multiple of `block`. Set by hand: more take
    longer and measure the same."""
    reach: float = bounded(0.8, 0.05, 2.0)
    """Half the grid's side, in half diagonals of the pictures. Set by hand: further away the plane is seen at a
    slant."""
    block: int = bounded(8, 2, 64)
    """Side of the blocks in which displacements are measured, grid points. Set by hand."""
    smoothing: float = bounded(1.0, 0.3, 10.0)
    """Sigma of the smoothing on the plane, grid points. Set by hand."""
    window: float = bounded(2.5, 1.0, 50.0)
    """Sigma of the window in which mean and contrast are normalised, grid points. Set by hand. Points within one and a
    half sigmas of what is not seen are left out: there the means are of other parts in other views."""
    min_contrast: float = bounded(2.0, 0.1, 100.0)
    """Local standard deviation that counts as texture, grey levels of 255: about the noise of a camera. Set by hand."""
    neighbors: int = bounded(6, 1, 64)
    """Views with which each is compared at most, the nearest in direction. Set by hand: accuracy against time."""
    min_common: float = bounded(0.03, 0.0, 1.0)
    """Pairs of views that both show a smaller share of the grid are not compared, [0, 1]. Set by hand."""
    min_noise: float = bounded(0.02, 0.001, 1.0)
    """Least standard deviation of the difference of two normalised views. Set by hand."""
    outlier: float = bounded(1.5, 0.5, 20.0)
    """Differences beyond this many standard deviations hardly count. Set by hand."""
    max_residual_sigma: float = bounded(0.5, 0.01, 10.0)
    """A block's displacement counts in the residual where its noise lets it be known to this, pixels, in both
    directions. Set by hand."""
    systematic: float = bounded(0.3, 0.01, 10.0)
    """What intrinsics and lens leave, pixels: no block's displacement is known better. Typical of a calibrated
    camera."""
    independent_blocks: float = bounded(36.0, 1.0, 1000.0)
    """As what lens and calibration leave is smooth over a picture, no more blocks than these are independent. Set by
    hand: six by six."""


@dataclass(frozen=True)
class SilhouetteCoherenceConfig:
    """Coherence of silhouettes (`pose_refinement.silhouette_coherence`)."""

    outline_points: int = bounded(64, 8, 4096)
    """Points of each outline whose rays are tested at most. Set by hand."""
    min_outline_points: int = bounded(16, 8, 4096)
    """At least. Set by hand: as many as are independent."""
    all_points: int = bounded(640, 8, 1_000_000)
    """Points of all outlines together, as far as that leaves each its least. Set by hand: time."""
    partners: int = bounded(12, 1, 1000)
    """Silhouettes that each outline is tested against at most, from the nearest view's to the farthest's. Set by hand:
    time."""
    ray_samples: int = bounded(64, 8, 1024)
    """Samples along each ray. Set by hand."""
    tolerance: float = bounded(0.7, 0.0, 20.0)
    """A ray may miss a silhouette by this, pixels: outlines are no better. Set by hand."""
    sigma: float = bounded(2.0, 0.1, 50.0)
    """Standard deviation of an outline, pixels. Set by hand: a segmenter's outlines err by a pixel or two, alike in all
    views; at half of this they hold on to wrong poses that the plane's texture would correct."""
    softness: float = bounded(0.5, 0.01, 20.0)
    """Silhouettes that a ray misses by about as much, within this in pixels, all count. Set by hand."""
    outlier: float = bounded(6.0, 0.5, 200.0)
    """Rays that miss by more than this, pixels, count less: what they belong to is segmented wrongly. Set by hand."""
    independent: float = bounded(0.25, 0.01, 1.0)
    """Share of `outline_points` that count as independent: neighbours err alike. Set by hand."""


@dataclass(frozen=True)
class PosePriorConfig:
    """Which corrections are likely, and when one is made (`pose_refinement.normal_equations`)."""

    hand_eye_sigmas: tuple[float, ...] = bounded((0.006, 0.02), 1e-5, 1.0, length=(1, 8))
    """Standard deviations of the hand-eye calibration's translation that are tried, metres. Users report errors of 5 to
    30 mm."""
    view_sigmas: tuple[float, ...] = bounded((0.0007, 0.002, 0.006, 0.02), 1e-5, 1.0, length=(1, 8))
    """Standard deviations of the views' own translations that are tried, metres: from a good arm's repeatability with
    its play to a pose that is wrong."""
    degrees_per_mm: float = bounded(0.1, 0.001, 10.0)
    """Standard deviation of a rotation, degrees, for each millimetre of its translation's. Users report 0.5 degrees
    with 5 mm."""
    given_height_sigma: float = bounded(0.001, 1e-6, 1.0)
    """Standard deviation of a support height that was given, metres. Set by hand."""
    found_height_sigma: float = bounded(0.02, 1e-6, 1.0)
    """Standard deviation of a support height that was estimated from the same views, metres. Set by hand: it follows
    from the poses."""
    focal_sigmas: tuple[float, ...] = bounded((0.03, 0.3), 1e-4, 1.0, length=(1, 8))
    """Standard deviations of the focal lengths' logarithm that are tried: a data sheet's values or a calibration at
    another focus, and another camera's. Set by hand."""
    min_log_evidence: float = bounded(3.0, 0.0, 1000.0)
    """A richer correction must be this much more likely, natural logarithm: 20 to 1. Set by hand."""


@dataclass(frozen=True)
class PoseRefinementConfig:
    """All of pose refinement."""

    plane: PlaneAlignmentConfig = field(default_factory=PlaneAlignmentConfig)
    """Alignment through the support plane's texture."""
    silhouettes: SilhouetteCoherenceConfig = field(default_factory=SilhouetteCoherenceConfig)
    """Coherence of silhouettes."""
    prior: PosePriorConfig = field(default_factory=PosePriorConfig)
    """Which corrections are likely."""
    climbing_rounds: int = bounded(6, 0, 100)
    """Rounds of Gauss-Newton on each of the coarser grids towards agreement at most. Set by hand."""
    min_climb: float = bounded(0.01, 0.0, 1.0)
    """Least growth of the mean correlation in such a round. Set by hand."""
    coarse_rounds: int = bounded(6, 1, 100)
    """Rounds of Gauss-Newton on the coarse grid at most. Set by hand: 20 mm take five."""
    fine_rounds: int = bounded(3, 0, 100)
    """Rounds of Gauss-Newton on the fine grid at most. Set by hand."""
    settled: float = bounded(0.0002, 1e-7, 0.1)
    """Rounds end once no pose moves by more than this, metres and radians: a tenth of a pixel. Set by hand."""
    mask_margin: int = bounded(7, 0, 1000)
    """Silhouettes are grown by this before the plane around them is compared, pixels. Set by hand."""
    min_correlation: float = bounded(0.6, -1.0, 1.0)
    """Two views agree on the plane where their textures correlate more than this. Good poses give 0.9 and more, blurred
    and noisy pictures 0.8; wrong poses less than 0.5."""
    min_gain: float = bounded(0.15, 0.0, 2.0)
    """Other poses (exchanged, late, turned) are taken to be right where the mean correlation is greater by this. Set by
    hand."""
    search_step: float = bounded(2.0, 0.1, 30.0)
    """Step of the search for a pose that is far off, by turning the camera, points of the coarse grid: about what
    Gauss-Newton brings in. Set by hand."""
    search_rings: int = bounded(2, 1, 10)
    """Steps of that search in each direction. Set by hand."""
    exchange_all: int = bounded(6, 2, 64)
    """Up to this many views, every two are tried with exchanged poses; beyond, those that contradict. Set by hand:
    time."""
    max_focal_correction: float = bounded(0.1, 0.0, 1.0)
    """A focal length that is corrected by more than this, natural logarithm, makes the result low unless textures
    correlate more than `sure_correlation` then: the intrinsics are another camera's, and more of them may be wrong. Set
    by hand."""
    focal_range: float = bounded(2.0, 1.01, 10.0)
    """Other focal lengths are tried between the one given divided and multiplied by this. Set by hand."""
    focal_steps: int = bounded(25, 3, 1000)
    """How many. Set by hand: six percent apart."""
    sure_correlation: float = bounded(0.98, -1.0, 1.0)
    """Where textures correlate more than this under the correction, another focal length is not looked for:
    0.99 and more with the right one, also of ordinary robots, up to 0.97 with one 20 % off. Read off captures."""
    min_focal_gain: float = bounded(0.5, 0.0, 1.0)
    """Another focal length is doubted where it explains this share of what the mean correlation is short of 1. Read off
    captures: 0.5 to 1 with one that is 20 % off."""
    focal_step: float = bounded(1.1, 1.001, 10.0)
    """Factor by which the focal length changes in that search, within `focal_range`. Set by hand."""
    height_step: float = bounded(0.04, 0.001, 1.0)
    """Where wrong poses hide the support plane, its height is sought in steps of this share of the views' distance. Set
    by hand: about what Gauss-Newton brings in."""
    height_steps: int = bounded(5, 1, 1000)
    """How many steps below the object's middle. Set by hand: time, up to a second each."""
    same_correlation: float = bounded(0.9, -1.0, 1.0)
    """Views whose textures correlate more than this under the poses given were posed alike. Set by hand."""
    max_position_sigma: float = bounded(0.0055, 1e-5, 1.0)
    """Poses that leave the object's position less certain than this make the result low, metres; so do two groups of
    views that put it more than twice as far apart. Set by hand: a little above the 5 mm within which a surface counts
    as found."""
    max_groups_apart: float = bounded(0.008, 1e-5, 1.0)
    """Groups of views that put the object further apart than this make the result low, metres: it lies somewhere
    between. Set by hand."""
    max_outline_residual: float = bounded(3.0, 0.1, 100.0)
    """Outlines that miss each other by more than this after the correction make the result low, pixels. Set by hand."""
    suspects: int = bounded(6, 1, 64)
    """So many views are tried to leave out where outlines miss each other or segmentation fails: those whose outlines
    miss most, or all views where they are no more. Of more views a hidden support plane is not sought. Set by hand:
    time."""
    segment_again: float = bounded(1.0, 0.0, 1000.0)
    """Where a correction moves the object in a picture by more than this, pixels, it is segmented again. Set by
    hand."""
