"""The first look along every ray: which of the bins between the hull's near and far depth holds the surface."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mvgamba_ros.kernels.ray_layers import along_rays
from mvgamba_ros.model.ray_modules import RayLinear, layer, layers


class DepthBinHead(nn.Module):
    """Logits (R, 2, bins) of the first and the last surface over the bins of a ray.

    The same small convolution runs along every ray, so what it learns about a place (do colours agree there, how high
    is it above the floor) serves all bins; the ray's features say what to make of it.
    """

    AT_BIN = 2 + 3 + 1 + 1
    """Inputs of a bin: two agreements, its position, the interval's width, its height above the floor (2 if the floor
    is not known)."""

    def __init__(self, features: int, bins: int, width: int = 16) -> None:
        super().__init__()
        self.ray = nn.Linear(features, width)
        self.direct = nn.Linear(features, 2 * bins)
        self.bin = RayLinear(self.AT_BIN, width)
        self.along = nn.Sequential(
            nn.ReLU(inplace=True),
            nn.Conv1d(width, width, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv1d(width, 2, 3, padding=1),
        )
        # begin as the visual hull: first surface near, last one far
        ramp = torch.linspace(2, -2, bins)
        with torch.no_grad():
            self.direct.bias.copy_(torch.cat([ramp, -ramp]))

    def forward(self, features: Tensor, at_bins: Tensor) -> Tensor:
        """``features`` (R, C) and ``at_bins`` (R, AT_BIN, bins)."""
        direct = self.direct(features).unflatten(-1, (2, -1))
        return direct + along_rays(at_bins, self.ray(features), layer(self.bin), layers(self.along))
