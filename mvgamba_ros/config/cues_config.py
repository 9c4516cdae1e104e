"""What colour, shadow, depth and objectness contribute to a pixel's log-odds of being on the object."""

from __future__ import annotations

from dataclasses import dataclass

from mvgamba_ros.config.bounds import bounded


@dataclass(frozen=True)
class ColorConfig:
    """Colour models: smoothed histograms over CIE L*a*b* (`segmentation.color_model`)."""

    cell: float = bounded(5.0, 1, 50)
    """Size of a histogram cell in each of L*, a*, b*. Set by hand."""
    max_chroma: float = bounded(90.0, 10, 200)
    """The channels a* and b* are clipped to plus and minus this. Few colours of sRGB are beyond. No effect on the
    sample of docs/segmentation.md from half to twice this."""
    blur: float = bounded(0.8, 0.1, 10)
    """Standard deviation of the histogram's smoothing, cells. Set by hand."""
    blur_radius: int = bounded(2, 1, 20)
    """Reach of the smoothing, cells. Set by hand."""
    floor: float = bounded(3e-5, 1e-9, 0.01)
    """Density of a colour never seen: about an even share of a histogram cell. No effect on the sample of
    docs/segmentation.md from half to twice this."""
    own_share: float = bounded(0.5, 0, 1)
    """Share, [0, 1], of a window's own histogram in its colour model; the rest is that of all windows. Set by hand."""
    novel: float = bounded(1e-4, 1e-9, 1)
    """Density that the object gives to colours never seen: what the background does not have is likely the object. Set
    by hand."""
    max_log_odds: float = bounded(4.0, 0, 100)
    """The colours' log-ratio is clipped to this. Set by hand."""


@dataclass(frozen=True)
class ShadowConfig:
    """Darker versions of seen colours: cast shadows, and sides away from the light. The weights were chosen with the
    captures of docs/segmentation.md in sight."""

    weight: float = bounded(0.3, 0, 100)
    """Density of darker versions of the background's colours, against that of the background: the object's shadow,
    whether seen or not."""
    darkest: float = bounded(0.25, 0, 1)
    """Least lightness in shadow, as a share of what is lit, [0, 1]."""
    side_weight: float = bounded(0.6, 0, 100)
    """Density of darker versions of the object's own colours, against that of the object: its sides away from the
    light."""
    darkest_side: float = bounded(0.45, 0, 1)
    """Least lightness of sides away from the light, as a share of what is lit, [0, 1]."""
    side_over_shadow: float = bounded(4.0, 0, 1000)
    """Largest ratio of the density of dark sides to that of the shadow. Sides compete with the shadow only: a dark
    colour that the background itself shows, as a brown cloth behind a yellow stone, stays background."""
    lightest: float = bounded(0.96, 0, 1)
    """Lightness in shadow is sampled up to this share, [0, 1]. Set by hand."""
    step: float = bounded(0.1, 0.01, 1)
    """Step of the samples of lightness in shadow. Set by hand."""
    stride: int = bounded(7, 1, 1000)
    """Every so many-th pixel is darkened: more take longer and change next to nothing. Set by hand. No effect on the
    sample of docs/segmentation.md from half to twice this."""
    suspected: float = bounded(0.06, 0, 1)
    """A pixel is taken for shadow at first where the density of shadow colours is above this share of its peak."""
    lit_share: float = bounded(0.5, 0, 1)
    """Pixels are taken for shadow at first only where more than this share, [0, 1], of the first guess has other
    colours. Set by hand."""
    suspected_log_odds: float = bounded(-2.0, -100, 0)
    """Log-odds at most, at first, of pixels that are taken for shadow. Set by hand."""
    suspected_weight: float = bounded(0.02, 0, 1)
    """Weight of pixels that are taken for shadow at first when the object's colours are learned."""


@dataclass(frozen=True)
class DepthCueConfig:
    """Measured depth as evidence."""

    log_odds: float = bounded(2.5, 0, 100)
    """Log-odds of a depth reading inside the region and above the plane, and minus that of one elsewhere. Set by
    hand."""
    noise: float = bounded(0.004, 0, 1)
    """A reading this near above the support plane counts as on it, metres. Set by hand."""


@dataclass(frozen=True)
class ObjectnessConfig:
    """The objectness network's log-odds (`segmentation.classical.objectness`)."""

    weight: float = bounded(0.35, 0, 100)
    """Factor of the network's log-odds: it sees coarsely and has not seen everything. Chosen so that the captures of
    docs/segmentation.md stay as they are without it."""
    max_log_odds: float = bounded(4.0, 0, 100)
    """The network's log-odds are clipped to this before they are weighted."""


@dataclass(frozen=True)
class InitialGuessConfig:
    """First labels (`segmentation.classical.initial_labels`): what background and support plane do not explain."""

    plane_log_odds: float = bounded(-1.0, -100, 0)
    """A pixel whose log-odds by the plane are below this shows the background, a mat under the object too. Set by
    hand."""
    gain: float = bounded(2.0, 0, 100)
    """Factor of the log-ratio between the colours of the region and of the background. Set by hand."""
    bias: float = bounded(-1.0, -100, 100)
    """Log-odds added to the log-ratio between the colours of the region and of the background. Set by hand."""
    max_log_odds: float = bounded(2.0, 0, 100)
    """Log-odds by colour are clipped to this. Set by hand."""
    off_log_odds: float = bounded(-4.0, -100, 0)
    """Log-odds outside the region. Set by hand. No effect on the sample of docs/segmentation.md from half to twice
    this."""
    passes: int = bounded(2, 1, 100)
    """Evaluations of the plane's evidence, each with the occlusions that the one before implies. Set by hand."""
    damping: float = bounded(0.5, 0, 1)
    """Share, [0, 1], of the new log-odds that goes into the next pass. Set by hand."""
