"""An object cut out of its picture, and put where networks that make shapes from one picture expect it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from mvgamba_ros.errors import ErrorCode, ReconstructionError, shown
from mvgamba_ros.types import F32, F64, U8, Bool

OPAQUE = 0.5
"""Pixels of more alpha than this belong to the object."""


@dataclass(frozen=True)
class Cutout:
    """One object in one picture.

    Attributes:
        rgb: (H, W, 3) uint8, the picture as it was taken, background and all.
        alpha: (H, W) float32 in [0, 1], the part of each pixel that the object covers; somewhere above `OPAQUE`.
        source: What found the object, in words: "the alpha channel", "ISNet (rembg)", ...

    Raises:
        ReconstructionError: BAD_MASK for shapes that do not fit, values beyond [0, 1] or NaN; EMPTY_SILHOUETTE where
            there is no object.
    """

    rgb: U8
    alpha: F32
    source: str

    def __post_init__(self) -> None:
        if self.rgb.ndim != 3 or self.rgb.shape[2] != 3 or self.rgb.dtype != np.uint8:
            raise ReconstructionError(
                ErrorCode.BAD_IMAGE, f"picture {self.rgb.shape} {self.rgb.dtype}: (H, W, 3) uint8 is expected"
            )
        if self.alpha.shape != self.rgb.shape[:2] or self.alpha.dtype != np.float32:
            raise ReconstructionError(
                ErrorCode.BAD_MASK,
                f"alpha {self.alpha.shape} {self.alpha.dtype} of a picture {self.rgb.shape[:2]}: one float32 for each "
                "pixel is expected",
            )
        if not ((self.alpha >= 0.0) & (self.alpha <= 1.0)).all():  # a NaN is neither
            low, high = float(self.alpha.min()), float(self.alpha.max())
            raise ReconstructionError(
                ErrorCode.BAD_MASK, f"alpha from {shown(low)} to {shown(high)}: it must lie in [0, 1]"
            )
        if not self.mask.any():
            raise ReconstructionError(
                ErrorCode.EMPTY_SILHOUETTE, f"{self.source} shows no object: give a picture that holds one"
            )

    @property
    def mask(self) -> Bool:
        """(H, W), True on the object."""
        return self.alpha > OPAQUE

    def on(self, background: float) -> F32:
        """(H, W, 3) float32 in [0, 1]: the object before a grey ``background`` in [0, 1], 1.0 white."""
        alpha = self.alpha[..., None]
        return (self.rgb / np.float32(255.0) * alpha + (1.0 - alpha) * np.float32(background)).astype(np.float32)

    def rgba(self) -> U8:
        """(H, W, 4) uint8, the alpha not multiplied into the colours."""
        return np.dstack([self.rgb, (self.alpha * 255.0).round().astype(np.uint8)])


@dataclass(frozen=True)
class Recentred:
    """A `Cutout` that was recentred.

    Attributes:
        cutout: (size, size) pixels.
        T_picture_square: (3, 3) takes homogeneous pixels of ``cutout`` to those of the picture it came from, pixel
            centres at +0.5.
    """

    cutout: Cutout
    T_picture_square: F64


def recentre(cutout: Cutout, size: int, border_ratio: float) -> Recentred:
    """The object in the middle of a square, its longer side ``1 - border_ratio`` of the square's, as LGM and ImageDream
    take it (border ratio 0.2), with nothing around it.

    Args:
        cutout: Of any size.
        size: Side of the square, pixels.
        border_ratio: In [0, 1): the part of the square's side that stays free.

    Returns:
        The square; its colours are black where it is transparent.
    """
    rows, columns = np.nonzero(cutout.mask)
    y0, y1, x0, x1 = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
    scale = size * (1.0 - border_ratio) / max(y1 - y0, x1 - x0)
    height, width = max(1, round((y1 - y0) * scale)), max(1, round((x1 - x0) * scale))
    alpha = cutout.alpha[y0:y1, x0:x1, None]
    # multiplied in before the resampling, so that no background bleeds into the object's border
    covered = np.concatenate([cutout.rgb[y0:y1, x0:x1] * alpha, alpha], axis=2).astype(np.float32)
    shrunk = np.asarray(cv2.resize(covered, (width, height), interpolation=cv2.INTER_AREA), dtype=np.float32)
    top, left = (size - height) // 2, (size - width) // 2
    square = np.zeros((size, size, 4), np.float32)
    square[top : top + height, left : left + width] = shrunk
    colors = square[..., :3] / np.maximum(square[..., 3:], 1e-6)
    rgb = np.where(square[..., 3:] > 0.0, colors, 0.0).clip(0.0, 255.0).round().astype(np.uint8)
    step_x, step_y = (x1 - x0) / width, (y1 - y0) / height
    T = np.array([[step_x, 0.0, x0 - left * step_x], [0.0, step_y, y0 - top * step_y], [0.0, 0.0, 1.0]])
    return Recentred(Cutout(rgb, square[..., 3].clip(0.0, 1.0), cutout.source), T)
