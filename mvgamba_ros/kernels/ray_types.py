"""Arguments of the kernels that work along rays: rays with the projections into all views, the source views' pictures
and depth maps, the features sampled there, and the layers that aggregate them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from torch import Tensor

Layer = tuple[Tensor, Tensor]
"""(weight, bias) as torch keeps them: a dense layer's weight is (outputs, inputs), of each position alone; a
convolution's (outputs, inputs, taps), over neighbours along the ray, zero beyond its ends, taps odd."""

COLOR, GREY, ALPHA = slice(0, 3), slice(3, 4), slice(4, 5)
"""Channels of `SourceViews.pictures`."""
DEPTH, SIGMA, VALID = slice(0, 2), slice(2, 4), slice(4, 5)
"""Channels of `SourceViews.depth_maps`; of depth and of sigma, the first hit's and the last exit's."""


class ViewFeature(IntEnum):
    """Columns of `epipolar.sample_source_views`: what one source view observes at a point of a ray of the reference
    view. Mirrored by ``native/epipolar.h``. All but `ALPHA` are 0 where the view's depth map is not valid.

    Signed distances behind a surface are ``tanh(distance / (2 (sigma + min_sigma)))``, positive behind it.
    """

    COLOR_DIFFERENCE = 0
    """Mean absolute difference of red, green and blue from the reference ray's."""
    GREY_DIFFERENCE = 1
    """Absolute difference of locally normalised grey, at most 3, over 3."""
    BEHIND_FIRST_HIT = 2
    """Signed distance behind the first hit of the view's own depth map, and without its sign:"""
    OFF_FIRST_HIT = 3
    BEHIND_LAST_EXIT = 4
    """The same of the last exit."""
    OFF_LAST_EXIT = 5
    FIRST_HIT_CERTAINTY = 6
    """``min_sigma / (sigma + min_sigma)`` of the first hit, in (0, 1]."""
    LAST_EXIT_CERTAINTY = 7
    """The same of the last exit."""
    VALID = 8
    """1 where the view's depth map is valid, else 0."""
    ALPHA = 9
    """The view's silhouette, bilinear."""


NUM_VIEW_FEATURES = len(ViewFeature)


@dataclass(frozen=True)
class EpipolarRays:
    """R rays of the reference view ``view`` and the projections into all V views of the scene; each ray projects to an
    epipolar line in every source view, ``sources``, which are all views but the reference view.

    ``M`` (V, 3, 3) and ``o`` (V, 3) project: ``M x + o`` is the homogeneous image position of a point x, its last entry
    the z-depth, the picture being [-1, 1]^2. ``origin`` (3,) and ``directions`` (R, 3): ``origin + depth * direction``
    is the point at z-depth ``depth`` of the reference view. Lengths in any one unit.
    """

    view: int
    M: Tensor
    o: Tensor
    origin: Tensor
    directions: Tensor

    @property
    def sources(self) -> list[int]:
        return [view for view in range(len(self.M)) if view != self.view]

    def project(self, view: int, depths: Tensor) -> tuple[Tensor, Tensor]:
        """Image positions (R, N, 2) in ``view`` of the points at ``depths`` (R, N), and their z-depths there (R, N)."""
        points = self.origin + depths[..., None] * self.directions[:, None]
        at = points @ self.M[view].T + self.o[view]
        z = at[..., 2].clamp(min=1e-6)
        return at[..., :2] / z[..., None], z


@dataclass(frozen=True)
class SourceViews:
    """Pictures and depth maps of all V views of a scene, the reference view's included, which is not sampled.

    ``pictures`` (V, S, S, 5): red, green, blue, locally normalised grey, silhouette (`COLOR`, `GREY`, `ALPHA`).
    ``depth_maps`` (V, G, G, 5): z-depths of the first hit and the last exit, the standard deviations of both, and 1
    where they are valid (`DEPTH`, `SIGMA`, `VALID`). ``min_sigma`` is added to the standard deviations.
    """

    pictures: Tensor
    depth_maps: Tensor
    min_sigma: float


@dataclass(frozen=True)
class RayMLP:
    """A small network along rays, run in float32; a ReLU between its layers.

    ``view_layers``: dense ones over the `NUM_VIEW_FEATURES` features of each source view, a ReLU after each; mean and
    maximum over the views are pooled. ``position_layer``: a dense one over the features of a position (the pooled ones
    first, where there are view layers); the ray's own features are added to its outputs. ``convolutions``: along the
    ray's positions, a ReLU before each.
    """

    position_layer: Layer
    convolutions: tuple[Layer, ...]
    view_layers: tuple[Layer, ...] = ()

    @property
    def along(self) -> tuple[Layer, ...]:
        """The layers after pooling, in order."""
        return (self.position_layer, *self.convolutions)
