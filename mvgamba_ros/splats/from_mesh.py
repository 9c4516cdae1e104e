"""Gaussians laid on a mesh: small, flat and painted from the views.

The network's own lie where each of its rays was estimated to end: two layers for every view, which agree to a few
millimetres and blur each other. On the one surface that all of them were integrated to there is nothing to disagree
(as in SuGaR, Guédon and Lepetit, CVPR 2024, which binds Gaussians to a mesh of them).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional as F

from mvgamba_ros.config.splats_config import SplatConfig
from mvgamba_ros.config.texture_config import TextureConfig
from mvgamba_ros.rendering.mesh_raycaster import Raycaster
from mvgamba_ros.rendering.texture import paint, view_weights
from mvgamba_ros.surface.sample import area_vectors, sample_cloud
from mvgamba_ros.types import F64, Gaussians, Mesh, View


def gaussians_on_mesh(
    mesh: Mesh, views: Sequence[View], config: SplatConfig = SplatConfig(), texture: TextureConfig = TextureConfig()
) -> Gaussians:
    """``config.count`` Gaussians spread evenly over ``mesh``, in its frame and unit; where no view observes the
    surface, of the mesh's colours.

    ``views``: undistorted, with masks.
    """
    count = config.count
    cloud = sample_cloud(mesh, count)
    weights = view_weights(cloud.points, cloud.normals, views, Raycaster(mesh), texture)
    colors = paint(cloud.points, weights, views, cloud.colors, texture)
    area = 0.5 * np.linalg.norm(area_vectors(mesh.vertices, mesh.faces), axis=1).sum()
    along = config.sigma_along * float(np.sqrt(area / count))
    return Gaussians(
        torch.from_numpy(cloud.points).float(),
        _upright(cloud.normals),
        torch.tensor([along, along, config.flatness * along]).expand(count, 3).contiguous(),
        torch.full((count,), config.opacity),
        torch.from_numpy(colors).float() / 255,
    )


def _upright(normals: F64) -> torch.Tensor:
    """(N, 4): the shortest turns, wxyz, that take the z axis to unit ``normals`` (N, 3)."""
    x, y, z = torch.from_numpy(normals).float().unbind(1)
    turns = torch.stack([1 + z, -y, x, torch.zeros_like(z)], 1)
    # straight down: half a turn about any level axis
    down = (turns[:, 0] < 1e-4)[:, None]
    return F.normalize(torch.where(down, torch.tensor([0.0, 1, 0, 0]), turns), dim=1)
