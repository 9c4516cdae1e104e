"""Gaussians that look like the views: laid on the mesh, then moved by descent through the rasteriser.

A few steps of 3D Gaussian Splatting's optimisation (Kerbl et al., 2023) from Gaussians that lie on the surface
(`surface.surfels`) and are held near it. Only where they lie and how far they reach is learned: their colours are the
photos' already, and a few views teach colours and opacities nothing that other views would see too: on held-out objects
new pictures only got worse by it. The silhouettes' agreement is watched: what is answered is the best state on the
way that does not fall behind the network's own Gaussians.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from mvgamba_ros.errors import stop_if
from mvgamba_ros.geometry.distance_field import DistanceField
from mvgamba_ros.geometry.unit_cube import UnitCube, fit
from mvgamba_ros.kernels.rasterize import Rendered
from mvgamba_ros.rendering.crops import CropBatch, make_crops
from mvgamba_ros.rendering.splats import render_gaussians
from mvgamba_ros.splats.from_mesh import lay_gaussians
from mvgamba_ros.types import Cancelled, Gaussians, Mesh, Progress, View

STEPS = 12
SIZE = 160
"""Side of the crops in pixels."""
MEANS_RATE, SCALES_RATE = 1.5e-3, 2.5e-2
"""Adam's, in the unit cube; scales are logarithms. Chosen on held-out objects."""


@dataclass(frozen=True)
class RefineWeights:
    """``color``: absolute difference on white; ``mask``: squared difference of opacity and silhouette; ``anchor``: how
    far centres drift from where they were laid; ``hull``: how far they stand out of the visual hull (both squared, in
    the unit cube)."""

    color: float = 1.0
    mask: float = 1.0
    anchor: float = 20.0
    hull: float = 50.0


def refine(
    gaussians: Gaussians,
    mesh: Mesh,
    views: Sequence[View],
    hull: DistanceField,
    steps: int = STEPS,
    weights: RefineWeights | None = None,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
) -> Gaussians:
    """The surface that ``gaussians`` were fused to, ``mesh``, as Gaussians close to ``views`` (undistorted, with
    masks); all in the world frame, metres.

    Answers the state of least loss among those whose mean silhouette IoU in these views is at least that of
    ``gaussians``; these themselves if there is no such state. ``cancelled`` is polled at every step: CANCELLED. Raises
    EMPTY_SILHOUETTE for a view without one.
    """
    weights = weights or RefineWeights()
    cube = fit(*hull.bounds())
    crops = make_crops(views, cube, SIZE)
    laid = cube.to_unit(lay_gaussians(mesh, views))
    field = _HullField(hull, cube)
    means, scales = laid.means.clone().requires_grad_(), laid.scales.log().requires_grad_()
    optimisers = _Adam(means, MEANS_RATE), _Adam(scales, SCALES_RATE)
    with torch.no_grad():
        least_iou = mean_iou(render_crops(cube.to_unit(gaussians), crops), crops)
    best, best_loss = gaussians, float("inf")
    for step in range(steps + 1):
        if cancelled is not None:
            stop_if(cancelled)
        state = replace(laid, means=means, scales=scales.exp())
        seen = render_crops(state, crops)
        loss = _loss(state, laid, seen, crops, field, weights)
        if loss.item() < best_loss and mean_iou(seen, crops) >= least_iou:
            kept = replace(state, means=means.detach().clone(), scales=state.scales.detach())
            best, best_loss = cube.from_unit(kept), loss.item()
        if step == steps:
            break
        loss.backward()
        for optimiser in optimisers:
            optimiser.step()
        if progress is not None:
            progress("refine", (step + 1) / steps)
    return best


def silhouette_iou(gaussians: Gaussians, views: Sequence[View], hull: DistanceField) -> float:
    """Mean over ``views`` of the IoU between their masks and where ``gaussians`` (world, metres) are opaque."""
    cube = fit(*hull.bounds())
    crops = make_crops(views, cube, SIZE)
    with torch.no_grad():
        return mean_iou(render_crops(cube.to_unit(gaussians), crops), crops)


def render_crops(gaussians: Gaussians, crops: CropBatch) -> Rendered:
    """``gaussians`` in the unit cube, on white, into the first scene's crops."""
    size = crops.alpha.shape[-1]
    return render_gaussians(gaussians, torch.linalg.inv(crops.T_cube_camera[0]), crops.K[0], size, size)


def mean_iou(seen: Rendered, crops: CropBatch) -> float:
    found, truth = seen.alpha > 0.5, crops.alpha[0] > 0.5
    both, either = (found & truth).flatten(1).sum(1), (found | truth).flatten(1).sum(1)
    return float((both / either.clamp(min=1)).mean())


def _loss(
    state: Gaussians,
    laid: Gaussians,
    seen: Rendered,
    crops: CropBatch,
    field: _HullField,
    weights: RefineWeights,
) -> Tensor:
    picture = crops.rgb[0].permute(0, 2, 3, 1)
    # per pixel of the object, so that a loose crop does not weaken colour and mask against the other terms
    area = crops.alpha[0].mean()
    color = (seen.color - picture).abs().mean() / area
    mask = (seen.alpha - crops.alpha[0]).square().mean() / area
    drift = (state.means - laid.means).square().sum(-1).mean()
    outside = field.outside(state.means).square().mean()
    return weights.color * color + weights.mask * mask + weights.anchor * drift + weights.hull * outside


class _Adam:
    """Kingma and Ba, 2015, for one leaf. torch's own imports its compiler at the first step, which takes a second."""

    BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-12

    def __init__(self, leaf: Tensor, rate: float) -> None:
        self.leaf, self.rate, self.steps = leaf, rate, 0
        self.first, self.second = torch.zeros_like(leaf), torch.zeros_like(leaf)

    def step(self) -> None:
        """One step along the leaf's gradient, which is cleared."""
        gradient, self.leaf.grad = self.leaf.grad, None
        assert gradient is not None
        self.steps += 1
        self.first.lerp_(gradient, 1 - self.BETA_1)
        self.second.lerp_(gradient.square(), 1 - self.BETA_2)
        mean = self.first / (1 - self.BETA_1**self.steps)
        deviation = (self.second / (1 - self.BETA_2**self.steps)).sqrt()
        with torch.no_grad():
            self.leaf -= self.rate * mean / (deviation + self.EPSILON)


class _HullField:
    """The hull's field, looked up differentiably at points of the unit cube."""

    def __init__(self, hull: DistanceField, cube: UnitCube) -> None:
        self.field = torch.from_numpy(hull.values / cube.half).float()[None, None]
        size = hull.voxel * (torch.tensor(hull.values.shape, dtype=torch.float64) - 1)
        low = torch.from_numpy(hull.origin - cube.center)
        self.scale = (2 * cube.half / size).float()
        self.offset = (-2 * low / size - 1).float()

    def outside(self, points: Tensor) -> Tensor:
        """How far each of points (N, 3) stands out of the hull, in the cube's unit; 0 inside."""
        grid = (points * self.scale + self.offset).flip(-1)[None, None, None]
        value = F.grid_sample(self.field, grid, padding_mode="border", align_corners=True)[0, 0, 0, 0]
        return (-value).clamp(min=0)
