"""Gaussians, seen."""

from __future__ import annotations

import numpy as np
import torch

from mvgamba_ros.geometry.se3 import inverse
from mvgamba_ros.kernels.rasterize import rasterize
from mvgamba_ros.types import F32, F64, Bool, Camera, Gaussians


def gaussians_picture(gaussians: Gaussians, camera: Camera, T_world_camera: F64) -> tuple[F32, Bool]:
    """Picture (H, W, 3) in [0, 1] on white and silhouette (H, W) of ``gaussians`` (world frame, metres); ``camera``
    undistorted."""
    with torch.no_grad():
        seen = rasterize(
            gaussians.means,
            gaussians.quats,
            gaussians.scales,
            gaussians.opacities,
            gaussians.colors,
            torch.from_numpy(inverse(T_world_camera).astype(np.float32))[None],
            torch.from_numpy(camera.K.astype(np.float32))[None],
            camera.width,
            camera.height,
            torch.ones(3),
        )
    return seen.color[0].clamp(0, 1).numpy(), seen.alpha[0].numpy() > 0.5
