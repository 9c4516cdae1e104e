"""Gaussians -> a closed mesh, by TSDF integration of their rendered depths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from scipy.spatial import cKDTree

from mvgamba_ros.config.depth_config import DepthConfig
from mvgamba_ros.config.gaussian_meshing_config import GaussianMeshingConfig
from mvgamba_ros.config.surface_config import SurfaceConfig
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.distance_field import DistanceField
from mvgamba_ros.geometry.torch_rays import CPU
from mvgamba_ros.methods.published.gaussian_depth import render_depths, virtual_poses
from mvgamba_ros.surface.measured_depth import measured_depths
from mvgamba_ros.surface.meshing import field_to_mesh
from mvgamba_ros.surface.tsdf import integrate_depth_maps
from mvgamba_ros.types import F64, U8, Gaussians, Mesh, View


def gaussians_to_mesh(
    gaussians: Gaussians,
    views: Sequence[View],
    hull: DistanceField,
    max_faces: int,
    support_height: float | None = None,
    config: GaussianMeshingConfig = GaussianMeshingConfig(),
    surface: SurfaceConfig = SurfaceConfig(),
    depth: DepthConfig = DepthConfig(),
    device: torch.device = CPU,
) -> Mesh:
    """A watertight mesh of the surface of ``gaussians``, both in the world frame, metres.

    Depths rendered in the directions of ``views`` and from ``config.virtual_views`` more sides are integrated, with
    those that ``views`` measured, into a TSDF on the grid of the visual ``hull`` and bounded by it; see `surface.tsdf`
    and `surface.meshing`. ``support_height``: world z of the plane the object stands on, where the mesh is closed by a
    flat face. Vertices take the colours of the nearest Gaussians. Depths are rendered and integrated on ``device``;
    ``gaussians`` are on the CPU.

    Raises EMPTY_SURFACE where no Gaussian is opaque or nothing of them lies inside the hull.
    """
    if not bool((gaussians.opacities > config.min_opacity).any()):
        raise ReconstructionError(
            ErrorCode.EMPTY_SURFACE, f"none of the {len(gaussians.means)} Gaussians is opaque; check the masks"
        )
    poses = virtual_poses(hull, views, support_height is not None, config)
    depths = measured_depths(views, hull, support_height, depth)
    measured = [found for found in depths if found is not None]
    maps = [render_depths(gaussians, hull, poses, config, device), *measured]
    tsdf = integrate_depth_maps(maps, hull, config.truncation * hull.voxel, config=surface, device=device)
    mesh = field_to_mesh(tsdf, max_faces, support_height, config=surface)
    return replace(mesh, colors=nearest_colors(gaussians, mesh.vertices, config.color_neighbours))


def nearest_colors(gaussians: Gaussians, points: F64, neighbours: int) -> U8:
    """Colours (N, 3) of ``points`` (N, 3): the means of the nearest Gaussians', weighted by opacity and nearness."""
    k = min(neighbours, len(gaussians.means))
    distance, index = cKDTree(gaussians.means.detach().numpy()).query(points, k=range(1, k + 1))
    weight = gaussians.opacities.detach().numpy()[index] / (distance + 1e-6)
    weight = weight / np.maximum(weight.sum(1, keepdims=True), 1e-12)
    colors = np.einsum("nk,nkc->nc", weight, gaussians.colors.detach().numpy()[index])
    return (colors.clip(0, 1) * 255).round().astype(np.uint8)
