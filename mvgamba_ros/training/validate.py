"""Validation on held-out objects, always the same views of them: depth, shape and pictures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from mvgamba_ros.geometry.torch_rays import CPU, to_device
from mvgamba_ros.metrics.image import psnr, ssim
from mvgamba_ros.metrics.shape import shape_errors
from mvgamba_ros.model.raygamba import RayGamba
from mvgamba_ros.model.raygamba_output import RayGambaOutput
from mvgamba_ros.synthesis.shards import Shards
from mvgamba_ros.training.losses import depth_losses, render_targets
from mvgamba_ros.training.sample_batches import Sample, collate, make_sample
from mvgamba_ros.training.train_config import TrainConfig


def validate(
    network: RayGamba, shards: Shards, config: TrainConfig, objects: int = 64, views: int = 4
) -> dict[str, float]:
    """Means over ``objects``: depth errors in mm, chamfer in mm and F@5mm of the Gaussians' centres against the true
    surface, PSNR in dB and SSIM of novel views. The network runs on its device, the rest on the CPU."""
    device = network.norm.weight.device
    exact = replace(config.sampling, augmented=0.0, mirrored=0.0)
    rows: list[dict[str, float]] = []
    for i in range(min(objects, len(shards))):
        rng = np.random.default_rng((10_007, i))
        sample = collate(
            [make_sample(shards[i], views, config.target_views, config.model.size, config.model.grid, exact, rng)]
        )
        with torch.no_grad():
            output = to_device(network(to_device(sample.inputs(), device)), CPU)
            losses = depth_losses(output, sample, config.losses)
            rows.append(
                {
                    "front_mm": float(losses["front"] * sample.half[0] * 1e3),
                    "back_mm": float(losses["back"] * sample.half[0] * 1e3),
                    **shape_scores(output, sample),
                    **output_scores(output, sample),
                }
            )
    return {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}


def shape_scores(output: RayGambaOutput, sample: Sample) -> dict[str, float]:
    """Chamfer distance in millimetres and F-score at 5 mm of the Gaussians' centres of scene 0."""
    half = float(sample.half[0])
    found = output.gaussians(0).means.double().numpy() * half
    truth = sample.points[0].double().numpy() * half
    if not len(found):
        found = np.full((1, 3), np.ptp(truth, axis=0).max())  # a miss costs the object's size
    errors = shape_errors(found, truth)
    return {"chamfer_mm": errors["chamfer_mm"], "f5": errors["F@5mm"]}


def output_scores(output: RayGambaOutput, sample: Sample) -> dict[str, float]:
    """Mean PSNR in dB and SSIM of scene 0's Gaussians, rendered, against its target pictures."""
    pictures = render_targets(output.gaussians(0), sample, 0).color.clamp(0, 1)
    pairs = list(zip(pictures.numpy(), sample.target_rgb[0].numpy(), strict=True))
    return {
        "psnr": float(np.mean([psnr(found, truth) for found, truth in pairs])),
        "ssim": float(np.mean([ssim(found, truth) for found, truth in pairs])),
    }
