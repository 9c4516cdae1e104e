"""Borders at full resolution: one more graph cut in a narrow band, with the colours found on its two sides."""

from __future__ import annotations

import cv2
import numpy as np

from mvgamba_ros.config.segmentation_config import SegmentationConfig
from mvgamba_ros.geometry.camera import crop, resample
from mvgamba_ros.geometry.raster import part_around
from mvgamba_ros.segmentation.classical.components import fill_small_holes
from mvgamba_ros.segmentation.classical.graph_cut import border_channels, minimum_cut
from mvgamba_ros.segmentation.color_model import cells, histogram, to_lab
from mvgamba_ros.segmentation.windows import Window
from mvgamba_ros.types import F32, U8, Bool, View


def refine_border(view: View, window: Window, labels: Bool, odds: F32, config: SegmentationConfig) -> Bool:
    """The full image's mask (H, W) from a window's ``labels`` and log-odds (h, w)."""
    border = config.border
    x0, y0, x1, y1 = window.rect
    scale = min(1.0, border.side / max(x1 - x0, y1 - y0))
    size = max(2, round((x1 - x0) * scale)), max(2, round((y1 - y0) * scale))
    finer = size[0] / window.shape[1]
    if finer > 1.0:
        rgb = resample(view.image, view.camera, crop(view.camera, *window.rect, *size))
        blurred = cv2.GaussianBlur(labels.astype(np.float32), (0, 0), border.blur)
        soft: F32 = cv2.resize(blurred, size)  # type: ignore[assignment]
        fine = soft > 0.5
        # pixels further away than the band and what lies beside it are not read
        part = part_around(fine, round(2 * border.band * finer) + border.beside)
        fine_odds: F32 = cv2.resize(odds, size)  # type: ignore[assignment]
        fine[part] = _cut(rgb[part], soft[part], fine_odds[part], finer, config)
        off_object = cv2.resize(window.off.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
        fine[part] = fill_small_holes(fine[part], off_object[part], config.components)
        labels = fine
    full = np.zeros(view.image.shape[:2], bool)
    full[y0:y1, x0:x1] = cv2.resize(labels.astype(np.float32), (x1 - x0, y1 - y0)) > 0.5
    return full


def _cut(rgb: U8, soft: F32, odds: F32, finer: float, config: SegmentationConfig) -> Bool:
    """New labels of a picture (h, w, 3) from the old ones, made ``soft``, and their log-odds, both (h, w)."""
    border, color_config = config.border, config.color
    lab = to_lab(rgb)
    on_side, off_side = (soft > 0.5).astype(np.uint8), (soft <= 0.5).astype(np.uint8)
    surely_on = cv2.distanceTransform(on_side, cv2.DIST_L2, 3) > border.band * finer
    surely_off = cv2.distanceTransform(off_side, cv2.DIST_L2, 3) > border.band * finer
    band = (~surely_on & ~surely_off).astype(np.uint8)
    beside = cv2.dilate(band, np.ones((2 * border.beside + 1, 2 * border.beside + 1), np.uint8)) > 0
    flat = cells(lab, color_config)
    on = histogram(flat, (surely_on & beside).astype(np.float32), color_config)
    off = histogram(flat, (surely_off & beside).astype(np.float32), color_config)
    ratio = np.log((on[flat] + color_config.floor) / (off[flat] + color_config.floor))
    color = np.clip(ratio, -border.max_color_log_odds, border.max_color_log_odds)
    total = border.color_weight * color + border.coarse_weight * odds + border.label_log_odds * (soft - 0.5)
    evidence = total.astype(np.float32)
    limit = config.graph_cut.max_evidence
    return minimum_cut(evidence, border_channels(lab), ~surely_off, surely_on, border.smoothness, limit)
