"""What the silhouettes and colours of a few posed crops say about depth, before any learning.

For each pixel ray: the near and far depth of the visual hull, and how well the colours of the other views agree at
depths in between (a small plane sweep, Collins 1996, bounded by the hull). Both are inputs of the network and both
are computed from the crops themselves, so training and inference see the same thing.

All in one unit cube [-1, 1]^3 per scene; z-depths in the cube's unit.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import reduce
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from mvgamba_ros.kernels.sightlines import Sightlines, color_agreement, silhouette_interval

STEPS = 40
FLOOR_SOFTNESS = 0.02
"""Width of the ramp from below the floor to above it, so that its crossing is interpolated like a silhouette's."""


@dataclass(frozen=True)
class CropBatch:
    """B scenes of V square object crops. Fields share the leading (B, V).

    ``rgb`` (B, V, 3, S, S) in [0, 1], white off the object; ``alpha`` (B, V, S, S) soft silhouettes in [0, 1];
    ``K`` (B, V, 3, 3) in crop pixels, centres at +0.5; ``T_cube_camera`` (B, V, 4, 4) rigid, OpenCV optical frames.
    ``floor`` (B,): z of the horizontal plane that nothing of the object lies below; -inf where it is not known.
    """

    rgb: Tensor
    alpha: Tensor
    K: Tensor
    T_cube_camera: Tensor
    floor: Tensor


@dataclass(frozen=True)
class Intervals:
    """Per ray of a G x G grid over each crop: the hull's ``near`` and ``far`` z-depth (B, V, G, G), ``valid`` where
    the ray meets the hull, ray ``origins`` (B, V, 3) and ``directions`` (B, V, G, G, 3) with unit optical-axis
    component, so that ``origin + depth * direction`` is the point at that z-depth."""

    near: Tensor
    far: Tensor
    valid: Tensor
    origins: Tensor
    directions: Tensor


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


def projector(batch: CropBatch) -> tuple[Tensor, Tensor]:
    """M (B, V, 3, 3) and o (B, V, 3): ``M x + o`` is the homogeneous image position, the crop being [-1, 1]^2."""
    size = batch.alpha.shape[-1]
    to_unit = torch.tensor(
        [[2 / size, 0, -1], [0, 2 / size, -1], [0, 0, 1]], dtype=batch.K.dtype, device=batch.K.device
    )
    R = batch.T_cube_camera[..., :3, :3].transpose(-1, -2)
    M = to_unit @ batch.K @ R
    return M, -(M @ batch.T_cube_camera[..., :3, 3:]).squeeze(-1)


def means(pictures: Tensor, grid: int) -> Tensor:
    """(..., S, S) -> (..., G, G), the mean of each ray's pixels; G = ``grid`` divides S. As sums of strided pictures:
    torch's pooling takes three times as long."""
    s = pictures.shape[-1] // grid
    return reduce(torch.add, (pictures[..., i::s, j::s] for i in range(s) for j in range(s))) / s**2


def rows_where(pick: Tensor, *grids: Tensor) -> tuple[Tensor, ...]:
    """(P, ...) of each of ``grids`` (*S, ...) where ``pick`` (*S) is True, which is looked up once for all."""
    at = pick.flatten().nonzero()[:, 0]
    return tuple(grid.flatten(0, pick.ndim - 1).index_select(0, at) for grid in grids)


def hull_intervals(batch: CropBatch, grid: int, whole_cube: bool = False) -> Intervals:
    """March every object ray through the cube and keep where all silhouettes agree.

    ``whole_cube``: rays that meet the hull get the cube's near and far instead, to show what the hull's are worth. The
    crossing is interpolated between steps from the soft silhouettes, so it is finer than the step (5 % of the
    cube's side). A ray inside its own silhouette that no other view confirms is not valid.
    """
    _, V, S = batch.alpha.shape[:3]
    origins, directions = pixel_rays(batch.K, batch.T_cube_camera, grid, S)
    own = means(batch.alpha, grid)
    M, o = projector(batch)
    near, far = torch.zeros_like(own), torch.zeros_like(own)
    for b, floor in enumerate(batch.floor.tolist()):
        for v in range(V):
            pick, origin = own[b, v] > 0.5, origins[b, v]
            d = directions[b, v][pick]
            slab = torch.stack([(-1 - origin) / d, (1 - origin) / d])
            begins = slab.amin(0).amax(-1).clamp(min=1e-3)
            ends = torch.maximum(slab.amax(0).amin(-1), begins)
            rays = Sightlines(v, M[b], o[b], origin, d)
            enters, leaves = silhouette_interval(rays, batch.alpha[b], floor, FLOOR_SOFTNESS, begins, ends, STEPS)
            if whole_cube:
                hit = leaves > enters
                enters, leaves = torch.where(hit, begins, 0), torch.where(hit, ends, 0)
            near[b, v][pick], far[b, v][pick] = enters, leaves
    return Intervals(near, far, far > near, origins, directions)


def photo_consistency(batch: CropBatch, rays: Intervals, bins: int) -> Tensor:
    """How much the other views' colours differ from the ray's own at ``bins`` depths from near to far.

    -> (B, V, 2 * bins, G, G): mean and least absolute difference over the other views, in [0, 1]; 1 where no other
    view sees the point, 0 on rays off the object. The least one survives occlusion in all but one view.
    """
    B, V, G, _ = rays.near.shape
    cover = means(batch.alpha, G)[:, :, None]
    colors = torch.cat([means(batch.rgb, G), cover], 2).permute(0, 1, 3, 4, 2).contiguous()  # (B, V, G, G, 4)
    M, o = projector(batch)
    out = torch.zeros(B, V, G, G, 2 * bins, device=rays.near.device)  # a ray's values lie next to each other
    for b in range(B):
        for v in range(V):
            pick = rays.valid[b, v]
            directions, near, far, own = rows_where(
                pick, rays.directions[b, v], rays.near[b, v], rays.far[b, v], colors[b, v, ..., :3]
            )
            lines = Sightlines(v, M[b], o[b], rays.origins[b, v], directions)
            agreement = color_agreement(lines, colors[b], near, far, own, bins)
            out[b, v][pick] = agreement.flatten(1)
    return out.permute(0, 1, 4, 2, 3)


def view_ranks(rays: Intervals) -> Tensor:
    """Each view's place in the sequence, (B, V): the view whose hull interval is tightest first, then each time the
    nearest remaining view by direction, so that the answer does not depend on the order in which views arrive.

    The paper's ablation shows that a misleading first view hurts; the tightest one misleads least.
    """
    width = torch.where(rays.valid, rays.far - rays.near, 0).sum((-1, -2)) / rays.valid.sum((-1, -2)).clamp(min=1)
    width = torch.where(rays.valid.any(-1).any(-1), width, torch.inf)
    axis = F.normalize(rays.origins, dim=-1)
    alike = (axis @ axis.transpose(1, 2)).tolist()
    ranks = []
    for near, first in zip(alike, width.argmin(1).tolist(), strict=True):
        order, left = [first], set(range(len(near))) - {first}
        while left:
            order.append(max(sorted(left), key=near[order[-1]].__getitem__))
            left.remove(order[-1])
        ranks.append([order.index(view) for view in range(len(order))])
    return torch.tensor(ranks, device=width.device)
