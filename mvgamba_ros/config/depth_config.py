"""How measured depth is checked, smoothed and weighted."""

from __future__ import annotations

from dataclasses import dataclass, field

from mvgamba_ros.config.bounds import bounded


@dataclass(frozen=True)
class DepthAgreementConfig:
    """When measured depth contradicts the poses (geometry/depth_agreement.py)."""

    points: int = bounded(600, 10, 1000000)
    """Readings of a view that are compared, on a grid. Set by hand."""
    min_points: int = bounded(50, 1, 1000000)
    """Fewer readings than this, of a view or in common to two, say nothing. Set by hand."""
    max_pairs: int = bounded(24, 1, 10000)
    """Pairs of views that are compared at most. Set by hand."""
    min_baseline: float = bounded(0.2, 0.0, 10)
    """Two views are compared that lie further apart than this, in median depths: from one place depths of every scale
    fit each other. Set by hand."""
    tolerance: float = bounded(0.04, 0.01, 1.0)
    """Depths fit that differ by less than this share: 20 mm at 0.5 m, more than an ordinary camera's noise and a
    robot's pose errors make. Set by hand."""
    min_agreement: float = bounded(0.35, 0.0, 1.0)
    """Two views in which a smaller share of the common readings fit contradict each other, [0, 1]: the others may be
    hidden by the object. Set by hand."""
    clearly: float = bounded(1.5, 1.0, 100.0)
    """Another scale is the right one where this many times as many readings fit. Set by hand."""
    max_scale: float = bounded(4.0, 1.1, 10000.0)
    """Where depths do not fit, scales from one over this to this are tried. Set by hand."""
    scale_rounds: int = bounded(3, 1, 10)
    """Rounds of trying scales, each in half the steps of the one before around its best; the first in steps of the
    tolerance. Set by hand."""
    scale_reach: float = bounded(5.0, 1.0, 100.0)
    """How far a round goes from the best scale of the one before, in the tolerance of that. Set by hand."""
    plane_tolerance: float = bounded(0.1, 0.0001, 10)
    """Depth of a single view is set aside where it is another multiple of the plane's than 1 by more than this share:
    the height of the plane may be a little wrong too. Set by hand."""
    min_slope: float = bounded(0.1, 0.001, 1.0)
    """Rays that go down by less than this (cosine to the vertical) are not compared with a plane. Set by hand."""


@dataclass(frozen=True)
class DepthConfig:
    """Measured depth: its noise, and its way into the shape."""

    # The sensor's noise (surface/depth_noise.py)
    patch: int = bounded(32, 8, 256)
    """Side of the patches in which planes are fitted to measure the noise, pixels: several times a stereo camera's
    matching window, whose noise a smaller patch would take for the surface. Set by hand."""
    min_known: float = bounded(0.7, 0.1, 1.0)
    """Patches with a smaller share of readings are left out, [0, 1]. Set by hand."""
    min_patches: int = bounded(8, 1, 100000)
    """Fewer patches than this, over all views, say nothing of the noise, and it is assumed. Set by hand."""
    assumed_floor: float = bounded(0.001, 0, 1)
    """Standard deviation of depth whose own noise cannot be measured, as where only the object has any: metres at no
    distance; grows by `assumed_growth` times the square of the depth. Set by hand: as a stereo camera's."""
    assumed_growth: float = bounded(0.004, 0, 1)
    """See `assumed_floor`, 1 / metre."""
    assumed_blotch: float = bounded(16.0, 1, 10000)
    """Pixels that share one error of such depth. Set by hand: a small matching window."""
    min_correlation: float = bounded(0.1, 0.0, 1.0)
    """Noise is taken to be correlated up to the pixel distance at which its autocorrelation falls below this, [0, 1].
    Set by hand."""
    ranges: int = bounded(4, 1, 100)
    """Ranges of depth, of equally many patches, whose median variances the noise model is fitted to. Set by hand."""

    # Its bias (surface/depth_bias.py)
    plane_margin: float = bounded(0.5, 0.0, 10)
    """The support plane is compared with what was measured around the object, up to this far from its silhouette, in
    the silhouette's longer side. Set by hand."""
    plane_reach: float = bounded(0.1, 0.001, 1.0)
    """Readings that differ from the support plane's by more than this share are of something else. Set by hand."""
    min_plane_share: float = bounded(0.3, 0.0, 1.0)
    """Where a smaller share of the readings around the object is of the support plane, it is not compared, [0, 1]. Set
    by hand."""

    reference_error: float = bounded(0.001, 0.0, 1.0)
    """What the support plane and the silhouettes may be off themselves, metres. Set by hand."""
    max_bias: float = bounded(0.02, 0.0, 1.0)
    """Depth with a larger bias, as a share of the distance, is set aside: depth cameras are specified to 2 % or better.
    Set by hand."""

    # Smoothing (surface/measured_depth.py)
    windows: tuple[int, ...] = bounded((5, 9, 15, 23), 3, 101, length=(1, 16))
    """Sides of the windows in which planes are fitted to inverse depths, pixels, odd and growing. Set by hand."""
    edge_sigmas: float = bounded(3.0, 0.1, 100)
    """A pixel around which a plane in the smallest window leaves more than this many sigmas of noise is at an edge, and
    its residual is its sigma. Set by hand."""
    smooth_sigmas: float = bounded(1.3, 0.1, 100)
    """A larger window is taken only where its plane leaves less than this many sigmas of noise. Set by hand."""
    agreement_sigmas: float = bounded(1.0, 0.1, 100)
    """A larger window is taken only where its value differs from the smaller one's by less than this many of that one's
    sigmas. Set by hand."""
    outside_sigmas: float = bounded(3.0, 0.1, 100)
    """A reading further outside the visual hull than this many sigmas and a voxel is not of the object; nor is one
    that, smoothed, lies less than this many sigmas above the support plane: a sensor sees it through glass. Set by
    hand."""
    min_sigma: float = bounded(0.25, 0.001, 100)
    """Lower bound of a measured depth's sigma, voxels: what the grid can hold. Set by hand."""
    agreement: DepthAgreementConfig = field(default_factory=DepthAgreementConfig)
    """When depth is set aside."""
