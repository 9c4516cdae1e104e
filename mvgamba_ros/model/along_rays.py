"""What is done along the positions of every ray: convolutions, and the choice among them."""

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


def at_positions(of_rays: Tensor, positions: int) -> Tensor:
    """(R, C) -> (R, positions, C), each ray's at each of its positions. As a copy: added to something as a broadcast
    view, whose runs are one ray's channels long, it costs many times as much."""
    return of_rays.repeat_interleave(positions, 0).unflatten(0, (-1, positions))


def mean_and_spread(logits: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation, (...) each, of ``places`` (N,), each as likely as ``logits`` (..., N) say."""
    p = logits.softmax(-1)
    mean = (p * places).sum(-1)
    variance = (p * (places - mean[..., None]).square()).sum(-1)
    return mean, variance.clamp(min=1e-12).sqrt()
