"""How Gaussians of a network as published become a mesh."""

from __future__ import annotations

from dataclasses import dataclass

from mvgamba_ros.config.bounds import bounded


@dataclass(frozen=True)
class GaussianMeshingConfig:
    """How depth is rendered from Gaussians and integrated; the rest of the way is `SurfaceConfig`'s."""

    virtual_views: int = bounded(16, 1, 1000)
    """Virtual cameras beside those in the directions of the views. Set by hand."""
    camera_distance: float = bounded(3.0, 1.1, 100)
    """Distance of virtual cameras from the object's centre, in its radii. Set by hand."""
    min_elevation_sine: float = bounded(0.1, 0, 0.99)
    """Least sine of the elevation of virtual cameras around an object on a support. Set by hand."""
    min_opacity: float = bounded(0.5, 0, 1)
    """Gaussians and pixels of less opacity count as empty, [0, 1]. Set by hand."""
    cover: float = bounded(10.0, 0.01, 10)
    """Greatest standard deviation of a Gaussian for depth, over the distance to its fourth neighbour. 10: Gaussians as
    they are, as in the authors' code; 0.4 is enough to close the gaps and makes a crisper surface."""
    min_spacing: float = bounded(0.1, 0.001, 10)
    """Lower bound of a Gaussian's distance to its fourth neighbour, in the median of that distance over all: several
    Gaussians may share one point. Set by hand."""
    min_map_size: int = bounded(32, 8, 4096)
    """Least side of a rendered depth map, pixels. Set by hand."""
    max_map_size: int = bounded(192, 8, 4096)
    """Greatest side of a rendered depth map, pixels. Set by hand."""
    frame_fill: float = bounded(0.98, 0, 1)
    """Share of a depth map's side that the object's bounding sphere takes, [0, 1]. Set by hand."""
    median_agreement: float = bounded(0.0, 0, 100)
    """Expected depth is used where the median depth agrees to within this, else the median, voxels. 0: the median
    alone, as in the authors' code."""
    truncation: float = bounded(3.0, 1, 100)
    """Truncation of the signed distances, voxels. Set by hand."""
    color_neighbours: int = bounded(4, 1, 64)
    """Nearest Gaussians whose colours a vertex takes the mean of. Set by hand."""
