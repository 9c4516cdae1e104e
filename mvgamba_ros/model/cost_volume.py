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

from mvgamba_ros.geometry.torch_rays import means, pixel_rays, rows_where
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
    near, far = torch.zeros_like(own), torch.zeros_like(own)
    for b, floor in enumerate(batch.floor.tolist()):
        for v in range(V):
            pick, origin = own[b, v] > 0.5, origins[b, v]
            d = directions[b, v][pick]
            slab = torch.stack([(-1 - origin) / d, (1 - origin) / d])
            begins = slab.amin(0).amax(-1).clamp(min=1e-3)
            ends = torch.maximum(slab.amax(0).amin(-1), begins)
            rays = EpipolarRays(v, M[b], o[b], origin, d)
            enters, leaves = silhouette_interval(
                rays, batch.alpha[b], floor, config.floor_softness, begins, ends, config.hull_steps
            )
            if not config.bins_in_hull:
                hit = leaves > enters
                enters, leaves = torch.where(hit, begins, 0), torch.where(hit, ends, 0)
            near[b, v][pick], far[b, v][pick] = enters, leaves
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
    out = torch.zeros(B, V, G, G, 2 * bins, device=rays.near.device)  # a ray's values lie next to each other
    for b in range(B):
        for v in range(V):
            pick = rays.valid[b, v]
            directions, near, far, reference = rows_where(
                pick, rays.directions[b, v], rays.near[b, v], rays.far[b, v], colors[b, v, ..., :3]
            )
            epipolar_rays = EpipolarRays(v, M[b], o[b], rays.origins[b, v], directions)
            cost = photometric_cost(epipolar_rays, colors[b], near, far, reference, bins)
            out[b, v][pick] = cost.flatten(1)
    return out.permute(0, 1, 4, 2, 3)


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
