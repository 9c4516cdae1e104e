"""What the network is asked for: true depths along its rays, and true pictures from elsewhere.

The published losses are colour, silhouette, LPIPS and an opacity regulariser on rendered novel views (MVGamba,
section 3.4).
A small budget needs the depth terms as well: the mesh is known, so every ray's answer is.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from mvgamba_ros.kernels.rasterize import Rendered, rasterize
from mvgamba_ros.model.arm import ArmOutput
from mvgamba_ros.training.batch import Sample
from mvgamba_ros.training.perceptual import perceptual_loss
from mvgamba_ros.types import Gaussians


@dataclass(frozen=True)
class LossWeights:
    bins: float = 0.5
    front: float = 5.0
    back: float = 5.0
    color: float = 1.0
    mask: float = 1.0
    perceptual: float = 0.6
    rendered_depth: float = 1.0
    opacity: float = 0.01


def depth_losses(output: ArmOutput, sample: Sample) -> dict[str, Tensor]:
    """``bins``: cross-entropy against the two bins around the true depth, weighted linearly (a two-hot target keeps
    the mean exact); ``front``, ``back``: absolute error of the mean in cube units. Over rays whose truth is known."""
    rays = output.rays
    truth = torch.stack([sample.front, sample.back], -1)
    known = rays.valid[..., None] & torch.isfinite(truth)
    interval = (rays.far - rays.near)[..., None].clamp(min=1e-6)
    bins = output.depth_logits.shape[-1]
    position = ((truth - rays.near[..., None]) / interval * bins - 0.5).nan_to_num(0).clamp(0, bins - 1)
    low = position.floor().long().clamp(max=bins - 2)
    share = (position - low)[..., None]
    log_p = output.depth_logits.log_softmax(-1)
    entropy = -((1 - share) * log_p.gather(-1, low[..., None]) + share * log_p.gather(-1, low[..., None] + 1)).squeeze(
        -1
    )
    # a thin interval leaves nothing to decide: weigh the choice by what is at stake
    weight = known * interval.clamp(max=1)
    error = output.errors(truth.nan_to_num(0))
    return {
        "bins": _mean(entropy, weight),
        "front": _mean(error[..., 0], known[..., 0]),
        "back": _mean(error[..., 1], known[..., 1]),
    }


def _mean(value: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean within each scene, then over scenes: so a batch split over processes gives the same gradient."""
    return ((value * weight).flatten(1).sum(1) / weight.flatten(1).sum(1).clamp(min=1)).mean()


def render_losses(output: ArmOutput, sample: Sample) -> dict[str, Tensor]:
    """Render every scene into its target views on white: squared error of ``color`` and ``mask``, `perceptual_loss`,
    absolute error of ``rendered_depth`` where both are solid, and ``opacity``, the mean of o (1 - o), which asks for a
    decision."""
    pictures, color, mask, depth, opacity = [], [], [], [], []
    for b in range(len(sample.half)):
        g = output.gaussians(b)
        r = render_targets(g, sample, b)
        pictures.append(r.color)
        color.append(F.mse_loss(r.color, sample.target_rgb[b]))
        mask.append(F.mse_loss(r.alpha, sample.target_alpha[b]))
        solid = torch.isfinite(sample.target_depth[b]) & (r.alpha.detach() > 0.5)
        error = (r.depth - sample.target_depth[b].nan_to_num(0)).abs().clamp(max=0.5)
        depth.append((error * solid).sum() / solid.sum().clamp(min=1))
        # silhouettes disturbed beyond agreement leave a scene without rays, and a mean of nothing is not a number
        opacity.append((g.opacities * (1 - g.opacities)).sum() / max(len(g.opacities), 1))
    means = {"color": color, "mask": mask, "rendered_depth": depth, "opacity": opacity}
    losses = {name: torch.stack(values).mean() for name, values in means.items()}
    losses["perceptual"] = perceptual_loss(torch.cat(pictures), sample.target_rgb.flatten(0, 1))
    return losses


def render_targets(g: Gaussians, sample: Sample, scene: int) -> Rendered:
    """``g`` (unit cube) seen from the target views of one scene, on white."""
    size = sample.target_alpha.shape[-1]
    T_camera_cube = torch.linalg.inv(sample.target_T_cube_camera[scene])
    K = sample.target_K[scene]
    white = g.means.new_ones(3)
    return rasterize(g.means, g.quats, g.scales, g.opacities, g.colors, T_camera_cube, K, size, size, white)


def total(losses: dict[str, Tensor], weights: LossWeights) -> Tensor:
    terms = [getattr(weights, name) * value for name, value in losses.items()]
    return torch.stack(terms).sum()
