"""Mask pictures of one object: white on black, 0 and 1, one label, an alpha channel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mvgamba_ros.io.transforms_intrinsics import bad_capture
from mvgamba_ros.types import Bool, View

INVERTED = 0.9
"""Share of the pictures' borders in masks that are wrong way round. Set by hand: an object that reaches so far beyond
every picture cannot be reconstructed."""
MOST_SHOWN = 8
"""Labels that a message lists."""


def object_mask(path: Path, pixels: np.ndarray) -> Bool:
    """The object's pixels (H, W) of a mask picture (H, W) or (H, W, 3 or 4), uint8 or uint16.

    Grey is the object from half of white on, opaque is it where an alpha channel is not opaque all over. Where nothing
    is that bright, or colours differ by more than brightness, values are labels, of which one that is not 0 may be
    there. Raises BAD_CAPTURE for several.
    """
    if pixels.ndim == 3 and pixels.shape[2] == 4 and pixels[..., 3].min() < np.iinfo(pixels.dtype).max:
        return pixels[..., 3] > np.iinfo(pixels.dtype).max // 2
    if pixels.ndim == 3:
        pixels = pixels[..., :3]
        if (pixels == pixels[..., :1]).all():
            pixels = pixels[..., 0]
        else:
            colours = np.unique(pixels.reshape(-1, pixels.shape[2]), axis=0)
            return _one_label(path, np.asarray(pixels.any(axis=2)), [tuple(c.tolist()) for c in colours if c.any()])
    if pixels.max(initial=0) > np.iinfo(pixels.dtype).max // 2:
        return pixels > np.iinfo(pixels.dtype).max // 2
    return _one_label(path, pixels > 0, np.unique(pixels[pixels > 0]).tolist())


def check_masks(source: Path, views: Sequence[View]) -> None:
    """Raises BAD_CAPTURE where masks cover the borders of the pictures and leave out something: what is black then is
    the object, or what a trainer should leave out."""
    masks = [view.mask for view in views if view.mask is not None]
    if not masks or all(mask.all() for mask in masks):
        return
    borders = np.concatenate([side for mask in masks for side in (mask[0], mask[-1], mask[:, 0], mask[:, -1])])
    if borders.mean() >= INVERTED:
        raise bad_capture(
            source,
            f"the masks are white on {borders.mean():.0%} of the pictures' borders: a mask is white on the object and "
            "black elsewhere; invert them, or take them out where they mark what to leave out",
        )


def _one_label(path: Path, mask: Bool, labels: Sequence[object]) -> Bool:
    if len(labels) > 1:
        shown = ", ".join(str(label) for label in labels[:MOST_SHOWN]) + (" ..." if len(labels) > MOST_SHOWN else "")
        raise bad_capture(
            path, f"holds {len(labels)} labels ({shown}): which of them is the object is not known; save a mask of it"
        )
    return mask
