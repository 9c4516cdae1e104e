"""Segment Anything by its authors' package ``segment-anything``, from one of their three files.

(Kirillov et al., "Segment Anything", ICCV 2023.)
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from mvgamba_ros.errors import ErrorCode, ReconstructionError, short
from mvgamba_ros.io.weights import CheckpointFile
from mvgamba_ros.segmentation.sam_network import DOWNLOAD, PixelPrompt, enough_memory
from mvgamba_ros.types import F32, U8

PATCHES = "image_encoder.patch_embed.proj.weight"
KINDS = {768: "vit_b", 1024: "vit_l", 1280: "vit_h"}
"""The backbone by the width of its patch embedding, the one thing in which the published checkpoints always differ."""


class PackageSam:
    """The package's predictor, with the weights of the file ``path`` on ``device``. Raises MISSING_PACKAGE and
    BAD_CHECKPOINT."""

    def __init__(self, path: Path, device: str) -> None:
        try:
            from segment_anything import SamPredictor, sam_model_registry
        except (ImportError, RuntimeError) as error:  # torchvision of another torch fails with RuntimeError
            raise ReconstructionError(
                ErrorCode.MISSING_PACKAGE,
                f"the sam segmenter cannot import segment_anything ({short(error)}): pip install segment-anything, and "
                "a torchvision that fits the installed torch (docs/install.md); a folder of transformers' layout as "
                "sam_checkpoint needs neither",
            ) from error
        self.path = path
        file = CheckpointFile(path, DOWNLOAD)
        with file.reading(), enough_memory():
            weights = torch.load(path, map_location="cpu", weights_only=True)
            if not isinstance(weights, dict) or PATCHES not in weights:
                raise file.bad("it has no tensor " + PATCHES + ", so it is none of the package segment-anything")
            file.check_tensors(weights)
            kind = KINDS.get(int(weights[PATCHES].shape[0]))
            if kind is None:
                raise file.bad(f"{PATCHES} is {tuple(weights[PATCHES].shape)}, of no ViT-B, ViT-L or ViT-H")
            network = file.fill(sam_model_registry[kind], weights).to(device)
        self._predictor = SamPredictor(network)

    def embed(self, image: U8) -> Any:
        """As `SamNetwork`."""
        self._predictor.set_image(image, "RGB")
        return self._predictor.features, self._predictor.original_size, self._predictor.input_size

    def predict(self, embedding: Any, prompt: PixelPrompt) -> tuple[F32, F32]:
        """As `SamNetwork`."""
        predictor = self._predictor
        predictor.features, predictor.original_size, predictor.input_size = embedding
        predictor.is_image_set = True
        pointed = len(prompt.points) > 0
        logits, scores, _ = predictor.predict(
            point_coords=prompt.points if pointed else None,
            point_labels=prompt.labels if pointed else None,
            box=prompt.box,
            multimask_output=prompt.ambiguous,
            return_logits=True,
        )
        return np.asarray(logits, np.float32), np.asarray(scores, np.float32)
