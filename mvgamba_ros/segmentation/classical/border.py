"""Borders at full resolution: one more cut in a narrow band, with the colours found on its two sides."""

from __future__ import annotations

import cv2
import numpy as np

from mvgamba_ros.geometry.camera import crop, resample
from mvgamba_ros.geometry.raster import part_around
from mvgamba_ros.segmentation.classical.components import without_small_holes
from mvgamba_ros.segmentation.classical.graph_cut import best_labels, edges
from mvgamba_ros.segmentation.color_model import FLOOR, cells, histogram
from mvgamba_ros.segmentation.windows import Window
from mvgamba_ros.types import F32, U8, Bool, View

FINE_SIDE = 640
"""Longer side of a window while its borders are refined."""
BAND = 1.5
"""Half the width of the band, in pixels of the coarse window."""
BESIDE = 8
"""So far beside the band colours are learned, pixels of the fine window."""
SMOOTHNESS = 1.6


def refine(view: View, window: Window, labels: Bool, odds: F32) -> Bool:
    """The full image's mask (H, W) from a window's ``labels`` and log-odds (h, w)."""
    x0, y0, x1, y1 = window.rect
    scale = min(1.0, FINE_SIDE / max(x1 - x0, y1 - y0))
    size = max(2, round((x1 - x0) * scale)), max(2, round((y1 - y0) * scale))
    finer = size[0] / window.shape[1]
    if finer > 1.05:
        rgb = resample(view.image, view.camera, crop(view.camera, *window.rect, *size))
        soft: F32 = cv2.resize(cv2.GaussianBlur(labels.astype(np.float32), (0, 0), 0.8), size)  # type: ignore[assignment]
        fine = soft > 0.5
        # nothing that is further away than the band and what lies beside it is looked at
        part = part_around(fine, round(2 * BAND * finer) + BESIDE)
        fine_odds: F32 = cv2.resize(odds, size)  # type: ignore[assignment]
        fine[part] = _cut(rgb[part], soft[part], fine_odds[part], finer)
        not_it = cv2.resize(window.off.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
        fine[part] = without_small_holes(fine[part], not_it[part])
        labels = fine
    full = np.zeros(view.image.shape[:2], bool)
    full[y0:y1, x0:x1] = cv2.resize(labels.astype(np.float32), (x1 - x0, y1 - y0)) > 0.5
    return full


def _cut(rgb: U8, soft: F32, odds: F32, finer: float) -> Bool:
    """New labels of a picture (h, w, 3) from the old ones, made ``soft``, and their log-odds, both (h, w)."""
    lab = cv2.cvtColor(rgb.astype(np.float32) / 255.0, cv2.COLOR_RGB2LAB)
    on_side, off_side = (soft > 0.5).astype(np.uint8), (soft <= 0.5).astype(np.uint8)
    surely_on = cv2.distanceTransform(on_side, cv2.DIST_L2, 3) > BAND * finer
    surely_off = cv2.distanceTransform(off_side, cv2.DIST_L2, 3) > BAND * finer
    band = (~surely_on & ~surely_off).astype(np.uint8)
    beside = cv2.dilate(band, np.ones((2 * BESIDE + 1, 2 * BESIDE + 1), np.uint8)) > 0
    flat = cells(lab)  # type: ignore[arg-type]
    on = histogram(flat, (surely_on & beside).astype(np.float32))
    off = histogram(flat, (surely_off & beside).astype(np.float32))
    color = np.clip(np.log((on[flat] + FLOOR) / (off[flat] + FLOOR)), -3.0, 3.0)
    total = 0.6 * color + 0.3 * odds + 4.0 * (soft - 0.5)
    return best_labels(total.astype(np.float32), edges(lab), ~surely_off, surely_on, SMOOTHNESS)  # type: ignore[arg-type]
