"""The object in one photo, by the best means at hand: its alpha channel, a network, or a plain background.

The silhouettes of posed views are found by `mvgamba_ros.segmentation`, which needs several views or a region.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from mvgamba_ros.errors import ErrorCode, ReconstructionError, boundary, cause, shown
from mvgamba_ros.generate.cutout import OPAQUE, Cutout
from mvgamba_ros.generate.matting_config import MattingConfig
from mvgamba_ros.generate.plain_background import plain_background_alpha
from mvgamba_ros.segmentation.sam import SamSegmenter
from mvgamba_ros.types import F32, U8, Camera, Prompts, View

Means = Literal["auto", "alpha", "sam", "rembg", "plain"]
MODEL = "isnet-general-use"
MODEL_MD5 = "fc16ebd8b0c10d971d3513d564d01e29"
"""Of rembg's file of `MODEL`, as rembg states it. A file with another digest rembg would download anew."""
DOWNLOAD = f"run `rembg d {MODEL}`"
REMBG = "pip install 'rembg[cpu]'"
INSET = 0.02
"""The box that Segment Anything is prompted with where none is given leaves this part of the picture free on each side,
so that it is the object and not the picture that fills it. Set by hand."""


def cut_out(
    photo: U8,
    by: Means = "auto",
    sam_checkpoint: str = "",
    pixel_box: tuple[float, float, float, float] | None = None,
    device: str = "auto",
    what: str = "the picture",
    config: MattingConfig = MattingConfig(),
) -> Cutout:
    """The object in ``photo``.

    Args:
        photo: (H, W, 3) or (H, W, 4) uint8, RGB or RGBA.
        by: "alpha": the alpha channel. "sam": Segment Anything. "rembg": the network ISNet of the package rembg.
            "plain": the colours of a plain background. "auto": the first of them that is at hand: an alpha channel
            that leaves some pixels out, ``sam_checkpoint``, rembg with its weights, else "plain".
        sam_checkpoint: File of Segment Anything's weights.
        pixel_box: (x0, y0, x1, y1) around the object, pixels, for "sam"; None: nearly all of the picture.
        device: Where Segment Anything runs.
        what: What messages call the photo.
        config: Every number of "plain".

    Returns:
        The object; ``source`` names the means that found it.

    Raises:
        ReconstructionError: BAD_IMAGE for another array, BAD_OPTION for another ``by``; EMPTY_SILHOUETTE where there is
            no object or the background is not plain; MISSING_PACKAGE and BAD_CHECKPOINT, with what to install.
    """
    if photo.ndim != 3 or photo.shape[2] not in (3, 4) or photo.dtype != np.uint8 or 0 in photo.shape:
        raise ReconstructionError(
            ErrorCode.BAD_IMAGE, f"{what} is {photo.shape} {photo.dtype}: (H, W, 3) or (H, W, 4) uint8 is expected"
        )
    if by not in get_args(Means):
        raise ReconstructionError(ErrorCode.BAD_OPTION, f"by {shown(by)} is not one of {', '.join(get_args(Means))}")
    rgb = np.ascontiguousarray(photo[..., :3])
    if by == "auto":
        transparent = photo.shape[2] == 4 and bool((photo[..., 3] <= 255.0 * OPAQUE).any())
        by = "alpha" if transparent else "sam" if sam_checkpoint else "rembg" if _rembg_is_ready() else "plain"
    if by == "alpha":
        if photo.shape[2] != 4:
            raise ReconstructionError(ErrorCode.BAD_IMAGE, f"{what} has no alpha channel: give a PNG that has one")
        return Cutout(rgb, (photo[..., 3] / np.float32(255.0)).astype(np.float32), "the alpha channel")
    if by == "sam":
        return Cutout(rgb, _by_sam(rgb, sam_checkpoint, pixel_box, device), "Segment Anything")
    if by == "rembg":
        return Cutout(rgb, _by_rembg(rgb), "ISNet (rembg)")
    return Cutout(rgb, plain_background_alpha(rgb, what, config), "the plain background's colours")


def _by_sam(rgb: U8, checkpoint: str, box: tuple[float, float, float, float] | None, device: str) -> F32:
    height, width = rgb.shape[:2]
    x, y = INSET * width, INSET * height
    points = {} if box else {0: np.array([[width / 2, height / 2, 1.0]])}
    focal = float(max(height, width))  # any will do: one view says nothing of depth
    camera = Camera(np.array([[focal, 0.0, width / 2], [0.0, focal, height / 2], [0.0, 0.0, 1.0]]), width, height)
    prompts = Prompts(pixel_boxes={0: box or (x, y, width - x, height - y)}, points=points)
    segmenter = _sam(checkpoint, device)
    return segmenter([View(rgb, camera, np.eye(4))], prompts).masks[0].astype(np.float32)


@lru_cache(maxsize=1)
def _sam(checkpoint: str, device: str) -> SamSegmenter:
    return SamSegmenter(checkpoint, None if device == "auto" else device)


def _weights() -> Path:
    """Where rembg keeps its weights."""
    home = os.environ.get("U2NET_HOME") or Path(os.environ.get("XDG_DATA_HOME", "~")) / ".u2net"
    return Path(home).expanduser() / f"{MODEL}.onnx"


def _rembg_is_ready() -> bool:
    return importlib.util.find_spec("rembg") is not None and _weights().is_file()


def _by_rembg(rgb: U8) -> F32:
    alpha = _rembg()(rgb)
    if alpha.max() <= OPAQUE:
        raise ReconstructionError(ErrorCode.EMPTY_SILHOUETTE, "ISNet (rembg) finds no object in the picture")
    return alpha


@lru_cache(maxsize=1)
def _rembg() -> Any:
    try:
        from rembg import new_session, remove
    except (ImportError, SystemExit) as error:  # it exits where onnxruntime is missing
        raise ReconstructionError(
            ErrorCode.MISSING_PACKAGE, f"rembg cannot be imported ({cause(error)}): {REMBG}, then {DOWNLOAD}"
        ) from error
    path = _weights()
    with boundary(ErrorCode.BAD_CHECKPOINT, f"checkpoint {path}", DOWNLOAD):
        if hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() != MODEL_MD5:
            raise ValueError(f"its MD5 is not {MODEL_MD5}")
        session = new_session(MODEL)
    return lambda rgb: np.asarray(remove(rgb, session=session, only_mask=True), np.float32) / np.float32(255.0)
