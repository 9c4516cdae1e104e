"""The parts of a multi-view diffusion model, from a folder in the layout of diffusers.

Loading is strict: a missing, surplus or misshapen tensor is an error. Tensors come from safetensors files alone, and no
code in the folder is run. The UNet is `multiview_unet`; the rest are diffusers' and transformers' own networks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mvgamba_ros.errors import ErrorCode, ReconstructionError, boundary, cause
from mvgamba_ros.generate.hub import INSTALL
from mvgamba_ros.generate.multiview_unet import MultiViewUNet, UNetConfig
from mvgamba_ros.io.transformers_folder import load_from_folder, load_network, read_config
from mvgamba_ros.io.weights import CheckpointFile, identify_checkpoint

WEIGHTS = "diffusion_pytorch_model.safetensors"
UNUSED = ("image_size", "use_checkpoint")
"""Keys of the UNet's config that do not change what it computes."""


@dataclass(frozen=True)
class Parts:
    """The networks, in evaluation mode, on one device; ``feature_extractor`` and ``image_encoder`` are None where the
    model takes no picture. ``provenance``: which weights they are."""

    unet: MultiViewUNet
    vae: Any
    scheduler: Any
    tokenizer: Any
    text_encoder: Any
    feature_extractor: Any | None
    image_encoder: Any | None
    provenance: Mapping[str, str]


def load_parts(folder: Path, device: torch.device, remedy: str) -> Parts:
    """All parts of ``folder``, on ``device``: float16 on a GPU, as the weights are stored, else float32.

    Raises:
        ReconstructionError: BAD_CHECKPOINT, which names the file and ends with ``remedy``; MISSING_PACKAGE without
            diffusers or transformers.
    """
    try:
        from diffusers import AutoencoderKL, DDIMScheduler
        from transformers import CLIPImageProcessor, CLIPTextModel, CLIPTokenizer, CLIPVisionModel
    except (ImportError, RuntimeError) as error:  # RuntimeError: one of theirs that cannot be imported
        raise ReconstructionError(
            ErrorCode.MISSING_PACKAGE,
            f"multi-view diffusion needs diffusers and transformers ({cause(error)}): {INSTALL}",
        ) from error
    dtype = torch.float32 if device.type == "cpu" else torch.float16
    unet, provenance = load_unet(folder, remedy)
    vae_file = CheckpointFile(folder / "vae" / WEIGHTS, remedy)
    vae_config = read_config(folder / "vae" / "config.json", remedy)
    vae = vae_file.fill(lambda: AutoencoderKL.from_config(vae_config), vae_file.read()[0], assign=True)
    text_encoder = load_network(CLIPTextModel, folder / "text_encoder", remedy)
    with boundary(ErrorCode.BAD_CHECKPOINT, f"checkpoint {folder}", remedy):
        scheduler = DDIMScheduler.from_config(
            read_config(folder / "scheduler" / "scheduler_config.json", remedy), steps_offset=1, clip_sample=False
        )
        tokenizer = load_from_folder(CLIPTokenizer, folder / "tokenizer")
        extractor, image_encoder = None, None
        if unet.config.ip_dim:
            extractor = load_from_folder(CLIPImageProcessor, folder / "feature_extractor")
            image_encoder = load_network(CLIPVisionModel, folder / "image_encoder", remedy).to(device, dtype)
    return Parts(
        unet.to(device, dtype),
        nn.Module.to(vae, device, dtype),  # diffusers' own warns of layers to keep in float32, of which a VAE has none
        scheduler,
        tokenizer,
        text_encoder.to(device, dtype),
        extractor,
        image_encoder,
        provenance,
    )


def load_unet(folder: Path, remedy: str) -> tuple[MultiViewUNet, dict[str, str]]:
    """The UNet of ``folder``, in the type that its weights are stored in, and which file it is. Raises
    BAD_CHECKPOINT."""
    file = CheckpointFile(folder / "unet" / WEIGHTS, remedy)
    stored = read_config(folder / "unet" / "config.json", remedy)
    known = {row.name for row in fields(UNetConfig)}
    values = {key: value for key, value in stored.items() if not key.startswith("_") and key not in UNUSED}
    for key in values.keys() - known:
        raise file.bad(f"its config's {key} {values[key]!r} is of another network")
    config = file.config(UNetConfig, values)
    unet = file.fill(lambda: MultiViewUNet(config), file.read()[0], assign=True)
    with file.reading():
        return unet, identify_checkpoint(file.path)
