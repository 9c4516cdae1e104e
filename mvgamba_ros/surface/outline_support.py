"""Whether outlines follow what the pictures show: a silhouette that ends where no colour changes was guessed."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from mvgamba_ros.config.wholeness_config import OutlineConfig
from mvgamba_ros.geometry.occlusion import beside_hidden, visible
from mvgamba_ros.geometry.raster import part_around
from mvgamba_ros.types import F32, View


def unsupported_outline(views: Sequence[View], config: OutlineConfig = OutlineConfig()) -> float:
    """Share of the outlines' length, [0, 1], mean over ``views`` with masks, along which no colour changes.

    At each pixel of the outline the colours on its two sides are compared across it (L*a*b*, smoothed over a pixel);
    the largest step counts within ``config.reach`` of it. What lies on the picture's border, or where another thing
    may cover the object, is left out.
    """
    shares = [1.0 - float((steps >= config.min_step).mean()) for view in views if len(steps := _steps(view, config))]
    return float(np.mean(shares)) if shares else 0.0


def _steps(view: View, config: OutlineConfig) -> F32:
    """(N,): the largest step of colour across each pixel of the outline."""
    whole = visible(view)
    part = part_around(whole, 4 * config.reach)
    mask, image = whole[part].astype(np.uint8), np.ascontiguousarray(view.image[part])
    not_own = beside_hidden(view)[part]
    shrink = config.side / max(whole.shape)
    if shrink < 1.0:
        image = cv2.resize(image, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
        mask = (cv2.resize(255 * mask, image.shape[1::-1], interpolation=cv2.INTER_AREA) > 127).astype(np.uint8)
        not_own = cv2.resize(255 * not_own.astype(np.uint8), image.shape[1::-1], interpolation=cv2.INTER_AREA) > 0
    lab = cv2.cvtColor(cv2.GaussianBlur(image.astype(np.float32) / 255.0, (0, 0), 1.0), cv2.COLOR_RGB2LAB)
    inside, outside = (cv2.distanceTransform(side, cv2.DIST_L2, 5) for side in (mask, 1 - mask))
    signed = cv2.GaussianBlur(inside - outside, (0, 0), 2.0)
    across = np.dstack([cv2.Sobel(signed, cv2.CV_32F, 1, 0), cv2.Sobel(signed, cv2.CV_32F, 0, 1)])
    edge = 2 * config.reach + 1  # what is compared lies in the picture
    outline = (inside > 0.0) & (inside <= 1.0)
    outline &= ~not_own
    outline[:edge] = outline[-edge:] = outline[:, :edge] = outline[:, -edge:] = False
    rows, columns = np.nonzero(outline)
    if not len(rows):
        return np.zeros(0, np.float32)
    step: F32 = across[rows, columns].astype(np.float32)
    step = step / (np.linalg.norm(step, axis=1, keepdims=True) + 1e-6)
    offsets = np.arange(-2 * config.reach, 2 * config.reach + 1, dtype=np.float32)
    x = columns[:, None] + offsets * step[:, :1]
    y = rows[:, None] + offsets * step[:, 1:]
    along = lab[np.rint(y).astype(np.int64), np.rint(x).astype(np.int64)]
    change = np.linalg.norm(along[:, 2 * config.reach :] - along[:, : -2 * config.reach], axis=2)
    return np.asarray(change.max(axis=1), np.float32)
