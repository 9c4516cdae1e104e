"""Gaussians fitted to the views: laid on the mesh, then moved by gradient descent through the rasteriser.

A few steps of 3D Gaussian Splatting's optimisation (Kerbl et al., SIGGRAPH 2023) from Gaussians that lie on the surface
(`splats.from_mesh`) and are held near it. Only their centres and sizes are learned: their colours are the images'
already, and a few views teach colours and opacities nothing that other views would see too: on held-out objects new
views only got worse by it. The silhouettes' IoU is watched: what is returned is the best state on the way whose IoU is
not below that of the network's own Gaussians.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from mvgamba_ros.config.splats_config import SplatConfig
from mvgamba_ros.config.texture_config import TextureConfig
from mvgamba_ros.errors import stop_if
from mvgamba_ros.geometry.distance_field import DistanceField
from mvgamba_ros.geometry.occlusion import is_covered
from mvgamba_ros.geometry.torch_rays import CPU, to_device
from mvgamba_ros.geometry.unit_cube import UnitCube, fit
from mvgamba_ros.kernels.rasterize import Rendered
from mvgamba_ros.metrics.image import mean_mask_iou
from mvgamba_ros.rendering.crops import CropBatch, known_pixels, make_crops
from mvgamba_ros.rendering.splats import render_gaussians
from mvgamba_ros.splats.from_mesh import gaussians_on_mesh
from mvgamba_ros.types import Cancelled, Gaussians, Mesh, Progress, View


def fit_gaussians(
    gaussians: Gaussians,
    mesh: Mesh,
    views: Sequence[View],
    hull: DistanceField,
    config: SplatConfig = SplatConfig(),
    texture: TextureConfig = TextureConfig(),
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
    device: torch.device = CPU,
) -> Gaussians:
    """The surface ``mesh``, which the network's ``gaussians`` were integrated to, as Gaussians fitted to ``views``
    (undistorted, with masks), where they are not hidden; all in the world frame, metres. ``hull``: the visual hull.

    Returns the state of least loss among those whose mean silhouette IoU in these views is at least that of
    ``gaussians``; these themselves if there is no such state. All Gaussians come and go on the CPU; the steps run on
    ``device``, and two numbers come back from each. ``cancelled`` is polled at every step: CANCELLED. Raises
    EMPTY_SILHOUETTE for a view without one.
    """
    cube = fit(*hull.bounds())
    crops = to_device(make_crops(views, cube, config.crop_size, config.crop_margin), device)
    covered = any(map(is_covered, views))
    known = known_pixels(views, config.crop_size, config.crop_margin).to(device) if covered else None
    initial = to_device(cube.to_unit(gaussians_on_mesh(mesh, views, config, texture)), device)
    hull_distance = _HullDistance(hull, cube, device)
    means, scales = initial.means.clone().requires_grad_(), initial.scales.log().requires_grad_()
    optimisers = (
        _Adam(means, config.means_rate, config.adam_betas),
        _Adam(scales, config.scales_rate, config.adam_betas),
    )
    threshold = config.silhouette_threshold
    with torch.no_grad():
        given = to_device(cube.to_unit(gaussians), device)
        min_iou = mean_iou(render_crops(given, crops), crops, threshold)
    best, best_loss = None, float("inf")
    for step in range(config.steps + 1):
        stop_if(cancelled)
        state = replace(initial, means=means, scales=scales.exp())
        rendered = render_crops(state, crops)
        loss = _loss(state, initial, rendered, crops, known, hull_distance, config)
        if loss.item() < best_loss and mean_iou(rendered, crops, threshold) >= min_iou:
            best, best_loss = replace(state, means=means.detach().clone(), scales=state.scales.detach()), loss.item()
        if step == config.steps:
            break
        loss.backward()
        for optimiser in optimisers:
            optimiser.step()
        if progress is not None:
            progress("refine", (step + 1) / config.steps)
    return gaussians if best is None else cube.from_unit(to_device(best, CPU))


def silhouette_iou(
    gaussians: Gaussians, views: Sequence[View], hull: DistanceField, config: SplatConfig = SplatConfig()
) -> float:
    """Mean over ``views`` of the IoU between their masks and where ``gaussians`` (world, metres) are opaque."""
    cube = fit(*hull.bounds())
    crops = make_crops(views, cube, config.crop_size, config.crop_margin)
    with torch.no_grad():
        return mean_iou(render_crops(cube.to_unit(gaussians), crops), crops, config.silhouette_threshold)


def render_crops(gaussians: Gaussians, crops: CropBatch) -> Rendered:
    """``gaussians`` in the unit cube, on white, into the first scene's crops."""
    size = crops.alpha.shape[-1]
    return render_gaussians(gaussians, torch.linalg.inv(crops.T_cube_camera[0]), crops.K[0], size, size)


