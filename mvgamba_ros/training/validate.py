"""Held-out objects, always the same views of them: how good are depth, shape and pictures?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from scipy.spatial import cKDTree

from mvgamba_ros.kernels.rasterize import rasterize
from mvgamba_ros.model.arm import ArmNetwork, ArmOutput
from mvgamba_ros.training.batch import Sample, collate, make_sample
from mvgamba_ros.training.config import TrainConfig
from mvgamba_ros.training.data.shards import Shards
from mvgamba_ros.training.losses import depth_losses


def validate(
    network: ArmNetwork, shards: Shards, config: TrainConfig, objects: int = 64, views: int = 4
) -> dict[str, float]:
    """Means over ``objects``: depth errors in mm, chamfer in mm and F@5mm of the Gaussians' centres against the true
    surface, PSNR in dB of novel views."""
    exact = replace(config.sampling, augmented=0.0)
    rows: list[dict[str, float]] = []
    grid = config.model.size // config.model.stride
    for i in range(min(objects, len(shards))):
        rng = np.random.default_rng((10_007, i))
        sample = collate([make_sample(shards[i], views, config.target_views, grid, exact, rng)])
        with torch.no_grad():
            output = network(sample.inputs())
            losses = depth_losses(output, sample)
            rows.append(
                {
                    "front_mm": float(losses["front"] * sample.half[0] * 1e3),
                    "back_mm": float(losses["back"] * sample.half[0] * 1e3),
                    **shape_scores(output, sample),
                    "psnr": novel_view_psnr(output, sample),
                }
            )
    return {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}


def shape_scores(output: ArmOutput, sample: Sample) -> dict[str, float]:
    half = float(sample.half[0])
    found = output.gaussians(0).means.numpy() * half
    truth = sample.points[0].numpy() * half
    if not len(found):
        return {"chamfer_mm": float(np.ptp(truth, axis=0).max() * 1e3), "f5": 0.0}
    accuracy, completeness = cKDTree(truth).query(found)[0], cKDTree(found).query(truth)[0]
    precision, recall = (accuracy < 0.005).mean(), (completeness < 0.005).mean()
    return {
        "chamfer_mm": float((accuracy.mean() + completeness.mean()) * 500),
        "f5": float(2 * precision * recall / max(precision + recall, 1e-9)),
    }


def novel_view_psnr(output: ArmOutput, sample: Sample) -> float:
    g = output.gaussians(0)
    size = sample.target_alpha.shape[-1]
    T_camera_cube = torch.linalg.inv(sample.target_T_cube_camera[0])
    picture = rasterize(
        g.means, g.quats, g.scales, g.opacities, g.colors, T_camera_cube, sample.target_K[0], size, size, torch.ones(3)
    ).color
    error = (picture.clamp(0, 1) - sample.target_rgb[0]).square().mean((1, 2, 3)).clamp(min=1e-10)
    return float((-10 * error.log10()).mean())
