"""CLIP in small, with random weights, as a folder in the layout of the published one."""

from __future__ import annotations

from pathlib import Path

import torch
from tiny_diffusion import TOKENS, write_extractor, write_tokenizer


def write_clip(folder: Path) -> Path:
    from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPVisionConfig

    torch.manual_seed(0)
    small = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = CLIPTextConfig(
        vocab_size=len(TOKENS), bos_token_id=len(TOKENS) - 2, eos_token_id=len(TOKENS) - 1, projection_dim=16, **small
    )
    vision = CLIPVisionConfig(image_size=32, patch_size=8, projection_dim=16, **small)
    config = CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=16)
    CLIPModel(config).save_pretrained(folder)
    write_tokenizer(folder)
    write_extractor(folder)
    return folder
