"""Convolutions along the positions of every ray."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class AlongRays(nn.Sequential):
    """Layers over rows of positions, (R, N, C) -> (R, C', N); its `nn.Conv1d` run along the positions.

    They run as convolutions of pictures one pixel high whose channels lie next to each other, as they do already:
    `nn.Conv1d` itself takes one order of memory only, and would copy.
    """

    def forward(self, x: Tensor) -> Tensor:
        x = x.transpose(1, 2)[:, :, None]
        for layer in self:
            if isinstance(layer, nn.Conv1d):
                x = F.conv2d(x, layer.weight[:, :, None], layer.bias, padding=(0, int(layer.padding[0])))
            else:
                x = layer(x)
        return x[:, :, 0]
