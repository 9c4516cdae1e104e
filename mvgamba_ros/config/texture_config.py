"""How a mesh is painted from the views."""

from __future__ import annotations

from dataclasses import dataclass

from mvgamba_ros.config.bounds import bounded


@dataclass(frozen=True)
class TextureConfig:
    """How points of a mesh get their colours from the views, and which views count as seeing them."""

    min_cosine: float = bounded(0.1, 0.0, 1.0)
    """A surface seen at a smaller cosine between ray and normal does not count: its pixels are smeared and its colour
    is the neighbour's. Set by hand."""
    outline_margin: float = bounded(1.5, 0.001, 1000.0)
    """Nearer than this to a silhouette's outline a colour is the background's too and does not count, pixels; from
    twice that on it counts in full. Set by hand."""
    cosine_exponent: float = bounded(4.0, 0, 100)
    """A view's colour is weighted by its cosine to this power: sharply, since the mean of misaligned views is a blur.
    Set by hand."""
    occlusion_tolerance: float = bounded(2e-3, 0.0, 1.0)
    """A point is hidden only by what lies further in front of it than this, of the mesh's longest side. Set by hand:
    its own surface must not hide it."""
    silhouette_margin: int = bounded(1, 0, 100)
    """A view sees only what lies on its silhouette or so many pixels beside it: a mesh's outline is off by about as
    much where it is right. Set by hand."""
