"""The ablation's network without rays: Gaussians anywhere in the cube, as MVGamba's are."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor, nn

from mvgamba_ros.model.cost_volume import Intervals
from mvgamba_ros.model.raygamba import RayGamba, RayGambaConfig
from mvgamba_ros.model.raygamba_output import RayGambaOutput, on_grid
from mvgamba_ros.rendering.crops import CropBatch
from mvgamba_ros.training.loop import Trainer
from mvgamba_ros.types import Gaussians


@dataclass(frozen=True)
class FreeOutput(RayGambaOutput):
    """``positions`` (B, V, G, G, 2, 3) in the unit cube."""

    positions: Tensor

    def errors(self, truth: Tensor) -> Tensor:
        """Distances to the points at z-depth ``truth`` (B, V, G, G, 2) on the rays."""
        on_ray = self.rays.origins[:, :, None, None, None] + truth[..., None] * self.rays.directions[..., None, :]
        return (self.positions - on_ray).square().sum(-1).clamp(min=1e-12).sqrt()

    def gaussians(self, scene: int = 0, blurred: bool = False) -> Gaussians:
        pick = self.rays.valid[scene]
        means = self.positions[scene][pick].transpose(0, 1).flatten(0, 1)
        return replace(super().gaussians(scene, blurred), means=means)


class FreePositions(RayGamba):
    """Each coordinate is the expectation over bins between -1 and 1 (MVGamba, Yi et al. 2024, section 3.3)."""

    def __init__(self, config: RayGambaConfig) -> None:
        super().__init__(config)
        self.position_head = nn.Linear(3 * config.skip, 2 * 3 * config.bins)

    def _decode(
        self, features: Tensor, agreement: Tensor, picked: Tensor, batch: CropBatch, rays: Intervals
    ) -> FreeOutput:
        tied = super()._decode(features, agreement, picked, batch, rays)
        bins = self.config.bins
        centres = (torch.arange(bins, device=features.device) + 0.5) * (2 / bins) - 1
        p = self.position_head(features).float().unflatten(-1, (2, 3, bins)).softmax(-1)
        values: dict[str, Any] = {f.name: getattr(tied, f.name) for f in fields(tied)}
        return FreeOutput(**values, positions=on_grid((p * centres).sum(-1), picked, rays))


class FreeTrainer(Trainer):
    network_type = FreePositions
