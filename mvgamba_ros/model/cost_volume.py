"""What the silhouettes and colours of a few posed crops say about depth, before any learning.

For each pixel ray: the near and far depth of the visual hull, and how well the colours of the other views agree at
depths in between (a small plane sweep, Collins 1996, bounded by the hull). Both are inputs of the network and both
are computed from the crops themselves, so training and inference see the same thing.

All in one unit cube [-1, 1]^3 per scene; z-depths in the cube's unit.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from mvgamba_ros.geometry.torch_rays import means, pixel_rays, rows_where
from mvgamba_ros.kernels.ray_types import Sightlines
from mvgamba_ros.kernels.sightlines import photometric_cost, silhouette_interval
from mvgamba_ros.rendering.crops import CropBatch, projector

STEPS = 40
FLOOR_SOFTNESS = 0.02
"""Width of the ramp from below the floor to above it, so that its crossing is interpolated like a silhouette's."""


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


def plane_sweep_cost_volume(batch: CropBatch, rays: Intervals, bins: int) -> Tensor:
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
            agreement = photometric_cost(lines, colors[b], near, far, own, bins)
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