def mean_iou(rendered: Rendered, crops: CropBatch, threshold: float) -> float:
    """Mean over the crops of the IoU between silhouettes and opacity, each above ``threshold``."""
    return mean_mask_iou(rendered.alpha > threshold, crops.alpha[0] > threshold)


def _loss(
    state: Gaussians,
    initial: Gaussians,
    rendered: Rendered,
    crops: CropBatch,
    known: Tensor | None,
    hull: _HullDistance,
    config: SplatConfig,
) -> Tensor:
    image = crops.rgb[0].permute(0, 2, 3, 1)
    # per pixel of the object, so that a loose crop does not weaken colour and mask against the other terms
    area = crops.alpha[0].mean()
    color_errors, mask_errors = (rendered.color - image).abs(), (rendered.alpha - crops.alpha[0]).square()
    if known is not None:  # what another thing covers says nothing
        color_errors, mask_errors = color_errors * known[..., None], mask_errors * known
    color, mask = color_errors.mean() / area, mask_errors.mean() / area
    drift = (state.means - initial.means).square().sum(-1).mean()
    outside = hull.outside(state.means).square().mean()
    return (
        config.color_weight * color
        + config.mask_weight * mask
        + config.anchor_weight * drift
        + config.hull_weight * outside
    )


class _Adam:
    """Kingma and Ba, 2015, for one leaf. torch's own imports its compiler at the first step, which takes a second."""

    EPSILON = 1e-12

    def __init__(self, leaf: Tensor, rate: float, betas: tuple[float, float]) -> None:
        self.leaf, self.rate, self.betas, self.steps = leaf, rate, betas, 0
        self.first, self.second = torch.zeros_like(leaf), torch.zeros_like(leaf)

    def step(self) -> None:
        """One step along the leaf's gradient, which is cleared."""
        gradient, self.leaf.grad = self.leaf.grad, None
        assert gradient is not None
        self.steps += 1
        beta_1, beta_2 = self.betas
        self.first.lerp_(gradient, 1 - beta_1)
        self.second.lerp_(gradient.square(), 1 - beta_2)
        mean = self.first / (1 - beta_1**self.steps)
        deviation = (self.second / (1 - beta_2**self.steps)).sqrt()
        with torch.no_grad():
            self.leaf -= self.rate * mean / (deviation + self.EPSILON)


class _HullDistance:
    """The visual hull's signed distances, sampled differentiably at points of the unit cube."""

    def __init__(self, hull: DistanceField, cube: UnitCube, device: torch.device) -> None:
        self.values = torch.from_numpy(hull.values / cube.half).float()[None, None].to(device)
        size = hull.voxel * (torch.tensor(hull.values.shape, dtype=torch.float64) - 1)
        low = torch.from_numpy(hull.origin - cube.center)
        self.scale = (2 * cube.half / size).float().to(device)
        self.offset = (-2 * low / size - 1).float().to(device)

    def outside(self, points: Tensor) -> Tensor:
        """How far each of points (N, 3) stands out of the hull, in the cube's unit; 0 inside."""
        grid = (points * self.scale + self.offset).flip(-1)[None, None, None]
        distance = F.grid_sample(self.values, grid, padding_mode="border", align_corners=True)[0, 0, 0, 0]
        return (-distance).clamp(min=0)
