"""The plane-sweep cost volume of a few posed crops, bounded by their visual hull; nothing in it is learned.

For each pixel ray of a reference view: the near and far z-depth of the visual hull (`hull_intervals`), and the
photometric cost of depth hypotheses in between (`plane_sweep_cost_volume`; Collins, "A Space-Sweep Approach to True
Multi-Image Matching", CVPR 1996): each hypothesis is warped into the source views by projection onto its epipolar
lines, and colours are compared there. Both are inputs of the network and computed from the crops themselves, so
training and inference see the same.

All in one unit cube [-1, 1]^3 per scene; z-depths in the cube's unit.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from mvgamba_ros.geometry.torch_rays import means, pixel_rays
from mvgamba_ros.kernels.epipolar import photometric_cost, silhouette_interval
from mvgamba_ros.kernels.ray_types import EpipolarRays
from mvgamba_ros.model.raygamba_config import RayGambaConfig
from mvgamba_ros.rendering.crops import CropBatch, projector


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


def hull_intervals(batch: CropBatch, config: RayGambaConfig) -> Intervals:
    """The visual hull along every object ray of ``config.grid``: it is sampled at ``config.hull_steps`` depths through
    the cube, and kept where all silhouettes agree.

    The crossing is interpolated between steps from the soft silhouettes, so it is finer than the step. Without
    ``config.bins_in_hull`` rays that meet the hull get the cube's near and far instead, for ablations. A ray inside its
    own silhouette that no other view confirms is not valid.
    """
    _, V, S = batch.alpha.shape[:3]
    grid = config.grid
    origins, directions = pixel_rays(batch.K, batch.T_cube_camera, grid, S)
    own = means(batch.alpha, grid)
    M, o = projector(batch)
    pick = own > 0.5
    at, counts = pick.flatten().nonzero()[:, 0], _per_view(pick)
    floors, found = batch.floor.tolist(), []
    for i, d in enumerate(directions.flatten(0, 3).index_select(0, at).split(counts)):
        b, v = divmod(i, V)
        origin = origins[b, v]
        slab = torch.stack([(-1 - origin) / d, (1 - origin) / d])
        begins = slab.amin(0).amax(-1).clamp(min=1e-3)
        ends = torch.maximum(slab.amax(0).amin(-1), begins)
        rays = EpipolarRays(v, M[b], o[b], origin, d)
        enters, leaves = silhouette_interval(
            rays, batch.alpha[b], floors[b], config.floor_softness, begins, ends, config.hull_steps
        )
        if not config.bins_in_hull:
            hit = leaves > enters
            enters, leaves = torch.where(hit, begins, 0), torch.where(hit, ends, 0)
        found.append(torch.stack([enters, leaves]))
    near, far = (own.new_zeros(own.numel()).index_copy_(0, at, x).view_as(own) for x in torch.cat(found, 1))
    return Intervals(near, far, far > near, origins, directions)


def plane_sweep_cost_volume(batch: CropBatch, rays: Intervals, bins: int) -> Tensor:
    """Photometric cost of ``bins`` depth hypotheses from near to far, by ray of each reference view.

    -> (B, V, 2 * bins, G, G): mean and least absolute difference of the source views' colours from the reference
    ray's, in [0, 1]; 1 where no source view shows the point, 0 on rays off the object. The least one survives
    occlusion in all but one view.
    """
    B, V, G, _ = rays.near.shape
    cover = means(batch.alpha, G)[:, :, None]
    colors = torch.cat([means(batch.rgb, G), cover], 2).permute(0, 1, 3, 4, 2).contiguous()  # (B, V, G, G, 4)
    M, o = projector(batch)
    at, counts = rays.valid.flatten().nonzero()[:, 0], _per_view(rays.valid)
    every = (x.flatten(0, 3).index_select(0, at) for x in (rays.directions, rays.near, rays.far, colors[..., :3]))
    costs = []
    for i, (directions, near, far, reference) in enumerate(zip(*(x.split(counts) for x in every), strict=True)):
        b, v = divmod(i, V)
        epipolar_rays = EpipolarRays(v, M[b], o[b], rays.origins[b, v], directions)
        costs.append(photometric_cost(epipolar_rays, colors[b], near, far, reference, bins).flatten(1))
    # a ray's values lie next to each other
    out = rays.near.new_zeros(B * V * G * G, 2 * bins).index_copy_(0, at, torch.cat(costs))
    return out.view(B, V, G, G, 2 * bins).permute(0, 1, 4, 2, 3)


def _per_view(pick: Tensor) -> list[int]:
    """How many of each view's rays ``pick`` (B, V, G, G) takes: B * V numbers, which the CPU waits for once."""
    counts: list[int] = pick.flatten(0, 1).flatten(1).sum(1).tolist()
    return counts


def view_ranks(rays: Intervals) -> Tensor:
    """Each view's place in the sequence, (B, V): the view whose hull interval is tightest first, then each time the
    nearest remaining view by direction, so that the result does not depend on the order in which views arrive.

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
