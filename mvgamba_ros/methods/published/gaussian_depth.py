"""Depth maps rendered from Gaussians, from many sides."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.spatial import cKDTree

from mvgamba_ros.config.gaussian_meshing_config import GaussianMeshingConfig
from mvgamba_ros.geometry.distance_field import DistanceField
from mvgamba_ros.geometry.se3 import inverse, look_at
from mvgamba_ros.geometry.torch_rays import CPU, to_device
from mvgamba_ros.rendering.splats import render_gaussians
from mvgamba_ros.surface.depth_maps import DepthMaps
from mvgamba_ros.types import F64, Gaussians, View


def virtual_poses(
    hull: DistanceField, views: Sequence[View], above: bool, config: GaussianMeshingConfig = GaussianMeshingConfig()
) -> F64:
    """``T_world_camera`` (len(views) + config.virtual_views, 4, 4): in the directions of the views, then spread evenly
    over a sphere.

    All cameras point at the hull's centre from the same distance. ``above``: only the part of the sphere above the
    object. Nothing of an object on a support is seen from below, and Gaussians seen from behind would show its inside.
    """
    extra = config.virtual_views
    low, high = hull.bounds()
    centre, radius = (low + high) / 2, float(np.linalg.norm(high - low)) / 2
    toward_views = [view.T_world_camera[:3, 3] - centre for view in views]
    z = 1 - (np.arange(extra) + 0.5) / max(extra, 1) * (1 - config.min_elevation_sine if above else 2)
    angle = np.arange(extra) * np.pi * (3 - np.sqrt(5))  # the golden angle: a Fibonacci sphere
    r = np.sqrt(1 - z**2)
    directions = [*toward_views, *np.stack([r * np.cos(angle), r * np.sin(angle), z], 1)]
    return np.stack(
        [look_at(centre + config.camera_distance * radius * d / np.linalg.norm(d), centre) for d in directions]
    )


def surface_splats(gaussians: Gaussians, config: GaussianMeshingConfig = GaussianMeshingConfig()) -> Gaussians:
    """The same centres as a surface: no wider than ``config.cover`` allows, and solid or not there.

    A ray meets a soft Gaussian before its centre, by up to its own size at a slant, which suits images better than
    depth.
    """
    opaque = gaussians.opacities > config.min_opacity
    means = gaussians.means[opaque]
    if len(means) > 4:
        # more than one Gaussian may sit on the very same point: never narrower than a part of the usual spacing
        spacing = torch.from_numpy(cKDTree(means.numpy()).query(means.numpy(), k=[5])[0]).float()
        cover = config.cover * spacing.clamp(min=config.min_spacing * float(spacing.median()))
        scales = torch.minimum(gaussians.scales[opaque], cover)
    else:
        scales = gaussians.scales[opaque]
    solid = (4 * (gaussians.opacities[opaque] - config.min_opacity) + config.min_opacity).clamp(0, 1)
    return Gaussians(means, gaussians.quats[opaque], scales, solid, gaussians.colors[opaque])


def render_depths(
    gaussians: Gaussians,
    hull: DistanceField,
    T_world_camera: F64,
    config: GaussianMeshingConfig = GaussianMeshingConfig(),
    device: torch.device = CPU,
) -> DepthMaps:
    """Depth of ``gaussians`` (world, metres) from poses like `virtual_poses`'s, about one pixel per voxel; rendered on
    ``device``, given and returned on the CPU.

    The median depth, which does not mix what lies in front and behind an edge; the expected depth, which is smooth,
    where the two agree to within ``config.median_agreement``. Infinity where opacity is below ``config.min_opacity``.
    """
    gaussians = surface_splats(gaussians, config)
    low, high = hull.bounds()
    radius = float(np.linalg.norm(high - low)) / 2
    size = int(np.clip(2 * radius / hull.voxel, config.min_map_size, config.max_map_size))
    focal = size / 2 * float(np.sqrt(config.camera_distance**2 - 1)) * config.frame_fill  # of the bounding sphere
    K = np.array([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]])
    Ks = np.repeat(K[None], len(T_world_camera), 0)
    with torch.no_grad():
        poses, cameras = (torch.from_numpy(a.astype(np.float32)).to(device) for a in (inverse(T_world_camera), Ks))
        rendered = render_gaussians(to_device(gaussians, device), poses, cameras, size, size)
    agree = (rendered.depth - rendered.median_depth).abs() < config.median_agreement * hull.voxel
    depth = torch.where(agree, rendered.depth, rendered.median_depth)
    solid = (rendered.alpha > config.min_opacity) & (depth > 0)
    return DepthMaps(torch.where(solid, depth, torch.inf).to(CPU), Ks, T_world_camera)
