"""Multi-view diffusion in small, with random weights: folders in the layout of the published ones."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from mvgamba_ros.generate.multiview_unet import MultiViewUNet, UNetConfig

UNET: dict[str, Any] = {
    "model_channels": 32,
    "channel_mult": (1, 2),
    "num_res_blocks": 1,
    "attention_resolutions": (2, 1),
    "num_head_channels": 16,
    "context_dim": 24,
}
SPECIAL = ("<|startoftext|>", "<|endoftext|>")
LETTERS = "abcdefghijklmnopqrstuvwxyz"
TOKENS = (*LETTERS, *(f"{letter}</w>" for letter in LETTERS), *SPECIAL)
"""Of the tokenizer."""


def seeded(shapes: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights that depend on their names and shapes alone."""
    made = {}
    for name, value in shapes.items():
        x = drawn(name, *value.shape)
        made[name] = 0.1 * x + float(name.endswith("weight")) if value.ndim == 1 else x / x[0].numel() ** 0.5
    return made


def drawn(name: str, *shape: int) -> Tensor:
    """Gaussian numbers that depend on ``name`` and ``shape`` alone."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    return torch.from_numpy(rng.standard_normal(shape).astype(np.float32))


def unet(image_tokens: int) -> MultiViewUNet:
    network = MultiViewUNet(UNetConfig(**UNET, ip_dim=image_tokens)).eval()
    network.load_state_dict(seeded(network.state_dict()))
    return network


def write_unet(folder: Path, image_tokens: int) -> Path:
    """The folder ``unet`` of a model, weights in float16 as the published ones."""
    network = unet(image_tokens)
    (folder / "unet").mkdir(parents=True)
    config = {"_class_name": "MultiViewUNetModel", "image_size": 32, "in_channels": 4, "out_channels": 4, **UNET}
    (folder / "unet" / "config.json").write_text(json.dumps({**config, "camera_dim": 16, "ip_dim": image_tokens}))
    weights = {name: value.half() for name, value in network.state_dict().items()}
    save_file(weights, folder / "unet" / "diffusion_pytorch_model.safetensors")
    return folder


def write_folder(folder: Path, image_tokens: int) -> Path:
    """A whole model; with ``image_tokens`` it takes a picture, as ImageDream does."""
    from diffusers import AutoencoderKL, DDIMScheduler
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPVisionConfig, CLIPVisionModel

    torch.manual_seed(0)
    write_unet(folder, image_tokens)
    AutoencoderKL(
        block_out_channels=(32, 32, 32, 32),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=4,
        layers_per_block=1,
    ).save_pretrained(folder / "vae")
    DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        steps_offset=1,
        clip_sample=False,
        set_alpha_to_one=False,
    ).save_pretrained(folder / "scheduler")
    write_tokenizer(folder / "tokenizer")
    text = CLIPTextConfig(
        vocab_size=len(TOKENS),
        hidden_size=UNET["context_dim"],
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=77,
        bos_token_id=TOKENS.index(SPECIAL[0]),
        eos_token_id=TOKENS.index(SPECIAL[1]),
    )
    CLIPTextModel(text).save_pretrained(folder / "text_encoder")
    if image_tokens:
        vision = CLIPVisionConfig(
            hidden_size=1280,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=16,
            image_size=32,
            patch_size=16,
        )
        CLIPVisionModel(vision).half().save_pretrained(folder / "image_encoder")
        write_extractor(folder / "feature_extractor")
    return folder


def write_extractor(folder: Path) -> None:
    """What crops and normalizes a picture for CLIP, to 32 pixels."""
    folder.mkdir(exist_ok=True)
    extractor = {
        "image_processor_type": "CLIPImageProcessor",
        "crop_size": {"height": 32, "width": 32},
        "do_center_crop": True,
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
        "resample": 3,
        "rescale_factor": 1 / 255,
        "size": {"shortest_edge": 32},
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(extractor))


def write_tokenizer(folder: Path) -> None:
    """Letter by letter."""
    folder.mkdir(exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({token: index for index, token in enumerate(TOKENS)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    config = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": 77,
        "bos_token": SPECIAL[0],
        "eos_token": SPECIAL[1],
        "unk_token": SPECIAL[1],
        "pad_token": SPECIAL[1],
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
