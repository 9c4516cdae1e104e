"""Agreement between views: a grid of the region whose cells are as likely filled as their least willing view says."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from mvgamba_ros.geometry.camera import project
from mvgamba_ros.geometry.se3 import transform
from mvgamba_ros.segmentation.region import Window
from mvgamba_ros.types import F32, F64, Box

CELLS = 44
"""Cells along the longest side of the region."""
UNSEEN = 0.0
"""Log-odds that a view gives to cells it does not show."""


class Carving:
    """A grid over ``region`` above ``floor`` and where each of its cells appears in each window."""

    def __init__(self, windows: Sequence[Window], region: Box, floor: float | None) -> None:
        cell = float(region.size.max()) / CELLS
        counts = np.maximum(np.round(region.size / cell).astype(int), 4)
        lines = [(np.arange(n) + 0.5) / n - 0.5 for n in counts]
        grid = np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1).reshape(-1, 3) * region.size
        points = transform(region.T_world_box, grid)
        if floor is not None:
            points = points[points[:, 2] > floor]
        self.points: F64 = points
        self.cell = cell
        self._shapes, self._flat, self._shrink = [], [], []
        for window in windows:
            pixels, z = project(window.camera, window.T_world_camera, points)
            # pixels as large as a cell looks, so that neighbouring cells leave no gaps
            size = cell * window.camera.K[0, 0] / float(np.median(z)) if len(points) else 1.0
            shrink = max(1.0, 1.2 * size)
            shape = tuple(max(1, int(np.ceil(side / shrink))) for side in window.shape)
            at = np.floor(np.nan_to_num(pixels, nan=-1.0) / shrink).astype(int)
            inside = (at >= 0).all(axis=1) & (at[:, 0] < shape[1]) & (at[:, 1] < shape[0]) & (z > 0)
            self._shapes.append(shape)
            self._shrink.append(shrink)
            self._flat.append(np.where(inside, at[:, 1] * shape[1] + at[:, 0], -1))

    def gather(self, odds: Sequence[F32]) -> F32:
        """(V, cells): each view's log-odds (h, w) of the object at each cell."""
        out = np.full((len(odds), len(self.points)), UNSEEN, np.float32)
        for i, view_odds in enumerate(odds):
            height, width = self._shapes[i]
            small = cv2.resize(view_odds, (width, height), interpolation=cv2.INTER_AREA)
            seen = self._flat[i] >= 0
            out[i, seen] = small.ravel()[self._flat[i][seen]]
        return out

    def render(self, i: int, values: F32, empty: float) -> F32:
        """(h, w): the highest value among the cells on each pixel's ray in window i, ``empty`` where there is none."""
        height, width = self._shapes[i]
        out = np.full(height * width, empty, np.float32)
        keep = (self._flat[i] >= 0) & (values > empty)
        order = np.argsort(values[keep])
        out[self._flat[i][keep][order]] = values[keep][order]  # the last, highest one stays
        return out.reshape(height, width)

    def full(self, i: int, small: F32, window: Window) -> F32:
        return cv2.resize(small, window.shape[::-1], interpolation=cv2.INTER_LINEAR)  # type: ignore[return-value]
