"""The denoising UNet of MVDream and ImageDream: Stable Diffusion 2.1's, with attention across views and cameras.

Each view's noise level and camera are one embedding that every residual block adds; self-attention runs over the pixels
of all views of an object at once (MVDream, arXiv 2308.16512). ImageDream (arXiv 2312.02201) adds a further view that
holds the latents of the picture itself, and image tokens that cross-attention attends to beside the words.

Parameters carry the names of the authors' public code (github.com/ashawkey/mvdream_diffusers).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mvgamba_ros.config.bounds import bounded
from mvgamba_ros.generate.multiview_attention import Resampler, SpatialTransformer

MAX_PERIOD = 10_000.0
"""Of the sinusoidal embedding of the noise level (Vaswani et al., 2017)."""


@dataclass(frozen=True)
class UNetConfig:
    """The sizes of the network, by their names in the authors' ``unet/config.json``; the defaults are MVDream's.

    ``in_channels``, ``out_channels``: of the latents. ``model_channels``: width of the first level, a multiple of 32.
    ``channel_mult``: width of each level over it. ``num_res_blocks``: residual blocks a level.
    ``attention_resolutions``: downsampling factors of the levels that have attention. ``num_head_channels``: width of a
    head. ``context_dim``: of the words' features. ``camera_dim``: numbers of a camera, its pose's 16. ``ip_dim``: image
    tokens, 16 in ImageDream, 0 without any; ``ip_weight``: their part in cross-attention. ``transformer_depth``: blocks
    at each place.
    """

    in_channels: int = bounded(4, 1, 64)
    out_channels: int = bounded(4, 1, 64)
    model_channels: int = bounded(320, 32, 2048)
    num_res_blocks: int = bounded(2, 1, 8)
    attention_resolutions: tuple[int, ...] = bounded((4, 2, 1), 1, 64, (0, 8))
    channel_mult: tuple[int, ...] = bounded((1, 2, 4, 4), 1, 16, (1, 8))
    num_head_channels: int = bounded(64, 1, 1024)
    transformer_depth: int = bounded(1, 1, 1)
    context_dim: int = bounded(1024, 1, 8192)
    camera_dim: int = bounded(16, 1, 64)
    ip_dim: int = bounded(0, 0, 1024)
    ip_weight: float = bounded(1.0, 0.0, 100.0)


class Resample(nn.Module):
    """Half the size by a strided convolution, or twice the size by repeated pixels and a convolution."""

    def __init__(self, channels: int, up: bool) -> None:
        super().__init__()
        if up:
            self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        else:
            self.op = nn.Conv2d(channels, channels, 3, stride=2, padding=1)
        self.up = up

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest")) if self.up else self.op(x)


class ResBlock(nn.Module):
    """Two convolutions with the embedding (N, embedding) added between them, beside a skip connection."""

    def __init__(self, channels: int, embedding: int, out_channels: int) -> None:
        super().__init__()
        self.in_layers = nn.Sequential(
            nn.GroupNorm(32, channels), nn.SiLU(), nn.Conv2d(channels, out_channels, 3, padding=1)
        )
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(embedding, out_channels))
        self.out_layers = nn.Sequential(
            nn.GroupNorm(32, out_channels),
            nn.SiLU(),
            nn.Identity(),  # dropout, where it is trained
            nn.Conv2d(out_channels, out_channels, 3, padding=1),
        )
        same = channels == out_channels
        self.skip_connection = nn.Identity() if same else nn.Conv2d(channels, out_channels, 1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        h = self.in_layers(x) + self.emb_layers(embedding)[:, :, None, None]
        return self.skip_connection(x) + self.out_layers(h)


class Stage(nn.Sequential):
    """Layers in turn, each given what it takes."""

    def forward(  # type: ignore[override]
        self, x: Tensor, embedding: Tensor, context: Tensor, image_tokens: Tensor | None, views: int
    ) -> Tensor:
        for layer in self:
            if isinstance(layer, ResBlock):
                x = layer(x, embedding)
            elif isinstance(layer, SpatialTransformer):
                x = layer(x, context, image_tokens, views)
            else:
                x = layer(x)
        return x


class MultiViewUNet(nn.Module):
    """Noise in the latents of several views of one object."""

    def __init__(self, config: UNetConfig = UNetConfig()) -> None:
        super().__init__()
        self.config = config
        first, embedding = config.model_channels, 4 * config.model_channels
        if config.ip_dim:
            self.image_embed = Resampler(config.context_dim, config.ip_dim)
        self.time_embed = _two_layers(first, embedding)
        self.camera_embed = _two_layers(config.camera_dim, embedding)

        def attention(channels: int) -> SpatialTransformer:
            if channels % config.num_head_channels:
                raise ValueError(f"{channels} channels are no multiple of num_head_channels {config.num_head_channels}")
            return SpatialTransformer(
                channels, config.context_dim, config.num_head_channels, bool(config.ip_dim), config.ip_weight
            )

        def stage(channels: int, out_channels: int, factor: int) -> list[nn.Module]:
            block: list[nn.Module] = [ResBlock(channels, embedding, out_channels)]
            return [*block, attention(out_channels)] if factor in config.attention_resolutions else block

        widths = [first]
        self.input_blocks = nn.ModuleList([Stage(nn.Conv2d(config.in_channels, first, 3, padding=1))])
        channels, factor = first, 1
        for level, multiple in enumerate(config.channel_mult):
            for _ in range(config.num_res_blocks):
                self.input_blocks.append(Stage(*stage(channels, multiple * first, factor)))
                channels = multiple * first
                widths.append(channels)
            if level < len(config.channel_mult) - 1:
                self.input_blocks.append(Stage(Resample(channels, up=False)))
                widths.append(channels)
                factor *= 2
        self.middle_block = Stage(
            ResBlock(channels, embedding, channels), attention(channels), ResBlock(channels, embedding, channels)
        )
        self.output_blocks = nn.ModuleList()
        for level, multiple in reversed(list(enumerate(config.channel_mult))):
            for place in range(config.num_res_blocks + 1):
                layers = stage(channels + widths.pop(), multiple * first, factor)
                channels = multiple * first
                if level and place == config.num_res_blocks:
                    layers.append(Resample(channels, up=True))
                    factor //= 2
                self.output_blocks.append(Stage(*layers))
        self.out = nn.Sequential(
            nn.GroupNorm(32, channels), nn.SiLU(), nn.Conv2d(channels, config.out_channels, 3, padding=1)
        )

    def forward(
        self,
        latents: Tensor,
        timesteps: Tensor,
        context: Tensor,
        cameras: Tensor,
        views: int,
        image_tokens: Tensor | None = None,
    ) -> Tensor:
        """The noise that is in ``latents``.

        Args:
            latents: (B * views, in_channels, H, W), the views of an object one after the other; H and W divisible by
                the coarsest level's factor.
            timesteps: (B * views,) steps of noise, of 1,000.
            context: (B * views, T, context_dim) features of the words.
            cameras: (B * views, camera_dim).
            views: Of an object.
            image_tokens: (B * views, ip_dim, context_dim) of ``image_embed``, where the network has that.

        Returns:
            (B * views, out_channels, H, W).
        """
        embedding = self.time_embed(sinusoids(timesteps, self.config.model_channels).to(latents.dtype))
        embedding = embedding + self.camera_embed(cameras)
        kept = []
        h = latents
        for stage in self.input_blocks:
            h = stage(h, embedding, context, image_tokens, views)
            kept.append(h)
        h = self.middle_block(h, embedding, context, image_tokens, views)
        for stage in self.output_blocks:
            h = stage(torch.cat([h, kept.pop()], dim=1), embedding, context, image_tokens, views)
        return self.out(h)


def sinusoids(steps: Tensor, width: int) -> Tensor:
    """(N, width) float32 cosines, then sines, of ``steps`` (N,) at frequencies from 1 down to nearly 1 / `MAX_PERIOD`;
    ``width`` even."""
    half = width // 2
    frequencies = torch.exp(-math.log(MAX_PERIOD) * torch.arange(half, device=steps.device) / half)
    angles = steps[:, None].float() * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=1)


def _two_layers(width: int, embedding: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, embedding), nn.SiLU(), nn.Linear(embedding, embedding))
