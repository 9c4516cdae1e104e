"""Fit Gaussians to the views they came from: a bounded number of descent steps through the rasteriser.

The network has seen each view at a glance; a few dozen steps of 3D Gaussian Splatting's optimisation (Kerbl et al.,
2023), started from its answer and held near it, sharpen colours and outlines. The silhouettes' agreement is watched:
what is answered is the best state on the way that does not fall behind the start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from mvgamba_ros.errors import stop_if
from mvgamba_ros.geometry.hull import VisualHull
from mvgamba_ros.geometry.unit_cube import UnitCube, fit
from mvgamba_ros.kernels.rasterize import Rendered, rasterize
from mvgamba_ros.model.crops import make_crops
from mvgamba_ros.model.interval import CropBatch
from mvgamba_ros.types import Cancelled, Gaussians, Progress, View

STEPS = 16
SIZE = 112
"""Side of the crops in pixels."""
RATES = {"means": 6e-4, "quats": 1e-2, "scales": 3e-2, "opacities": 5e-2, "colors": 0.1}
"""Adam's, in the unit cube; scales are logarithms, opacities and colours logits. Chosen on held-out objects."""
FLOOR, CEILING = 0.004, 0.996
"""Opacities and colours start inside these, where their logits can still move."""


@dataclass(frozen=True)
class RefineWeights:
    """``color``: absolute difference on white; ``mask``: squared difference of opacity and silhouette; ``anchor``: how
    far centres drift from where the network put them; ``hull``: how far they stand out of the visual hull (both
    squared, in the unit cube); ``solid``: mean o (1 - o), since a surface is there or is not."""

    color: float = 1.0
    mask: float = 1.0
    anchor: float = 20.0
    hull: float = 50.0
    solid: float = 0.02


def refine(
    gaussians: Gaussians,
    views: Sequence[View],
    hull: VisualHull,
    steps: int = STEPS,
    weights: RefineWeights | None = None,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
) -> Gaussians:
    """``gaussians`` in the world frame, metres, closer to ``views`` (undistorted, with masks).

    Answers the state of least loss among those whose mean silhouette IoU in these views is at least that of the
    start; the start itself if there is no better. ``cancelled`` is polled at every step: CANCELLED. Raises
    EMPTY_SILHOUETTE for a view without one.
    """
    weights = weights or RefineWeights()
    cube = fit(*hull.bounds())
    crops = make_crops(views, cube, SIZE)
    start = cube.to_unit(gaussians)
    field = _HullField(hull, cube)
    parameters = _to_parameters(start)
    optimiser = torch.optim.Adam(
        [{"params": [parameters[name]], "lr": rate} for name, rate in RATES.items()], eps=1e-12
    )
    with torch.no_grad():
        seen = render_crops(start, crops)
        best, best_loss = gaussians, float(_loss(start, start, seen, crops, field, weights))
        least_iou = mean_iou(seen, crops)
    for step in range(steps + 1):
        if cancelled is not None:
            stop_if(cancelled)
        state = _to_gaussians(parameters)
        seen = render_crops(state, crops)
        loss = _loss(state, start, seen, crops, field, weights)
        if loss.item() < best_loss and mean_iou(seen, crops) >= least_iou:
            best, best_loss = cube.from_unit(_detached(state)), loss.item()
        if step == steps:
            break
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if progress is not None:
            progress("refine", (step + 1) / steps)
    return best


def silhouette_iou(gaussians: Gaussians, views: Sequence[View], hull: VisualHull) -> float:
    """Mean over ``views`` of the IoU between their masks and where ``gaussians`` (world, metres) are opaque."""
    cube = fit(*hull.bounds())
    crops = make_crops(views, cube, SIZE)
    with torch.no_grad():
        return mean_iou(render_crops(cube.to_unit(gaussians), crops), crops)


def render_crops(gaussians: Gaussians, crops: CropBatch) -> Rendered:
    """``gaussians`` in the unit cube, on white, into the first scene's crops."""
    size = crops.alpha.shape[-1]
    return rasterize(
        gaussians.means,
        gaussians.quats,
        gaussians.scales,
        gaussians.opacities,
        gaussians.colors,
        torch.linalg.inv(crops.T_cube_camera[0]),
        crops.K[0],
        size,
        size,
        torch.ones(3),
    )


def mean_iou(seen: Rendered, crops: CropBatch) -> float:
    found, truth = seen.alpha > 0.5, crops.alpha[0] > 0.5
    both, either = (found & truth).flatten(1).sum(1), (found | truth).flatten(1).sum(1)
    return float((both / either.clamp(min=1)).mean())


def _loss(
    state: Gaussians,
    start: Gaussians,
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
    drift = (state.means - start.means).square().sum(-1).mean()
    outside = field.outside(state.means).square().mean()
    solid = (state.opacities * (1 - state.opacities)).mean()
    return (
        weights.color * color
        + weights.mask * mask
        + weights.anchor * drift
        + weights.hull * outside
        + weights.solid * solid
    )


class _HullField:
    """The hull's field, looked up differentiably at points of the unit cube."""

    def __init__(self, hull: VisualHull, cube: UnitCube) -> None:
        self.field = torch.from_numpy(hull.field / cube.half).float()[None, None]
        size = hull.voxel * (torch.tensor(hull.field.shape, dtype=torch.float64) - 1)
        low = torch.from_numpy(hull.origin - cube.center)
        self.scale = (2 * cube.half / size).float()
        self.offset = (-2 * low / size - 1).float()

    def outside(self, points: Tensor) -> Tensor:
        """How far each of points (N, 3) stands out of the hull, in the cube's unit; 0 inside."""
        grid = (points * self.scale + self.offset).flip(-1)[None, None, None]
        value = F.grid_sample(self.field, grid, padding_mode="border", align_corners=True)[0, 0, 0, 0]
        return (-value).clamp(min=0)


def _to_parameters(g: Gaussians) -> dict[str, Tensor]:
    values = {
        "means": g.means,
        "quats": g.quats,
        "scales": g.scales.log(),
        "opacities": g.opacities.clamp(FLOOR, CEILING).logit(),
        "colors": g.colors.clamp(FLOOR, CEILING).logit(),
    }
    return {name: value.detach().clone().requires_grad_() for name, value in values.items()}


def _to_gaussians(p: dict[str, Tensor]) -> Gaussians:
    return Gaussians(
        p["means"], F.normalize(p["quats"], dim=-1), p["scales"].exp(), p["opacities"].sigmoid(), p["colors"].sigmoid()
    )


def _detached(g: Gaussians) -> Gaussians:
    return Gaussians(
        g.means.detach().clone(), g.quats.detach(), g.scales.detach(), g.opacities.detach(), g.colors.detach()
    )
