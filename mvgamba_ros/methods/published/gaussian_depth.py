"""Gaussians -> depth maps from many sides."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.spatial import cKDTree

from mvgamba_ros.geometry.distance_field import DistanceField
from mvgamba_ros.geometry.se3 import inverse, look_at
from mvgamba_ros.rendering.splats import render_gaussians
from mvgamba_ros.surface.tsdf import DepthMaps
from mvgamba_ros.types import F64, Gaussians, View

DISTANCE = 3.0
"""Virtual cameras stand this many radii of the object from its centre."""
LOWEST_SINE = 0.1
"""No virtual camera looks at an object on a support from less than this sine of elevation above it."""
OPAQUE = 0.5
COVER = 0.4
"""Standard deviation of a Gaussian for depth, over the distance to its fourth neighbour: enough to close the gaps."""
LARGEST_MAP = 192


def virtual_poses(hull: DistanceField, views: Sequence[View], extra: int, above: bool) -> F64:
    """``T_world_camera`` (len(views) + extra, 4, 4): from where the views look, then spread evenly over a sphere.

    All look at the hull's centre from the same distance. ``above``: only the part of the sphere above the object.
    Nothing of an object on a support is seen from below, and Gaussians seen from behind would look like its inside.
    """
    low, high = hull.bounds()
    centre, radius = (low + high) / 2, float(np.linalg.norm(high - low)) / 2
    toward_views = [view.T_world_camera[:3, 3] - centre for view in views]
    z = 1 - (np.arange(extra) + 0.5) / max(extra, 1) * (1 - LOWEST_SINE if above else 2)
    angle = np.arange(extra) * np.pi * (3 - np.sqrt(5))  # the golden angle: a Fibonacci sphere
    r = np.sqrt(1 - z**2)
    directions = [*toward_views, *np.stack([r * np.cos(angle), r * np.sin(angle), z], 1)]
    return np.stack([look_at(centre + DISTANCE * radius * d / np.linalg.norm(d), centre) for d in directions])


def surface_splats(gaussians: Gaussians) -> Gaussians:
    """The same centres as a crisp surface: no wider than closes the gaps between them, and solid or not there.

    A soft Gaussian is met before its centre, by up to its own size at a slanting ray; pictures want that, depth does
    not.
    """
    opaque = gaussians.opacities > OPAQUE
    means = gaussians.means[opaque]
    if len(means) > 4:
        # more than one Gaussian may sit on the very same point: never narrower than a tenth of the usual spacing
        spacing = torch.from_numpy(cKDTree(means.numpy()).query(means.numpy(), k=[5])[0]).float()
        cover = COVER * spacing.clamp(min=0.1 * float(spacing.median()))
        scales = torch.minimum(gaussians.scales[opaque], cover)
    else:
        scales = gaussians.scales[opaque]
    solid = (4 * (gaussians.opacities[opaque] - OPAQUE) + OPAQUE).clamp(0, 1)
    return Gaussians(means, gaussians.quats[opaque], scales, solid, gaussians.colors[opaque])


def render_depths(gaussians: Gaussians, hull: DistanceField, T_world_camera: F64) -> DepthMaps:
    """Depth of ``gaussians`` (world, metres) from poses like `virtual_poses`'s, about one pixel per voxel.

    The expected depth, which is smooth, where the median agrees with it to within half a voxel; else the median, which
    does not mix what lies in front and behind an edge. Infinity where opacity is below a half.
    """
    gaussians = surface_splats(gaussians)
    low, high = hull.bounds()
    radius = float(np.linalg.norm(high - low)) / 2
    size = int(np.clip(2 * radius / hull.voxel, 32, LARGEST_MAP))
    focal = size / 2 * float(np.sqrt(DISTANCE**2 - 1)) * 0.98  # the bounding sphere touches the frame
    K = np.array([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]])
    Ks = np.repeat(K[None], len(T_world_camera), 0)
    with torch.no_grad():
        T_camera_world = torch.from_numpy(inverse(T_world_camera).astype(np.float32))
        seen = render_gaussians(gaussians, T_camera_world, torch.from_numpy(Ks.astype(np.float32)), size, size)
    agree = (seen.depth - seen.median_depth).abs() < hull.voxel / 2
    depth = torch.where(agree, seen.depth, seen.median_depth)
    solid = (seen.alpha > OPAQUE) & (depth > 0)
    return DepthMaps(torch.where(solid, depth, torch.inf), Ks, T_world_camera)
