"""The depth head: for every ray, a distribution over depth bins between the visual hull's near and far depth.

Its soft-argmax is the initial depth, which the cascade head (`model.cascade_head`) refines.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mvgamba_ros.kernels.ray_layers import along_rays
from mvgamba_ros.model.ray_modules import RayLinear, ray_mlp


class DepthBinHead(nn.Module):
    """Logits (R, 2, bins) of the first hit and the last exit over the depth bins of a ray.

    The same small convolution runs along every ray, so what it learns about a position (photometric cost, height above
    the floor) serves all bins; the ray's features are added at each.
    """

    AT_BIN = 2 + 3 + 1 + 1
    """Inputs of a bin: mean and least photometric cost, its position (3), the interval's width, its height above the
    floor (2 if the floor is not known)."""

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
        # before any training, the visual hull: first hit near, last exit far
        if not self.direct.bias.is_meta:
            ramp = torch.linspace(2, -2, bins)
            with torch.no_grad():
                self.direct.bias.copy_(torch.cat([ramp, -ramp]))

    def forward(self, features: Tensor, at_bins: Tensor) -> Tensor:
        """``features`` (R, C) of the rays and ``at_bins`` (R, AT_BIN, bins) of their bins."""
        direct = self.direct(features).unflatten(-1, (2, -1))
        return direct + along_rays(at_bins, self.ray(features), ray_mlp(self.bin, self.along))
