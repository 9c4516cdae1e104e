"""Windows of any size in the square pictures that a segmentation network takes."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from mvgamba_ros.segmentation.plane_matching import PlanePair
from mvgamba_ros.segmentation.windows import Window
from mvgamba_ros.types import F32, U8


def fitted_size(window: Window, side: int) -> tuple[int, int]:
    """Height and width of a window whose longer side is ``side`` pixels."""
    scale = side / max(window.shape)
    return max(1, round(window.shape[0] * scale)), max(1, round(window.shape[1] * scale))


def fit_layers(out: U8, window: Window, compared: Sequence[PlanePair]) -> None:
    """Write into the upper left corner of ``out`` (8, S, S), of zeros, a window that is shrunk or stretched to it: its
    colours (3), where the object may be, where there is a picture at all, and of the comparisons through the support
    plane which share of the other views show the plane there, match it, and would match by chance."""
    side = out.shape[-1]
    height, width = fitted_size(window, side)
    smooth = cv2.INTER_AREA if max(window.shape) > side else cv2.INTER_LINEAR
    counts = np.zeros((3, *window.shape), np.float32)
    for pair in compared:
        for count, per_pair in zip(counts, (pair.seen, pair.match, pair.seen * pair.chance), strict=True):
            np.add(count, per_pair, out=count)
    counts *= 255.0 / max(len(compared), 1)
    layers = [*cv2.split(window.rgb), 255.0 * window.allowed, np.full(window.shape, 255.0), *counts]
    for small, layer in zip(out, layers, strict=True):
        layer = cv2.resize(layer.astype(np.float32), (width, height), interpolation=smooth)
        np.rint(layer, out=small[:height, :width], casting="unsafe")


def unfitted(values: F32, window: Window) -> F32:
    """(h, w) of a window from ``values`` (S, S) at the network's picture of it."""
    height, width = fitted_size(window, values.shape[-1])
    return np.asarray(cv2.resize(values[:height, :width], window.shape[::-1]), np.float32)
