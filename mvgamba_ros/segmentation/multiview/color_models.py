"""Colour models of what is wanted, of other things, and of the rest, learned anew from each guess, as in GrabCut
(Rother et al. 2004), but shared by the views of a region."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

BINS = 16
"""Histogram cells along each of three axes: lightness, red against green, yellow against blue."""
RATIOS = 4
"""Maps of `color_ratios`."""
EXTRA = 4
"""Layers of `contrast_layers`."""
_LEAST = 1.5 / 255
"""Smallest standard deviation that is stretched: below it there is noise."""
_LOCAL = 17
"""Side of the neighbourhood of local contrast, pixels."""
_FLOOR = 0.25
"""Added to each cell's density, in units of an even one: a colour that nobody has seen decides nothing."""
_CLIP = 4.0
"""Log-ratios are clipped to this, and divided by it."""


@torch.no_grad()
def contrast_layers(rgb: Tensor, picture: Tensor, allowed: Tensor, views: int) -> Tensor:
    """Colours as far apart as they can be: a dark thing on a dark table differs by a few grey levels.

    Args:
        rgb: (B * V, 3, S, S), [0, 1].
        picture: (B * V, 1, S, S): whether there is a pixel at all.
        allowed: (B * V, 1, S, S): the region's projection.
        views: V.

    Returns:
        (B * V, EXTRA, S, S), [-1, 1]: lightness, red against green and yellow against blue, less their mean and over
        their standard deviation where the region's views show it; and grey less its neighbourhood's mean over the
        contrast there.
    """
    r, g, b = rgb.unbind(1)
    axes = torch.stack([(r + g + b) / 3, r - g, (r + g) / 2 - b], 1)
    weight = allowed * picture + 1e-6 * picture + 1e-12
    total = weight.unflatten(0, (-1, views)).sum((1, 3, 4), keepdim=True)

    def mean(x: Tensor) -> Tensor:
        summed = (x * weight).unflatten(0, (-1, views)).sum((1, 3, 4), keepdim=True)
        return (summed / total).expand(-1, views, -1, -1, -1).flatten(0, 1)

    apart = axes - mean(axes)
    apart = apart / mean(apart.square()).sqrt().clamp(min=_LEAST)

    number = _box_blur(picture).clamp(min=1e-3)

    def near(x: Tensor) -> Tensor:
        return _box_blur(x * picture) / number

    local = axes[:, :1] - near(axes[:, :1])
    local = local / (near(local.square()).sqrt() + _LEAST)
    return torch.tanh(torch.cat([apart, local], 1) / 1.5) * picture


def _box_blur(x: Tensor) -> Tensor:
    """Means over squares of side `_LOCAL`, of rows and then of columns: a square at once takes ten times as long."""
    half = _LOCAL // 2
    rows = F.avg_pool2d(x, (1, _LOCAL), 1, (0, half))
    return F.avg_pool2d(rows, (_LOCAL, 1), 1, (half, 0))


def color_cells(contrast: Tensor) -> Tensor:
    """(N, S * S) int64 histogram cells of `contrast_layers` (N, EXTRA, S, S)."""
    levels = ((contrast[:, :3] + 1.0) / 2.0 * (BINS - 1e-3)).long()
    return ((levels[:, 0] * BINS + levels[:, 1]) * BINS + levels[:, 2]).flatten(1)


@torch.no_grad()
def color_ratios(shares: Tensor, cells: Tensor, views: int) -> Tensor:
    """How much better each pixel's colour fits what is wanted, and other things, than the rest.

    Args:
        shares: (B * V, 3, S, S): of the rest, of what is wanted, of other things in each pixel, [0, 1]; all 0 where
            there is no picture.
        cells: (B * V, S * S) of `color_cells`.
        views: V.

    Returns:
        (B * V, RATIOS, S, S), [-1, 1]: log-ratios of wanted and of other things to the rest, by the colours of all of
        the region's views, then by the view's own.
    """
    flat = shares.float().flatten(2)
    size = BINS**3
    own = flat.new_zeros(len(flat), 3, size).scatter_add_(2, cells[:, None].expand(-1, 3, -1), flat)
    shared = own.unflatten(0, (-1, views)).sum(1)
    ratios = []
    for counts, repeats in ((shared, views), (own, 1)):
        density = _smoothed(counts) / counts.sum(2, keepdim=True).clamp(min=1.0)
        logs = torch.log(density * size + _FLOOR).repeat_interleave(repeats, 0)
        ratio = (logs[:, 1:] - logs[:, :1]).clamp(-_CLIP, _CLIP) / _CLIP
        ratios.append(ratio.gather(2, cells[:, None].expand(-1, 2, -1)))
    return torch.cat(ratios, 1).unflatten(2, shares.shape[2:]).to(shares.dtype)


def _smoothed(counts: Tensor) -> Tensor:
    """Histograms (N, 3, BINS**3) blurred by one cell along each axis."""
    x = counts.reshape(-1, 1, BINS, BINS, BINS)
    kernel = torch.tensor([0.25, 0.5, 0.25], device=counts.device)
    for axis in range(3):
        shape = [1, 1, 1, 1, 1]
        shape[2 + axis] = 3
        padding = [0, 0, 0]
        padding[axis] = 1
        x = F.conv3d(x, kernel.view(shape), padding=padding)
    return x.reshape(counts.shape)
