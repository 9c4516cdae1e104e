"""The output of the RayGamba network: depths with their uncertainty, and Gaussians."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mvgamba_ros.kernels.rasterize_reference import LOW_PASS
from mvgamba_ros.model.cost_volume import Intervals
from mvgamba_ros.types import Gaussians

GAPPED_VIEWS = 4
"""Up to so many views leave gaps between their Gaussians; chosen by held-out pictures of 2, 4 and 8."""


@dataclass(frozen=True)
class RayGambaOutput:
    """Per ray of the grid, (B, V, G, G, ...) in the unit cube; meaningful where ``rays.valid``.

    ``depth`` (..., 2): z-depth of the first hit and of the last exit; ``sigma`` (..., 2): its distribution's standard
    deviation. ``depth_logits`` (..., 2, bins) of the depth head, over positions from near to far, and their soft-argmax
    ``initial_depth`` (..., 2). ``cascade_logits`` (..., 2, N), ``cascade_half_range`` (..., 2): of the cascade head, as
    in `RefinedDepth`; None without one. ``scales`` (..., 2, 3); ``quats`` (..., 2, 4) wxyz;
    ``opacities`` (..., 2); ``colors`` (..., 2, 3).
    ``K`` (B, V, 3, 3) of the crops.
    """

    rays: Intervals
    depth_logits: Tensor
    initial_depth: Tensor
    depth: Tensor
    sigma: Tensor
    scales: Tensor
    quats: Tensor
    opacities: Tensor
    colors: Tensor
    K: Tensor
    cascade_logits: Tensor | None
    cascade_half_range: Tensor | None

    def errors(self, truth: Tensor) -> Tensor:
        """Absolute error of ``depth`` against z-depth ``truth``, both (B, V, G, G, 2)."""
        return (self.depth - truth).abs()

    def is_finite(self) -> bool:
        """Whether all values on valid rays are finite numbers."""
        values = (self.depth, self.sigma, self.scales, self.quats, self.opacities, self.colors)
        return all(bool(torch.isfinite(value[self.rays.valid]).all()) for value in values)

    def spread(self) -> float:
        """How much the depths of the valid rays differ, as shares of the hull's intervals: the larger standard
        deviation of the two layers."""
        near, far = (x[self.rays.valid][:, None] for x in (self.rays.near, self.rays.far))
        shares = (self.depth[self.rays.valid] - near) / (far - near).clamp(min=1e-6)
        return float(shares.std(dim=0, correction=0).max())

    def gaussians(self, scene: int = 0, blurred: bool = False) -> Gaussians:
        """All Gaussians of one scene on valid rays, front layer first, in the unit cube.

        ``blurred``: with the low-pass of the pictures that they were trained in, whose pixels were about as wide as the
        crops'. Without it finer pictures show gaps between them (Yu et al., "Mip-Splatting", 2024). Of many views less
        of it: their Gaussians fill each other's gaps.
        """
        rays, pick = self.rays, self.rays.valid[scene]
        origins = rays.origins[scene, :, None, None].expand(*pick.shape, 3)[pick]
        means = origins[:, None] + self.depth[scene][pick][..., None] * rays.directions[scene][pick][:, None]

        scales = self.scales[scene][pick]
        if blurred:
            focal = self.K[scene, :, 0, 0, None, None].expand(pick.shape)[pick]
            pixel = self.depth[scene][pick] / focal[:, None]
            low_pass = LOW_PASS * min(1.0, GAPPED_VIEWS / len(pick))
            scales = (scales.square() + low_pass * pixel.square()[..., None]).sqrt()

        def layers(x: Tensor) -> Tensor:
            return x.transpose(0, 1).flatten(0, 1)

        return Gaussians(
            layers(means),
            layers(self.quats[scene][pick]),
            layers(scales),
            layers(self.opacities[scene][pick]),
            layers(self.colors[scene][pick]),
        )


def on_grid(rows: Tensor, picked: Tensor, rays: Intervals) -> Tensor:
    """``rows`` (R, ...) of the rays ``picked`` (R,) of all (B * V * G * G) -> (B, V, G, G, ...), zero elsewhere."""
    every = rows.new_zeros(rays.near.numel(), *rows.shape[1:]).index_copy_(0, picked, rows)
    return every.unflatten(0, rays.near.shape)
