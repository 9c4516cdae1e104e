"""Losses: true depths along the rays, and true pictures of novel views.

The published losses are colour, silhouette, LPIPS and an opacity regulariser on rendered novel views (MVGamba,
section 3.4).
A small budget needs the depth terms as well: the mesh is known, so every ray's depths are.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from mvgamba_ros.kernels.rasterize import Rendered
from mvgamba_ros.model.raygamba_output import RayGambaOutput
from mvgamba_ros.rendering.splats import render_gaussians
from mvgamba_ros.training.perceptual import perceptual_loss
from mvgamba_ros.training.sample_batches import Sample
from mvgamba_ros.types import Gaussians


@dataclass(frozen=True)
class LossWeights:
    """Factor of each term; `depth_losses` and `render_losses` define them. MVGamba's where it has the term, the others
    by short runs on held-out objects."""

    bins: float = 0.5
    """Cross-entropy of the depth head's bins."""
    front: float = 5.0
    """Absolute error of the first hit's depth, cube units."""
    back: float = 5.0
    """The same of the last exit."""
    color: float = 1.0
    """Squared error of rendered colours, as published."""
    mask: float = 1.0
    """Squared error of rendered silhouettes, as published."""
    perceptual: float = 0.6
    """LPIPS or 1 - SSIM of rendered pictures, as published."""
    rendered_depth: float = 1.0
    """Absolute error of rendered depth, cube units."""
    opacity: float = 0.01
    """Mean of o (1 - o) over opacities o."""
    initial_depth: float = 5.0
    """Absolute error of the depth head's depths, where a cascade head refines them."""
    cascade: float = 0.5
    """Cross-entropy of the cascade head's hypotheses."""
    cascade_range: float = 3.0
    """No term of its own: that cross-entropy counts in proportion to the half range of the hypotheses, cube units,
    times this, at most fully: a narrow range leaves little to decide."""


def depth_losses(output: RayGambaOutput, sample: Sample, weights: LossWeights) -> dict[str, Tensor]:
    """``bins``: cross-entropy of the depth head's bins; ``front``, ``back``: absolute error of the depths in cube
    units. With a cascade head also ``initial_depth``, the absolute error of the depth head's depths, and ``cascade``,
    cross-entropy of the cascade's hypotheses, over rays whose truth lies within them. Over rays of known truth.

    Of ``weights`` only ``cascade_range`` is applied here; `total` applies the factors.
    """
    rays = output.rays
    truth = torch.stack([sample.front, sample.back], -1)
    known = rays.valid[..., None] & torch.isfinite(truth)
    truth = truth.nan_to_num(0)
    interval = (rays.far - rays.near)[..., None].clamp(min=1e-6)
    # a thin interval leaves nothing to decide: weigh the choice by the interval
    entropy, _ = _two_hot(output.depth_logits, (truth - rays.near[..., None]) / interval)
    losses = {"bins": _mean(entropy, known * interval.clamp(max=1))}
    error = output.errors(truth)
    losses |= {"front": _mean(error[..., 0], known[..., 0]), "back": _mean(error[..., 1], known[..., 1])}
    if output.cascade_logits is not None and output.cascade_half_range is not None:
        losses["initial_depth"] = _mean((output.initial_depth - truth).abs(), known)
        half_range = output.cascade_half_range.clamp(min=1e-6)
        low = output.initial_depth.detach() - half_range
        entropy, within = _two_hot(output.cascade_logits, (truth - low) / (2 * half_range))
        losses["cascade"] = _mean(entropy, (known & within) * (weights.cascade_range * half_range).clamp(max=1))
    return losses


def _two_hot(logits: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy of ``logits`` (..., N) against the two positions around ``place`` (...), which is in [0, 1] from
    the first to the last, weighted linearly (a two-hot target keeps the mean exact); and whether it is in there."""
    count = logits.shape[-1]
    position = (place * count - 0.5).clamp(0, count - 1)
    low = position.floor().long().clamp(max=count - 2)
    share = (position - low)[..., None]
    log_p = logits.log_softmax(-1)
    below, above = log_p.gather(-1, low[..., None]), log_p.gather(-1, low[..., None] + 1)
    return -((1 - share) * below + share * above).squeeze(-1), (place >= 0) & (place <= 1)


def _mean(value: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean within each scene, then over scenes: so a batch split over processes gives the same gradient."""
    return ((value * weight).flatten(1).sum(1) / weight.flatten(1).sum(1).clamp(min=1)).mean()


def render_losses(output: RayGambaOutput, sample: Sample, perceptual: str) -> dict[str, Tensor]:
    """Render every scene into its target views on white: squared error of ``color`` and ``mask``, `perceptual_loss`,
    absolute error of ``rendered_depth`` where both are solid, and ``opacity``, the mean of o (1 - o), which
    pushes them to 0 or 1."""
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
    losses["perceptual"] = perceptual_loss(torch.cat(pictures), sample.target_rgb.flatten(0, 1), perceptual)
    return losses


def render_targets(g: Gaussians, sample: Sample, scene: int) -> Rendered:
    """``g`` (unit cube) seen from the target views of one scene, on white."""
    size = sample.target_alpha.shape[-1]
    T_camera_cube = torch.linalg.inv(sample.target_T_cube_camera[scene])
    K = sample.target_K[scene]
    return render_gaussians(g, T_camera_cube, K, size, size)


def total(losses: dict[str, Tensor], weights: object) -> Tensor:
    """The sum of ``losses``, each times the attribute of its name of ``weights``, a scalar."""
    terms = [getattr(weights, name) * value for name, value in losses.items()]
    return torch.stack(terms).sum()
