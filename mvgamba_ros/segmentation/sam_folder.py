"""Segment Anything and Segment Anything 2 by the package transformers, from a folder in its layout.

(Kirillov et al., "Segment Anything", ICCV 2023; Ravi et al., "SAM 2: Segment Anything in Images and Videos", ICLR
2025.) Neither torchvision nor pickled files are needed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from mvgamba_ros.errors import ErrorCode, ReconstructionError, boundary, short, shown
from mvgamba_ros.io.transformers_folder import load_network, read_config
from mvgamba_ros.segmentation.sam_network import DOWNLOAD, PixelPrompt, enough_memory
from mvgamba_ros.types import F32, U8

INSTALL = "pip install 'transformers>=4.56'"
KINDS = {"sam": "SamModel", "sam2": "Sam2Model", "sam2_video": "Sam2Model"}
"""transformers' network for each ``model_type`` of a config. SAM 2 is published as the network for videos, of which the
one for pictures is a part."""
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of the colours of ImageNet's pictures, [0, 1]: both networks were trained with them."""


class FolderSam:
    """The network in ``folder``, on ``device``. Raises MISSING_PACKAGE and BAD_CHECKPOINT."""

    def __init__(self, folder: Path, device: str) -> None:
        self.path = folder / "model.safetensors"
        stored = read_config(folder / "config.json", DOWNLOAD)
        kind = KINDS.get(str(stored.get("model_type")))
        if kind is None:
            what = f"its model_type is {shown(stored.get('model_type'))}, not one of {', '.join(KINDS)}"
            raise ReconstructionError(ErrorCode.BAD_CHECKPOINT, f"checkpoint {folder}: {what}: {DOWNLOAD}")
        try:
            import transformers

            network: Any = getattr(transformers, kind)
        except (ImportError, AttributeError, RuntimeError) as error:
            raise ReconstructionError(
                ErrorCode.MISSING_PACKAGE, f"the sam segmenter needs transformers' {kind} ({short(error)}): {INSTALL}"
            ) from error
        with boundary(ErrorCode.BAD_CHECKPOINT, f"checkpoint {folder}", DOWNLOAD), enough_memory():
            # of the network for videos what belongs to that for pictures, without a warning that it is another
            config = network.config_class.from_dict({**stored, "model_type": network.config_class.model_type})
            self._network = load_network(network, folder, DOWNLOAD, config=config).to(device)
            size = config.prompt_encoder_config.image_size
            self._side = int(size if isinstance(size, int) else size[0])
        self._stretched = kind == "Sam2Model"
        """Pictures are made square; the first Segment Anything keeps their shape and leaves the rest empty."""
        self._device = device

    def embed(self, image: U8) -> Any:
        """As `SamNetwork`."""
        side, (height, width) = self._side, image.shape[:2]
        shape = (side, side)
        if not self._stretched:
            scale = side / max(height, width)
            shape = int(height * scale + 0.5), int(width * scale + 0.5)
        pixels = torch.from_numpy(np.ascontiguousarray(image)).to(self._device).permute(2, 0, 1)[None] / 255.0
        pixels = F.interpolate(pixels, shape, mode="bilinear", antialias=True)
        mean, deviation = (pixels.new_tensor(x).reshape(1, 3, 1, 1) for x in (MEAN, DEVIATION))
        pixels = F.pad((pixels - mean) / deviation, (0, side - shape[1], 0, side - shape[0]))
        return self._network.get_image_embeddings(pixels), (height, width), shape

    @torch.no_grad()
    def predict(self, embedding: Any, prompt: PixelPrompt) -> tuple[F32, F32]:
        """As `SamNetwork`."""
        features, size, shape = embedding
        scale = np.array([shape[1] / size[1], shape[0] / size[0]])
        given: dict[str, torch.Tensor] = {}
        if len(prompt.points):
            given["input_points"] = self._tensor(prompt.points * scale)[None, None]
            given["input_labels"] = torch.as_tensor(prompt.labels, device=self._device)[None, None]
        if prompt.box is not None:
            given["input_boxes"] = self._tensor(prompt.box * np.tile(scale, 2))[None, None]
        found = self._network(image_embeddings=features, multimask_output=prompt.ambiguous, **given)
        logits = found.pred_masks[:, 0].float()
        if shape != (self._side, self._side):  # what lies on the empty part goes
            logits = F.interpolate(logits, (self._side, self._side), mode="bilinear")[..., : shape[0], : shape[1]]
        logits = F.interpolate(logits, size, mode="bilinear")
        return logits[0].cpu().numpy(), found.iou_scores[0, 0].float().cpu().numpy()

    def _tensor(self, values: Any) -> torch.Tensor:
        return torch.as_tensor(values, dtype=torch.float32, device=self._device)
