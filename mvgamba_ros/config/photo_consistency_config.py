"""How the pictures of one surface in two views are compared."""

from __future__ import annotations

from dataclasses import dataclass

from mvgamba_ros.config.bounds import bounded


@dataclass(frozen=True)
class PhotoConsistencyConfig:
    """How the pictures of one surface in two views are compared (surface/photo_consistency.py)."""

    smoothing: float = bounded(1.2, 0.3, 20.0)
    """Sigma of the Gaussian over pictures, pixels: less than a typical displacement, more than the noise's grain. Set
    by hand."""
    shading_sigma: float = bounded(6.0, 1.0, 200.0)
    """Sigma of the Gaussian whose mean is taken off, pixels: texture is finer, shading coarser. Set by hand."""
    min_gradient: float = bounded(2.0, 0.1, 100.0)
    """Least gradient of texture, grey levels per pixel: rounding to grey levels must stay below it. Set by hand."""
    max_level: float = bounded(250.0, 1.0, 255.0)
    """Brighter pixels are not compared, grey levels: they may be saturated, which no gain undoes. Set by hand."""
    noise_ratio: float = bounded(3.0, 0.0, 100.0)
    """Least gradient of texture relative to the noise that is measured in the pictures, per pixel. Set by hand: noise
    then makes less than a third of a pixel."""
    outline_margin: float = bounded(3.0, 0.0, 100.0)
    """Pixels nearer to an outline than this are not compared: the background is in them. Set by hand: twice the sigma
    of an image's own blur and of `smoothing`."""
    min_cosine: float = bounded(0.25, 0.01, 0.99)
    """A surface seen at a smaller cosine between ray and normal is not compared: it is smeared. Set by hand."""
    occlusion_tolerance: float = bounded(0.01, 1e-4, 0.5)
    """A point is hidden where the other view's surface lies nearer than it by more than this share of its depth. Set
    by hand: depth between pixels varies by less."""
    max_displacement: float = bounded(20.0, 0.1, 1000.0)
    """Displacements count for no more than this, millimetres: beyond it the pictures show other things. Set by
    hand."""
    min_pixels: int = bounded(100, 1, 1000000)
    """So many textured pixels are needed to measure anything. Set by hand."""
