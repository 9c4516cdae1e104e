"""Rays through the pixels of image grids as torch tensors, and values of pictures at them."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import reduce
from typing import Any, TypeVar

import torch
from torch import Tensor

CPU = torch.device("cpu")
Tensors = TypeVar("Tensors")


def to_device(tensors: Tensors, device: torch.device) -> Tensors:
    """A dataclass whose fields are tensors, None or such dataclasses, all of them on ``device``."""

    def move(value: Any) -> Any:
        return value if value is None else value.to(device) if isinstance(value, Tensor) else to_device(value, device)

    return replace(tensors, **{f.name: move(getattr(tensors, f.name)) for f in fields(tensors)})  # type: ignore


def pixel_rays(K: Tensor, T_cube_camera: Tensor, grid: int, size: int) -> tuple[Tensor, Tensor]:
    """Origins (B, V, 3) and directions (B, V, G, G, 3), z = 1 in the camera, through the centres of a G x G grid."""
    stride = size / grid
    centres = (torch.arange(grid, dtype=K.dtype, device=K.device) + 0.5) * stride
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    fx, fy, cx, cy = (K[..., i, j, None, None] for i, j in ((0, 0), (1, 1), (0, 2), (1, 2)))
    camera = torch.stack([(x - cx) / fx, (y - cy) / fy, torch.ones_like(x).expand(*K.shape[:2], grid, grid)], -1)
    directions = torch.einsum("bvij,bvyxj->bvyxi", T_cube_camera[..., :3, :3], camera)
    return T_cube_camera[..., :3, 3], directions


def means(pictures: Tensor, grid: int) -> Tensor:
    """(..., S, S) -> (..., G, G), the mean of each ray's pixels; G = ``grid`` divides S. As sums of strided pictures:
    torch's pooling takes three times as long."""
    s = pictures.shape[-1] // grid
    return reduce(torch.add, (pictures[..., i::s, j::s] for i in range(s) for j in range(s))) / s**2


def rows_where(pick: Tensor, *grids: Tensor) -> tuple[Tensor, ...]:
    """(P, ...) of each of ``grids`` (*S, ...) where ``pick`` (*S) is True, whose indices are found once for all."""
    at = pick.flatten().nonzero()[:, 0]
    return tuple(grid.flatten(0, pick.ndim - 1).index_select(0, at) for grid in grids)
