"""How Gaussians are laid on a mesh and fitted to the views."""

from __future__ import annotations

from dataclasses import dataclass

from mvgamba_ros.config.bounds import bounded


@dataclass(frozen=True)
class SplatConfig:
    """How Gaussians are laid on a mesh and fitted. Losses and rates are those of the unit cube around the hull."""

    # From a mesh (splats/from_mesh.py)
    count: int = bounded(16_000, 1, 1000000)
    """Gaussians laid on the mesh. Set by hand."""
    sigma_along: float = bounded(0.7, 0.001, 100.0)
    """Standard deviation along the surface, in the mean distance between neighbours. Set by hand."""
    flatness: float = bounded(0.15, 0.001, 10.0)
    """Standard deviation across the surface, relative to that along it. Set by hand."""
    opacity: float = bounded(0.9, 0.0, 1.0)
    """Opacity of each, [0, 1]. Set by hand."""

    # Fitting (splats/fit.py)
    steps: int = bounded(24, 0, 10000)
    """Steps of gradient descent. By left-out views of captures and rings 24 bring 0.3 dB over 12, in twice the time."""
    crop_size: int = bounded(160, 16, 4096)
    """Side of the crops that are compared, pixels. Set by hand."""
    means_rate: float = bounded(1.5e-3, 0, 1)
    """Adam's learning rate for the centres. Chosen on held-out objects."""
    scales_rate: float = bounded(2.5e-2, 0, 1)
    """Adam's learning rate for the logarithms of the standard deviations. Chosen on held-out objects."""
    color_weight: float = bounded(1.0, 0, 1000000)
    """Weight of the absolute colour difference on white, per pixel of the object. Set by hand."""
    mask_weight: float = bounded(1.0, 0, 1000000)
    """Weight of the squared difference of opacity and silhouette, per pixel of the object. Set by hand."""
    anchor_weight: float = bounded(20.0, 0, 1000000)
    """Weight of the squared drift of the centres from where they were laid. Set by hand."""
    hull_weight: float = bounded(50.0, 0, 1000000)
    """Weight of the squared distance of the centres out of the visual hull. Set by hand."""
    silhouette_threshold: float = bounded(0.5, 0.0, 1.0)
    """A pixel of a rendered picture is on the silhouette where its opacity is above this, and one of a crop where its
    coverage is, [0, 1]. Set by hand."""
    adam_betas: tuple[float, float] = bounded((0.9, 0.999), 0.0, 0.9999)
    """Adam's decay rates of the gradients' mean and of their squares' mean, [0, 1). Those of Kingma and Ba, 2015."""
    crop_margin: float = bounded(1.15, 1.0, 10.0)
    """Side of a crop over the longer side of its silhouette's bounding box. Set by hand: the shipped network's."""
