"""What the published network is given: colours and Pluecker rays, in the frame of the first camera."""

from __future__ import annotations

from dataclasses import replace

import torch
from scipy.spatial.transform import Rotation
from torch import Tensor
from torch.nn import functional as F

from mvgamba_ros.types import F64, Gaussians

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's, by which the input colours are normalised."""


def first_camera_rotation(T_cube_camera: Tensor) -> Tensor:
    """R (B, 3, 3): ``R @ x`` takes cube points x into the frame that the network works in.

    There the first camera of ``T_cube_camera`` (B, V, 4, 4), OpenCV optical frames, has the rotation that an OpenGL
    camera without one has: x to its right, y up, z from the object towards it, as in the authors' training data and
    for the level ring of their inference. Which way is up in the world is thus unknown to the network.
    """
    axes = torch.diag(T_cube_camera.new_tensor([1.0, -1.0, -1.0]))
    return axes @ T_cube_camera[:, 0, :3, :3].transpose(-1, -2)


def rotated(R: Tensor, T_cube_camera: Tensor) -> Tensor:
    """Poses (B, V, 4, 4) in a frame turned by R (B, 3, 3) about the cube's centre."""
    top = R[:, None] @ T_cube_camera[..., :3, :]
    return torch.cat([top, T_cube_camera[..., 3:, :]], -2)


def turned(R: F64, gaussians: Gaussians) -> Gaussians:
    """``gaussians`` turned by R (3, 3) about the origin."""
    xyzw = gaussians.quats.detach().double().numpy()[:, [1, 2, 3, 0]]
    quats = (Rotation.from_matrix(R) * Rotation.from_quat(xyzw)).as_quat()[:, [3, 0, 1, 2]]
    means = gaussians.means @ torch.from_numpy(R.T.copy()).to(gaussians.means)
    return replace(gaussians, means=means, quats=torch.from_numpy(quats).to(gaussians.quats))


def condition(rgb: Tensor, K: Tensor, T_cube_camera: Tensor) -> Tensor:
    """The network's input (B, V, 9, S, S): normalised colours, then Pluecker rays (o x d, d), d of unit length.

    ``rgb`` (B, V, 3, S, S) in [0, 1] on white; ``K`` (B, V, 3, 3) pixels, centres at +0.5; ``T_cube_camera``
    (B, V, 4, 4) OpenCV optical frames in the unit cube. The authors trained at radius 1.5, fov 49.1 degrees.
    """
    size = rgb.shape[-1]
    centres = torch.arange(size, dtype=rgb.dtype, device=rgb.device) + 0.5
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    fx, fy, cx, cy = (K[..., i, j, None, None] for i, j in ((0, 0), (1, 1), (0, 2), (1, 2)))
    in_camera = torch.stack(torch.broadcast_tensors((x - cx) / fx, (y - cy) / fy, torch.ones_like(x)), -1)
    directions = F.normalize(torch.einsum("bvij,bvyxj->bvyxi", T_cube_camera[..., :3, :3], in_camera), dim=-1)
    origins = T_cube_camera[..., None, None, :3, 3].expand_as(directions)
    rays = torch.cat([torch.linalg.cross(origins, directions), directions], -1).movedim(-1, 2)
    mean, std = (rgb.new_tensor(v)[:, None, None] for v in (MEAN, STD))
    return torch.cat([(rgb - mean) / std, rays], 2)
