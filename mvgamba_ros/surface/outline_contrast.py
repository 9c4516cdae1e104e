"""Outline contrast: whether the picture shows an edge where a silhouette ends."""

from __future__ import annotations

import cv2
import numpy as np

from mvgamba_ros.config.quality_config import QualityConfig
from mvgamba_ros.geometry.raster import part_around
from mvgamba_ros.types import F32, View


def faint_outline(view: View, config: QualityConfig = QualityConfig()) -> float:
    """Share of the outline of a view's silhouette across which the picture hardly changes, [0, 1]; NaN for an empty
    mask.

    There the silhouette ends for no reason that is seen: at a shadow's or a neighbour's place, or anywhere on an object
    in the table's colours.
    """
    assert view.mask is not None
    side = config.contrast_distance
    part = part_around(view.mask, int(2 * side) + 1)
    mask = view.mask[part].astype(np.uint8)
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not outlines:
        return float("nan")
    points = np.concatenate([outline[:, 0] for outline in outlines])
    column, row = points.T
    depth = cv2.distanceTransform(mask, cv2.DIST_L2, 5) - cv2.distanceTransform(1 - mask, cv2.DIST_L2, 5)
    inward = np.stack([cv2.Sobel(depth, cv2.CV_32F, *axis)[row, column] for axis in ((1, 0), (0, 1))], axis=1)
    inward /= np.linalg.norm(inward, axis=1, keepdims=True) + 1e-6
    smooth = np.asarray(cv2.GaussianBlur(view.image[part].astype(np.float32), (0, 0), 0.8), np.float32)

    def colors(distance: float) -> F32:
        x, y = (points + distance * inward).astype(np.float32).T[:, :, None]
        return np.asarray(cv2.remap(smooth, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32)[:, 0]

    change = np.abs(colors(side) - colors(-side)).max(axis=1)
    return float((change < config.min_contrast).mean())
