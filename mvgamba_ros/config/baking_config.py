"""How a mesh's texture map is baked from the views."""

from __future__ import annotations

from dataclasses import dataclass

from mvgamba_ros.config.bounds import bounded


@dataclass(frozen=True)
class BakingConfig:
    """Size of the texels, and how the views' pictures are put together; which views count as seeing a point is the
    section ``texture``'s."""

    texels_per_pixel: float = bounded(1.25, 0.1, 4.0)
    """Texels along what one pixel of the nearest view shows of the object: the views hold no more detail. Set by
    hand: above 1, as resampling costs sharpness."""
    padding: int = bounded(4, 1, 32)
    """Texels between two charts of the atlas, filled with the nearest chart's colour, so that smaller copies of the
    texture that a renderer makes do not mix charts. Set by hand: enough for a quarter of the size."""
    detail_exponent: float = bounded(24.0, 1.0, 200.0)
    """Detail comes from the views weighted by their sharpness on the surface to this power: nearly from the best one
    alone, as detail of several is never in register, yet without an edge where another view becomes the best. Set by
    hand."""
    tone_exponent: float = bounded(4.0, 0.0, 100.0)
    """The same for what is left without detail, which all views share so that no seam shows. Set by hand, as
    ``texture.cosine_exponent``."""
    tone_blur: float = bounded(0.03, 0.001, 1.0)
    """Detail is what a Gaussian of this standard deviation takes out of a picture, of the object's longer side in it.
    Set by hand."""
    margin: float = bounded(3.0, 0.1, 100.0)
    """Over so many pixels beside an outline, the object's own edges included, a view fades out. Set by hand."""
    max_gain: float = bounded(2.0, 1.0, 10.0)
    """A view's exposure is corrected by at most this factor. Set by hand: a stop."""
    max_sharpness: float = bounded(3.0, 1.0, 100.0)
    """A view counts as blurred against another by at most this factor. Set by hand."""
