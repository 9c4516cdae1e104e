"""Rendering 3D Gaussians on white (3D Gaussian Splatting)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mvgamba_ros.geometry.se3 import inverse
from mvgamba_ros.kernels.rasterize import Rendered, rasterize
from mvgamba_ros.types import F32, F64, Bool, Camera, Gaussians


def render_gaussians(gaussians: Gaussians, T_camera_world: Tensor, K: Tensor, width: int, height: int) -> Rendered:
    """`rasterize` of ``gaussians``, in the frame and unit of ``T_camera_world``, on white."""
    return rasterize(
        gaussians.means,
        gaussians.quats,
        gaussians.scales,
        gaussians.opacities,
        gaussians.colors,
        T_camera_world,
        K,
        width,
        height,
        gaussians.means.new_ones(3),
    )


def render_view(gaussians: Gaussians, camera: Camera, T_world_camera: F64) -> tuple[F32, Bool]:
    """Image (H, W, 3) in [0, 1] on white and silhouette (H, W), where they are opaque by more than a half, of
    ``gaussians`` (world frame, metres); ``camera`` undistorted."""
    T_camera_world = torch.from_numpy(inverse(T_world_camera).astype(np.float32))[None]
    K = torch.from_numpy(camera.K.astype(np.float32))[None]
    with torch.no_grad():
        rendered = render_gaussians(gaussians, T_camera_world, K, camera.width, camera.height)
    return rendered.color[0].clamp(0, 1).numpy(), rendered.alpha[0].numpy() > 0.5
