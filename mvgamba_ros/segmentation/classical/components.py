"""Connected components and holes of a window's labels."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from mvgamba_ros.config.segmentation_config import ComponentConfig
from mvgamba_ros.segmentation.windows import Window, distance_from_middle
from mvgamba_ros.types import F32, Bool


def largest_component(labels: Bool, window: Window, config: ComponentConfig) -> Bool:
    """The component with most pixels, those far from the middle weighing less; pieces near each other are one."""
    side = max(3, int(config.joined * max(window.shape))) | 1
    joined = cv2.dilate(labels.astype(np.uint8), np.ones((side, side), np.uint8))
    count, components = cv2.connectedComponents(joined)
    if count < 3:
        return labels
    weight = np.exp(-((config.center_weight * distance_from_middle(window)) ** 2)) * labels
    mass = np.bincount(components.ravel(), weight.ravel(), minlength=count)
    mass[0] = 0.0
    return labels & (components == int(mass.argmax()))


def without_islands(labels: Bool, window: Window, config: ComponentConfig) -> Bool:
    """The labels without islands that are small beside the largest."""
    labels = labels.copy()
    count, islands, stats, _ = cv2.connectedComponentsWithStats(labels.astype(np.uint8), connectivity=4)
    area = stats[:, cv2.CC_STAT_AREA]
    for island in range(1, count):
        if area[island] < config.min_island * area[1:].max() and not window.on[islands == island].any():
            labels[islands == island] = False
    return labels


def cleaned(labels: Bool, window: Window, odds: F32, config: ComponentConfig) -> Bool:
    """The labels `without_islands`, and without holes that are likely prints."""
    labels = without_islands(labels, window, config)
    labels = fill_small_holes(labels, window.off, config)
    for hole in holes(labels, window.off):
        # a print taken for a hole would cut a tunnel through the object
        if np.percentile(odds[hole], config.hole_percentile) > config.hole_log_odds:
            labels[hole] = True
    return labels


def holes(mask: Bool, off: Bool) -> Iterator[Bool]:
    """Each hole of ``mask`` (h, w), as (h, w), but for those with a pixel in ``off`` (h, w), which is background."""
    count, parts, stats, _ = cv2.connectedComponentsWithStats((~mask).astype(np.uint8), connectivity=4)
    height, width = mask.shape
    for part in range(1, count):
        x, y, w, h, _ = stats[part]
        if x > 0 and y > 0 and x + w < width and y + h < height:
            hole = parts == part
            if not off[hole].any():
                yield hole


def fill_small_holes(mask: Bool, off: Bool, config: ComponentConfig = ComponentConfig()) -> Bool:
    """``mask`` with those of its `holes` filled that are smaller than ``config.min_hole`` of it."""
    filled, most = mask.copy(), config.min_hole * mask.sum()
    for hole in holes(mask, off):
        if hole.sum() < most:
            filled |= hole
    return filled
