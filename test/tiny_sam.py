"""Segment Anything in small: folders of random weights, and stand-ins of what is learned that paint what they get.

A painter keeps all that is not learned, the way of pixels into a network and of its masks back: it paints what is red
within the prompt's box, or around its points, in the coordinates that reach the network's decoder.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
RED = 10 / 255
"""What is redder than green by this is the object of `rendered`."""


def write_sam2(folder: Path, videos: bool = False, side: int = 256) -> Path:
    """Segment Anything 2; ``videos``: as the network for videos, as it is published."""
    from transformers import Sam2Config, Sam2Model, Sam2VideoConfig, Sam2VideoModel
    from transformers.models.sam2.configuration_sam2 import (
        Sam2HieraDetConfig,
        Sam2MaskDecoderConfig,
        Sam2PromptEncoderConfig,
        Sam2VisionConfig,
    )

    torch.manual_seed(0)
    backbone = Sam2HieraDetConfig(
        hidden_size=8,
        blocks_per_stage=[1, 1, 2, 1],
        embed_dim_per_stage=[8, 16, 32, 64],
        global_attention_blocks=[3],
        image_size=[side, side],
    )
    vision = Sam2VisionConfig(
        backbone_config=backbone,
        backbone_channel_list=[64, 32, 16, 8],
        backbone_feature_sizes=[[side // 4, side // 4], [side // 8, side // 8], [side // 16, side // 16]],
        fpn_hidden_size=32,
    )
    decoder = {"hidden_size": 32, "mlp_dim": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    parts: dict[str, Any] = {
        "vision_config": vision,
        "prompt_encoder_config": Sam2PromptEncoderConfig(hidden_size=32, image_size=side).to_dict(),
        "mask_decoder_config": Sam2MaskDecoderConfig(iou_head_hidden_dim=16, **decoder).to_dict(),
    }
    network: Any = Sam2Model(Sam2Config(**parts))
    if videos:
        memory = {
            "memory_attention_hidden_size": 32,
            "memory_attention_num_layers": 1,
            "memory_attention_feed_forward_hidden_size": 16,
            "memory_encoder_hidden_size": 32,
            "memory_encoder_output_channels": 8,
            "mask_downsampler_embed_dim": 32,
            "memory_fuser_num_layers": 1,
            "memory_fuser_embed_dim": 32,
            "memory_fuser_intermediate_dim": 32,
        }
        network = Sam2VideoModel(Sam2VideoConfig(**parts, **memory))
    network.save_pretrained(folder)
    return folder


def write_sam(folder: Path, side: int = 256) -> Path:
    """The first Segment Anything."""
    from transformers import SamConfig, SamMaskDecoderConfig, SamModel, SamPromptEncoderConfig, SamVisionConfig

    torch.manual_seed(0)
    vision = SamVisionConfig(
        hidden_size=32,
        output_channels=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=side,
        window_size=7,
        global_attn_indexes=[1],
        num_pos_feats=16,
        mlp_dim=32,
    )
    prompts = SamPromptEncoderConfig(hidden_size=32, image_size=side, image_embedding_size=side // 16)
    decoder = SamMaskDecoderConfig(
        hidden_size=32, mlp_dim=32, num_hidden_layers=1, num_attention_heads=2, iou_head_hidden_dim=16
    )
    config = SamConfig(
        vision_config=vision.to_dict(), prompt_encoder_config=prompts.to_dict(), mask_decoder_config=decoder.to_dict()
    )
    SamModel(config).save_pretrained(folder)
    return folder


def painted(
    pixels: torch.Tensor, box: torch.Tensor | None, points: torch.Tensor | None, labels: torch.Tensor | None
) -> torch.Tensor:
    """Log-odds (256, 256), of normalised ``pixels`` (3, S, S), ``box`` (4,), ``points`` (N, 2) and ``labels`` (N,)."""
    color = pixels * pixels.new_tensor(DEVIATION)[:, None, None] + pixels.new_tensor(MEAN)[:, None, None]
    red = F.interpolate((color[0] - color[1] - RED)[None, None], (256, 256), mode="area")[0, 0] * 200.0
    scale = 256 / pixels.shape[-1]
    if box is not None:
        y, x = torch.meshgrid(torch.arange(256) + 0.5, torch.arange(256) + 0.5, indexing="ij")
        x0, y0, x1, y1 = (box * scale).tolist()
        red = torch.where((x >= x0) & (x <= x1) & (y >= y0) & (y <= y1), red, -8.0)
    if points is not None:
        assert labels is not None
        for (u, v), label in zip((points * scale).tolist(), labels.tolist(), strict=True):
            if label >= 0 and (red[int(v), int(u)] > 0) != (label == 1):  # a point that the object contradicts
                return torch.full_like(red, -8.0)
    return red.clip(-8.0, 8.0)


class FolderPainter(nn.Module):
    """In place of a network of transformers; ``network``: the one that was loaded."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.loaded = network

    def get_image_embeddings(self, pixels: torch.Tensor) -> torch.Tensor:
        self.loaded.get_image_embeddings(pixels)  # of the size that it takes
        return pixels

    def forward(
        self,
        image_embeddings: torch.Tensor,
        multimask_output: bool,
        input_boxes: torch.Tensor | None = None,
        input_points: torch.Tensor | None = None,
        input_labels: torch.Tensor | None = None,
    ) -> Any:
        first = [None if value is None else value[0, 0] for value in (input_boxes, input_points, input_labels)]
        mask = painted(image_embeddings[0], *first)
        worse = [-mask] * (2 if multimask_output else 0)
        scores = torch.linspace(0.9, 0.1, 1 + len(worse))
        return SimpleNamespace(pred_masks=torch.stack([mask, *worse])[None, None], iou_scores=scores[None, None])
