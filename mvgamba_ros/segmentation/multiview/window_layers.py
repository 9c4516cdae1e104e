"""What the instance network is given of each window: its picture, what is known of where the object is, the comparison
through the support plane, and measured depth."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from mvgamba_ros.geometry.camera import crop
from mvgamba_ros.geometry.se3 import inverse, transform
from mvgamba_ros.segmentation.network_pictures import fit_layers, fitted_size
from mvgamba_ros.segmentation.plane_matching import PlanePair
from mvgamba_ros.segmentation.support_plane import depth_points
from mvgamba_ros.segmentation.windows import Window
from mvgamba_ros.types import U8, Box, Camera

SIDE = 160
"""Longer side of a window at the network's input; the weights are trained for it."""
LAYERS = (
    "red",
    "green",
    "blue",
    "allowed",
    "picture",
    "plane_seen",
    "plane_match",
    "plane_chance",
    "points",
    "depth_known",
    "depth_inside",
    "depth_height",
)
"""``allowed``: the region's projection; ``picture``: whether there is a pixel at all; ``plane_*``: shares of the other
views that show the support plane there, that match through it, and that would by chance; ``points``: 255 on a point of
the object, 0 on one off it, else 128; ``depth_*``: whether depth was measured, lies in the region, and how high above
the support plane, or the region's floor."""
FITTED = LAYERS.index("points")
"""The first so many are those of `fit_layers`."""
PICTURE, ALLOWED = LAYERS.index("picture"), LAYERS.index("allowed")
LOWEST, HIGHEST = -0.25, 1.25
"""Heights that ``depth_height`` tells apart, in the region's own height."""


def fitted(window: Window) -> tuple[int, int]:
    """Height and width of a window at the network's input."""
    return fitted_size(window, SIDE)


def fitted_camera(window: Window) -> Camera:
    """The camera of a window at the network's input."""
    height, width = fitted(window)
    return crop(window.camera, 0, 0, window.camera.width, window.camera.height, width, height)


def window_layers(
    windows: Sequence[Window], pairs: Sequence[Sequence[PlanePair]], region: Box, height: float | None
) -> U8:
    """(V, len(LAYERS), SIDE, SIDE): windows shrunk or stretched to SIDE, in the upper left corner of zeros.

    Args:
        windows: V windows of ``region``.
        pairs: Comparisons of each with others through the plane; none where there is no plane.
        region: World, metres.
        height: World z of the support plane, metres; None where it is not known.
    """
    out = np.zeros((len(windows), len(LAYERS), SIDE, SIDE), np.uint8)
    for picture, window, compared in zip(out, windows, pairs, strict=True):
        fit_layers(picture[:FITTED], window, compared)
        h, w = fitted(window)
        points = np.where(window.on, 255, np.where(window.off, 0, 128)).astype(np.uint8)
        for small, layer in zip(picture[FITTED:], [points, *depth_layers(window, region, height)], strict=True):
            small[:h, :w] = cv2.resize(layer, (w, h), interpolation=cv2.INTER_NEAREST)
    return out


def depth_layers(window: Window, region: Box, height: float | None) -> U8:
    """(3, h, w): the layers ``depth_*`` of a window."""
    out = np.zeros((3, *window.shape), np.uint8)
    if window.depth is None:
        return out
    points, known = depth_points(window)
    local = transform(inverse(region.T_world_box), points.reshape(-1, 3)).reshape(points.shape)
    inside = (np.abs(local) <= 0.5 * region.size).all(axis=-1)
    above = local[..., 2] / region.size[2] + 0.5 if height is None else (points[..., 2] - height) / region.size[2]
    out[0] = 255 * known
    out[1] = 255 * (known & inside)
    out[2] = np.where(known, 255.0 * np.clip((above - LOWEST) / (HIGHEST - LOWEST), 0.0, 1.0), 0.0)
    return out
