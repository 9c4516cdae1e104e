"""Segment Anything as a segmenter: an extra that needs weights, and the package ``segment-anything`` or transformers.

The region of interest becomes a box prompt in every view; pixel boxes and points go in as they are; with none of them
the middle of all views becomes a point. The masks are kept to the region and compared between views as every
segmenter's are. Their borders stay the network's: a cut at the windows' resolution loses some of what they have.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from mvgamba_ros.checks import check_prompts
from mvgamba_ros.config.segmentation_config import SegmentationConfig, WindowConfig
from mvgamba_ros.errors import ErrorCode, ReconstructionError, stop_if
from mvgamba_ros.geometry.camera import project, resample
from mvgamba_ros.io.weights import CheckpointFile, identify_checkpoint
from mvgamba_ros.options import Options
from mvgamba_ros.segmentation.sam_folder import FolderSam
from mvgamba_ros.segmentation.sam_network import DOWNLOAD, PixelPrompt, SamNetwork, enough_memory
from mvgamba_ros.segmentation.sam_package import PackageSam
from mvgamba_ros.segmentation.segmenter import Silhouettes
from mvgamba_ros.segmentation.silhouette_agreement import OccupancyGrid, check_silhouettes
from mvgamba_ros.segmentation.windows import Window, common_region, make_windows, outline
from mvgamba_ros.types import F64, Bool, Box, Cancelled, Progress, Prompts, View


class SamSegmenter:
    """``checkpoint``: path of a published ViT-B, ViT-L or ViT-H file, or of a folder with Segment Anything or Segment
    Anything 2 in transformers' layout. ``device``: where to run, by default CUDA where there is any. Raises BAD_OPTION
    for a device that torch cannot use, and MISSING_PACKAGE and BAD_CHECKPOINT, which say how to get what is missing."""

    name = "sam"

    def __init__(
        self, checkpoint: str, device: str | None = None, config: SegmentationConfig = SegmentationConfig()
    ) -> None:
        self.config = config
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self._network = _load(Path(checkpoint), device)
        file = CheckpointFile(self._network.path, DOWNLOAD)
        with file.reading():
            self.provenance = {"device": device, **identify_checkpoint(file.path)}
        self._embeddings: OrderedDict[bytes, Any] = OrderedDict()

    @classmethod
    def from_options(cls, options: Options) -> SamSegmenter:
        """The factory that is registered."""
        device = None if options.device == "auto" else options.device
        return cls(options.sam_checkpoint, device, options.config.segmentation)

    def embed(self, view: View) -> None:
        """Computes the image's embedding, unless it is kept: called when a view is captured, it takes the slow part of
        segmentation out of the request."""
        self._embedding(view)

    def _embedding(self, view: View) -> Any:
        image = np.ascontiguousarray(view.image)
        key = hashlib.blake2b(image.data, digest_size=16).digest() + repr(image.shape).encode()
        if key not in self._embeddings:
            with enough_memory():
                self._embeddings[key] = self._network.embed(image)
            while len(self._embeddings) > self.config.sam.kept_embeddings:
                self._embeddings.popitem(last=False)
        self._embeddings.move_to_end(key)
        return self._embeddings[key]

    def _mask(self, view: View, prompt: PixelPrompt) -> Bool:
        """(H, W): what the network takes for the best."""
        embedding = self._embedding(view)
        with enough_memory():
            found, scores = self._network.predict(embedding, prompt)
        best = found[int(np.argmax(scores))]
        if not (np.isfinite(scores).all() and np.isfinite(best).all()):
            raise CheckpointFile(self._network.path, DOWNLOAD).bad("its network gives values that are not finite")
        return best > 0.0

    def __call__(
        self,
        views: Sequence[View],
        prompts: Prompts,
        progress: Progress | None = None,
        cancelled: Cancelled | None = None,
    ) -> Silhouettes:
        check_prompts(views, prompts)
        config = self.config
        region = common_region(views, prompts, config.windows) if prompts.roi is None else prompts.roi
        windows = make_windows(views, region, prompts, config.windows.side, config.windows)
        masks = []
        for index, view in enumerate(views):
            stop_if(cancelled)
            prompt = pixel_prompt(view, index, prompts, region, config.windows)
            masks.append(self._mask(view, prompt))
            if progress is not None:
                progress("segment", (index + 1) / len(views))
        small: list[Any] = [
            resample(mask, view.camera, window.camera) for mask, view, window in zip(masks, views, windows, strict=True)
        ]
        # as they are: what reaches far beyond the region is not the object, and clipped to it would pass
        check_silhouettes(views, small, OccupancyGrid(windows, region, prompts.support_height, config.agreement))
        return Silhouettes([mask & _allowed(window, mask.shape) for mask, window in zip(masks, windows, strict=True)])


def _allowed(window: Window, size: tuple[int, ...]) -> Bool:
    """(H, W) of the whole picture: where the object may be."""
    x0, y0, x1, y1 = window.rect
    full = np.zeros(size, bool)
    full[y0:y1, x0:x1] = cv2.resize(window.allowed.astype(np.float32), (x1 - x0, y1 - y0)) > 0.5
    return full


def pixel_prompt(
    view: View, index: int, prompts: Prompts, region: Box, config: WindowConfig = WindowConfig()
) -> PixelPrompt:
    """What is pointed at in view ``index``: its pixel box, or the outline of the region of interest; its points; and
    the middle of ``region`` where neither says where the object is."""
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
    return PixelPrompt(box, rows[:, :2], rows[:, 2].astype(np.int64))


def _load(path: Path, device: str) -> SamNetwork:
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
        if path.is_dir():
            return FolderSam(path, device)
        if not path.is_file():
            raise file.bad("no such file or folder")
        return PackageSam(path, device)
