"""Disturbances of the windows that the objectness network learns from."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class WindowAugmentation:
    """How often and how far a window is disturbed; each share is the probability of a window, [0, 1]. All set by
    hand."""

    mirrored: float = 0.5
    """Share of windows that are mirrored."""
    gain: float = 0.25
    """Largest logarithm of the factor on all colours: brighter or darker."""
    tint: float = 0.1
    """Largest logarithm of a further factor on each colour channel: the white balance."""
    gamma: float = 0.35
    """Largest logarithm of the exponent on colours in [0, 1]: the contrast."""
    shuffled: float = 0.3
    """Share of windows whose colour channels are shuffled, all of a batch alike."""
    greyed: float = 0.35
    """Share of windows whose colours are paler, by any amount up to grey."""
    empty: float = 0.03
    """Share of windows that are one colour instead, without an object: an even picture has no silhouette."""
    noise: float = 0.015
    """Largest standard deviation of the noise on colours in [0, 1]."""
    without_plane: float = 0.15
    """Share of windows without the channels of the comparison through the support plane."""


def disturbed(x: Tensor, y: Tensor, rng: torch.Generator, config: WindowAugmentation) -> tuple[Tensor, Tensor]:
    """Mirrored, brighter or darker, of other hue, noisier; now and then without the plane's channels, or empty."""

    def draw(*shape: int) -> Tensor:
        return torch.rand(shape, generator=rng)

    n = len(x)
    flip = draw(n) < config.mirrored
    inside = x[:, 4] > 0
    # mirrored within the picture, whose right end is where its zeros begin
    width = inside.any(1).sum(1)
    columns = torch.arange(x.shape[-1]).expand(n, -1)
    mirrored = torch.where(columns < width[:, None], width[:, None] - 1 - columns, columns)
    columns = torch.where(flip[:, None], mirrored, columns)
    x = x.gather(3, columns[:, None, None].expand_as(x))
    y = y.gather(2, columns[:, None].expand_as(y))
    rgb = x[:, :3] / 255
    gain = torch.exp(config.gain * (2 * draw(n, 1, 1, 1) - 1) + config.tint * (2 * draw(n, 3, 1, 1) - 1))
    gamma = torch.exp(config.gamma * (2 * draw(n, 1, 1, 1) - 1))
    swap = draw(n, 1, 1, 1) < config.shuffled
    rgb = torch.where(swap, rgb[:, torch.randperm(3, generator=rng)], rgb)
    grey = draw(n, 1, 1, 1) * (draw(n, 1, 1, 1) < config.greyed)
    rgb = rgb + grey * (rgb.mean(1, keepdim=True) - rgb)
    rgb = (rgb.clamp(min=1e-4) ** gamma * gain).clamp(0, 1)
    empty = draw(n, 1, 1, 1) < config.empty
    rgb = torch.where(empty, rgb[:, :, :1, :1], rgb)
    rgb = rgb + config.noise * draw(n, 1, 1, 1) * torch.randn(rgb.shape, generator=rng)
    plane = x[:, 5:] * (draw(n, 1, 1, 1) > config.without_plane)
    return torch.cat([255 * rgb * inside[:, None], x[:, 3:5], plane], 1), y * ~empty[:, 0]
