"""How Gaussians of a network as published become a mesh."""

from __future__ import annotations

from dataclasses import dataclass

from mvgamba_ros.config.bounds import bounded


@dataclass(frozen=True)
class GaussianMeshingConfig:
    """How depth is rendered from Gaussians and integrated; the rest of the way is `SurfaceConfig`'s."""

    virtual_views: int = 16
    """Virtual cameras beside those in the directions of the views. Set by hand."""
    camera_distance: float = 3.0
    """Distance of virtual cameras from the object's centre, in its radii. Set by hand."""
    min_elevation_sine: float = 0.1
    """Least sine of the elevation of virtual cameras around an object on a support. Set by hand."""
    min_opacity: float = bounded(0.5, 0, 1)
    """Gaussians and pixels of less opacity count as empty, [0, 1]. Set by hand."""
    cover: float = 0.4
    """Standard deviation of a Gaussian for depth, over the distance to its fourth neighbour: enough to close the gaps.
    Set by hand."""
    min_spacing: float = 0.1
    """Lower bound of that distance, in its median over all: several Gaussians may share one point. Set by hand."""
    min_map_size: int = 32
    """Least side of a rendered depth map, pixels. Set by hand."""
    max_map_size: int = 192
    """Greatest side of a rendered depth map, pixels. Set by hand."""
    frame_fill: float = bounded(0.98, 0, 1)
    """Share of a depth map's side that the object's bounding sphere takes, [0, 1]. Set by hand."""
    median_agreement: float = 0.5
    """Expected depth is used where the median depth agrees to within this, else the median, voxels. Set by hand."""
    truncation: float = 3.0
    """Truncation of the signed distances, voxels. Set by hand."""
    color_neighbours: int = 4
    """Nearest Gaussians whose colours a vertex takes the mean of. Set by hand."""
