"""CLIP: pictures and words as unit vectors that lie close where they mean the same.

(Radford et al., ICML 2021, arXiv 2103.00020.) The networks are transformers' own, the weights a folder in their layout.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mvgamba_ros.errors import ErrorCode, ReconstructionError, boundary, cause
from mvgamba_ros.generate.hub import INSTALL, Published, find_weights
from mvgamba_ros.io.transformers_folder import load_from_folder, load_network
from mvgamba_ros.io.weights import identify_checkpoint
from mvgamba_ros.kernels.device import choose_device
from mvgamba_ros.types import F32

PUBLISHED = Published(
    "openai/clip-vit-large-patch14",
    "32bd64288804d66eefd0ccbe215aa642df71cc41",
    "MIT (github.com/openai/CLIP); its card keeps it to research",
    ("*.json", "*.txt", "model.safetensors"),
)


class Clip:
    """``folder``: holds model.safetensors, config.json, preprocessor_config.json and the tokenizer's files. Raises
    MISSING_PACKAGE, BAD_CHECKPOINT, BAD_OPTION."""

    def __init__(self, folder: Path, device: str = "auto") -> None:
        try:
            from transformers import CLIPImageProcessor, CLIPModel, CLIPTokenizer
        except (ImportError, RuntimeError) as error:  # RuntimeError: one of theirs that cannot be imported
            raise ReconstructionError(
                ErrorCode.MISSING_PACKAGE, f"CLIP needs transformers ({cause(error)}): {INSTALL}"
            ) from error
        remedy = f"give the folder of {PUBLISHED.repository}, or of another CLIP in its layout"
        self.device, _ = choose_device(device, scans=False)
        self.network: Any = load_network(CLIPModel, folder, remedy).to(self.device)
        with boundary(ErrorCode.BAD_CHECKPOINT, f"checkpoint {folder}", remedy):
            self.processor = load_from_folder(CLIPImageProcessor, folder)
            self.tokenizer = load_from_folder(CLIPTokenizer, folder)
            self.provenance = {"device": str(self.device), **identify_checkpoint(folder / "model.safetensors")}

    @torch.no_grad()
    def pictures(self, pictures: Sequence[F32]) -> F32:
        """(N, D) unit vectors of pictures (H, W, 3) in [0, 1]."""
        as_bytes = [(picture.clip(0.0, 1.0) * 255.0).round().astype(np.uint8) for picture in pictures]
        pixels = self.processor(images=as_bytes, return_tensors="pt", input_data_format="channels_last")["pixel_values"]
        seen = self.network.vision_model(pixel_values=pixels.to(self.device)).pooler_output
        return _unit(self.network.visual_projection(seen))

    @torch.no_grad()
    def words(self, texts: Sequence[str]) -> F32:
        """(N, D) unit vectors of texts; what is beyond the network's 77 tokens is cut off."""
        tokens = self.tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt").to(self.device)
        read = self.network.text_model(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"])
        return _unit(self.network.text_projection(read.pooler_output))


def load_clip(weights: str = "", device: str = "auto", fetch: bool = False) -> Clip:
    """CLIP of ``weights``: a folder, or ``owner/name@commit`` in this machine's Hugging Face cache; empty: `PUBLISHED`.
    Downloads only where ``fetch`` is set. Raises as `find_weights` and `Clip`."""
    return Clip(find_weights("clip", weights, PUBLISHED, fetch, kind="metric", option="--clip-weights"), device)


def _unit(vectors: torch.Tensor) -> F32:
    return np.asarray(torch.nn.functional.normalize(vectors.float(), dim=-1).cpu().numpy(), np.float32)
