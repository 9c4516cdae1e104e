"""Pictures of an object from four sides, out of noise: the denoising of MVDream and ImageDream.

DDIM (Song et al., arXiv 2010.02502) with classifier-free guidance (Ho and Salimans, arXiv 2207.12598) over the latents
of all views at once. With a picture, a further view holds the picture's own latents at every step, and is not decoded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mvgamba_ros.errors import short, stop_if
from mvgamba_ros.generate.canonical_cameras import PAINTED, painted_cameras
from mvgamba_ros.generate.diffusers_folder import Parts
from mvgamba_ros.types import F32, Cancelled, Progress

DENOISED = 0.97
"""Part of the work that is done when the last step is; decoding is the rest. Set by hand."""


@dataclass(frozen=True)
class Sampler:
    """``parts`` at work on square pictures of ``size`` pixels."""

    parts: Parts
    size: int

    @torch.no_grad()
    def paint(
        self,
        prompt: str,
        negative_prompt: str,
        picture: F32 | None,
        steps: int,
        guidance: float,
        seed: int,
        progress: Progress,
        cancelled: Cancelled,
    ) -> F32:
        """The four views.

        Args:
            prompt: The object in words; those beyond 77 tokens are cut off.
            negative_prompt: What guidance leads away from.
            picture: (H, W, 3) float32 in [0, 1], square, the object on white; None for a model that takes none.
            steps: Of denoising.
            guidance: 1 is none.
            seed: Of all that is drawn, on the CPU: the same noise on every device.
            progress: As everywhere.
            cancelled: Polled before each step.

        Returns:
            (4, size, size, 3) float32 in [0, 1], views in the order of `canonical_cameras.PAINTED`.

        Raises:
            ReconstructionError: CANCELLED.
        """
        parts, device = self.parts, self.parts.unet.out[2].weight.device
        generator = torch.Generator().manual_seed(seed)
        words = self._words([negative_prompt, prompt])
        cameras, tokens, held = torch.from_numpy(painted_cameras()), None, None
        if picture is not None:
            features, held = self._encoded(picture, generator)
            tokens = parts.unet.image_embed(features)
            cameras = torch.cat([cameras, torch.zeros(1, cameras.shape[1])])
        views = len(cameras)
        # guidance takes two passes, without and with the words and the picture, which are one batch
        words = words.repeat_interleave(views, dim=0)
        tokens = None if tokens is None else tokens.repeat_interleave(views, dim=0)
        cameras = torch.cat([cameras, cameras]).to(words)
        side = self.size // 2 ** (len(parts.vae.config.block_out_channels) - 1)
        latents = torch.randn((views, parts.unet.config.in_channels, side, side), generator=generator).to(words)
        latents = latents * parts.scheduler.init_noise_sigma
        parts.scheduler.set_timesteps(steps, device=device)
        for done, timestep in enumerate(parts.scheduler.timesteps, start=1):
            stop_if(cancelled)
            both = parts.scheduler.scale_model_input(torch.cat([latents, latents]), timestep)
            if held is not None:
                both[views - 1 :: views] = held
            noise = parts.unet(both, timestep.expand(2 * views), words, cameras, views, tokens)
            without, towards = noise.chunk(2)
            guided = without + guidance * (towards - without)
            latents = parts.scheduler.step(guided, timestep, latents, return_dict=False)[0]
            progress("denoise", DENOISED * done / steps)
        stop_if(cancelled)
        decoded = parts.vae.decode(latents[: len(PAINTED)] / parts.vae.config.scaling_factor).sample
        progress("denoise", 1.0)
        return (decoded.float() / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).cpu().numpy()

    def beyond_length(self, *texts: str) -> list[str]:
        """Which of ``texts`` are longer than the text encoder reads, in words."""
        length = self.parts.tokenizer.model_max_length
        counts = [len(self.parts.tokenizer(text).input_ids) for text in texts]
        return [
            f"the tokens beyond {length} of '{short(text)[:40]}', which has {count}"
            for text, count in zip(texts, counts, strict=True)
            if count > length
        ]

    def _words(self, texts: list[str]) -> Tensor:
        """(N, T, D) features of CLIP's text encoder."""
        tokenizer, encoder = self.parts.tokenizer, self.parts.text_encoder
        length = tokenizer.model_max_length
        ids = tokenizer(texts, padding="max_length", max_length=length, truncation=True, return_tensors="pt").input_ids
        return encoder(ids.to(encoder.device))[0]

    def _encoded(self, picture: F32, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """What guidance compares: nothing, all zeros, and the picture. (2, M, D) features of CLIP's image encoder, its
        layer before the last, and (2, C, h, w) latents."""
        parts: Any = self.parts
        encoder, vae = parts.image_encoder, parts.vae
        as_bytes = (picture * 255).astype(np.uint8)
        pixels = parts.feature_extractor(as_bytes, return_tensors="pt").pixel_values.to(encoder.device, encoder.dtype)
        features = encoder(pixels, output_hidden_states=True).hidden_states[-2]
        image = torch.from_numpy(picture).permute(2, 0, 1)[None].to(encoder.device)
        image = F.interpolate(2 * image - 1, (self.size, self.size), mode="bilinear", align_corners=False)
        latents = vae.encode(image.to(encoder.dtype)).latent_dist.sample(generator) * vae.config.scaling_factor
        return torch.cat([torch.zeros_like(features), features]), torch.cat([torch.zeros_like(latents), latents])
