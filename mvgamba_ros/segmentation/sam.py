"""Segment Anything as a segmenter: an extra that needs the package ``segment-anything`` and a checkpoint file.

(Kirillov et al., "Segment Anything", ICCV 2023.) The region of interest becomes a box prompt in every view; pixel
boxes and points go in as they are; with none of them the middle of all views becomes a point.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mvgamba_ros.checks import check_prompts
from mvgamba_ros.config.segmentation_config import SegmentationConfig, WindowConfig
from mvgamba_ros.errors import ErrorCode, ReconstructionError, stop_if
from mvgamba_ros.geometry.camera import project, resample
from mvgamba_ros.io.weights import CheckpointFile, identify_checkpoint
from mvgamba_ros.options import Options
from mvgamba_ros.segmentation.segmenter import Silhouettes
from mvgamba_ros.segmentation.silhouette_agreement import OccupancyGrid, check_silhouettes
from mvgamba_ros.segmentation.windows import common_region, make_windows, outline
from mvgamba_ros.types import F64, Box, Cancelled, Progress, Prompts, View

DOWNLOAD = (
    "download sam_vit_b_01ec64.pth, sam_vit_l_0b3195.pth or sam_vit_h_4b8939.pth from the model checkpoints section of "
    "github.com/facebookresearch/segment-anything and set sam_checkpoint to its path"
)
KINDS = {768: "vit_b", 1024: "vit_l", 1280: "vit_h"}
"""The backbone by the width of its patch embedding, the one thing in which the published checkpoints always differ."""


class SamSegmenter:
    """``checkpoint``: path of a published ViT-B, ViT-L or ViT-H file. ``device``: where to run, by default CUDA where
    there is any. Raises BAD_OPTION for a device that torch cannot use, and MISSING_PACKAGE and BAD_CHECKPOINT, which
    say how to get what is missing."""

    name = "sam"

    def __init__(
        self, checkpoint: str, device: str | None = None, config: SegmentationConfig = SegmentationConfig()
    ) -> None:
        self.config = config
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self.path = Path(checkpoint)
        self._predictor = _load(self.path, device)
        self.provenance = {"device": device, **identify_checkpoint(self.path)}
        self._embeddings: OrderedDict[bytes, tuple[Any, ...]] = OrderedDict()

    @classmethod
    def from_options(cls, options: Options) -> SamSegmenter:
        """The factory that is registered."""
        device = None if options.device == "auto" else options.device
        return cls(options.sam_checkpoint, device, options.config.segmentation)

    def embed(self, view: View) -> None:
        """Computes the image's embedding, or takes the one computed before: called when a view is captured, it
        takes the slow part of segmentation out of the request."""
        key = hashlib.blake2b(np.ascontiguousarray(view.image).data, digest_size=16).digest()
        predictor = self._predictor
        if key not in self._embeddings:
            predictor.set_image(view.image, "RGB")
            self._embeddings[key] = predictor.features, predictor.original_size, predictor.input_size
            while len(self._embeddings) > self.config.sam.kept_embeddings:
                self._embeddings.popitem(last=False)
        self._embeddings.move_to_end(key)
        predictor.features, predictor.original_size, predictor.input_size = self._embeddings[key]
        predictor.is_image_set = True

    def __call__(
        self,
        views: Sequence[View],
        prompts: Prompts,
        progress: Progress | None = None,
        cancelled: Cancelled | None = None,
    ) -> Silhouettes:
        check_prompts(views, prompts)
        region = common_region(views, prompts, self.config.windows) if prompts.roi is None else prompts.roi
        windows = make_windows(views, region, prompts, self.config.windows.side, self.config.windows)
        masks = []
        for index, view in enumerate(views):
            stop_if(cancelled)
            self.embed(view)
            arguments = predict_arguments(view, index, prompts, region, self.config.windows)
            found, scores, _ = self._predictor.predict(**arguments)
            if not np.isfinite(scores).all():
                raise CheckpointFile(self.path, DOWNLOAD).bad("its network gives scores that are not finite")
            masks.append(np.asarray(found[int(np.argmax(scores))], dtype=bool))
            if progress is not None:
                progress("segment", (index + 1) / len(views))
        small: list[Any] = [
            resample(mask, view.camera, window.camera) for mask, view, window in zip(masks, views, windows, strict=True)
        ]
        check_silhouettes(views, small, OccupancyGrid(windows, region, prompts.support_height, self.config.agreement))
        return Silhouettes(masks)


def predict_arguments(
    view: View, index: int, prompts: Prompts, region: Box, config: WindowConfig = WindowConfig()
) -> dict[str, Any]:
    """The keyword arguments of ``SamPredictor.predict``: box (4,) XYXY, point_coords (N, 2), point_labels (N,).

    One point alone is ambiguous (a part, or the whole?): three masks are predicted and that of the best score is taken.
    """
    rows = np.asarray(prompts.points.get(index, np.zeros((0, 3))), dtype=np.float64)
    box: F64 | None = None
    if index in prompts.pixel_boxes:
        box = np.array(prompts.pixel_boxes[index], dtype=np.float64)
    elif prompts.roi is not None:
        edge = outline(view, prompts.roi, config)
        if edge is not None:
            limit = [view.camera.width, view.camera.height]
            box = np.concatenate([np.clip(edge.min(axis=0), 0, limit), np.clip(edge.max(axis=0), 0, limit)])
    if box is None and not (rows[:, 2] == 1).any():
        middle, _ = project(view.camera, view.T_world_camera, region.T_world_box[None, :3, 3])
        rows = np.vstack([rows, [*middle[0], 1.0]])
    return {
        "point_coords": rows[:, :2] if len(rows) else None,
        "point_labels": rows[:, 2].astype(np.int64) if len(rows) else None,
        "box": box,
        "multimask_output": box is None and len(rows) == 1,
    }


def _load(path: Path, device: str) -> Any:
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # AssertionError: of a torch built without CUDA
        raise ReconstructionError(
            ErrorCode.BAD_OPTION, f"device {device}: torch cannot use it ({error}); choose auto, cpu, cuda or cuda:N"
        ) from error
    if path == Path():
        raise ReconstructionError(ErrorCode.BAD_CHECKPOINT, f"the sam segmenter needs a checkpoint: {DOWNLOAD}")
    file = CheckpointFile(path, DOWNLOAD)
    with file.reading():
        if not path.is_file():
            raise file.bad("no such file")
    try:
        from segment_anything import SamPredictor, sam_model_registry
    except (ImportError, RuntimeError) as error:  # torchvision of another torch fails with RuntimeError
        raise ReconstructionError(
            ErrorCode.MISSING_PACKAGE,
            f"the sam segmenter cannot import segment_anything ({error}): pip install segment-anything, and a "
            "torchvision that fits the installed torch",
        ) from error
    with file.reading():
        weights = torch.load(path, map_location="cpu", weights_only=True)
        file.check_tensors(weights)
        width = int(weights["image_encoder.patch_embed.proj.weight"].shape[0])
        model = sam_model_registry[KINDS[width]]()
        model.load_state_dict(weights)
    model.to(device).eval()
    return SamPredictor(model)
