"""Stand-ins of encoders, autoencoder and tokenizer around a small multi-view UNet: a few products each, so that what a
sampler paints with them does not depend on any library's networks."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from tiny_diffusion import UNET, drawn, unet
from torch import Tensor, nn
from torch.nn import functional as F

from mvgamba_ros.generate.diffusers_folder import Parts

SHORT = 7
"""Tokens of a text."""


class Tokenizer:
    """A token a letter."""

    model_max_length = SHORT

    def __call__(self, texts: str | list[str], padding: str = "", **_: Any) -> SimpleNamespace:
        rows = [[1 + ord(letter) % 30 for letter in text] for text in ([texts] if isinstance(texts, str) else texts)]
        length = SHORT if padding == "max_length" else max(map(len, rows))
        return SimpleNamespace(input_ids=torch.tensor([(row + [0] * length)[:length] for row in rows]))


class Network(nn.Module):
    """What samplers ask of any of them."""

    dtype, device = torch.float32, torch.device("cpu")

    def __init__(self, **config: Any) -> None:
        super().__init__()
        self.config = SimpleNamespace(**config)
        self.unused = nn.Parameter(torch.zeros(1))


class TextEncoder(Network):
    def forward(self, ids: Tensor, attention_mask: None = None) -> tuple[Tensor]:
        return (drawn("words", 31, UNET["context_dim"])[ids],)


class ImageEncoder(Network):
    def forward(self, pixels: Tensor, output_hidden_states: bool) -> SimpleNamespace:
        patches = F.unfold(pixels, 8, stride=8).transpose(1, 2)
        features = patches @ drawn("patches", patches.shape[2], 1280) / patches.shape[2] ** 0.5
        return SimpleNamespace(hidden_states=(features * 0, features, features * 2))


class Autoencoder(Network):
    """Means of 8 x 8 pixels, and back."""

    generator: torch.Generator | None = None
    """Of the noise where none is given."""

    def encode(self, image: Tensor) -> SimpleNamespace:
        means = F.avg_pool2d(image, 8)
        latents = torch.cat([means, means.mean(dim=1, keepdim=True)], dim=1)

        def sample(generator: torch.Generator | None = None) -> Tensor:
            return latents + 0.1 * torch.randn(latents.shape, generator=generator or self.generator)

        return SimpleNamespace(latent_dist=SimpleNamespace(sample=sample))

    def decode(self, latents: Tensor) -> SimpleNamespace:
        return SimpleNamespace(sample=F.interpolate(0.03 * latents[:, :3], scale_factor=8.0, mode="nearest"))


def extract(picture: np.ndarray, return_tensors: str) -> SimpleNamespace:
    """As an image processor: (1, 3, 32, 32)."""
    pixels = torch.from_numpy(picture.astype(np.float32) / 255.0).permute(2, 0, 1)[None]
    return SimpleNamespace(pixel_values=F.interpolate(pixels, (32, 32), mode="area"))


def plain_parts(image_tokens: int) -> Parts:
    """With the scheduler of the published pipelines."""
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        steps_offset=1,
        clip_sample=False,
        set_alpha_to_one=False,
    )
    vae = Autoencoder(block_out_channels=(1, 1, 1, 1), scaling_factor=0.5)
    return Parts(
        unet(image_tokens),
        vae,
        scheduler,
        Tokenizer(),
        TextEncoder(),
        extract if image_tokens else None,
        ImageEncoder() if image_tokens else None,
        {},
    )


def bright_box() -> np.ndarray:
    """(64, 64, 3) float32: a coloured box on white."""
    picture = np.ones((64, 64, 3), np.float32)
    picture[12:52, 20:44] = np.linspace(0.1, 0.8, 24, dtype=np.float32)[None, :, None] * [1.0, 0.5, 0.3]
    return picture
