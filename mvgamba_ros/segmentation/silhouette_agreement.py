"""Silhouette consistency: a grid over the region on which the views' log-odds, or labels, of the object meet."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from mvgamba_ros.config.segmentation_config import AgreementConfig
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.camera import project
from mvgamba_ros.geometry.se3 import transform
from mvgamba_ros.segmentation.windows import Window
from mvgamba_ros.types import F32, F64, Bool, Box, View, view_name

UNSEEN = np.float32(0.0)
"""`gather` gives this for cells outside a window: neither for nor against the object."""


class OccupancyGrid:
    """Cells over ``region`` above ``floor`` (world z, metres; None: all of them), and the pixel of each window in which
    each appears. ``points`` (N, 3): the cells' centres, world, metres; ``cell``: their size, metres."""

    def __init__(
        self, windows: Sequence[Window], region: Box, floor: float | None, config: AgreementConfig = AgreementConfig()
    ) -> None:
        cell = float(region.size.max()) / config.cells
        counts = np.maximum(np.round(region.size / cell).astype(int), 1)
        lines = [(np.arange(n) + 0.5) / n - 0.5 for n in counts]
        grid = np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1).reshape(-1, 3) * region.size
        points = transform(region.T_world_box, grid)
        if floor is not None:
            points = points[points[:, 2] > floor]
        self.points: F64 = points
        self.counts: tuple[int, ...] = tuple(counts)
        self.cell = cell
        self.config = config
        self._shapes: list[tuple[int, int]] = []
        self._flat: list[np.ndarray] = []
        self._sizes = [window.shape[::-1] for window in windows]
        for window in windows:
            pixels, z = project(window.camera, window.T_world_camera, points)
            # pixels as large as a projected cell, so that neighbouring cells leave no gaps
            size = cell * window.camera.K[0, 0] / float(np.median(z)) if len(points) else 1.0
            shrink = max(1.0, config.cell_pixels * size)
            shape = max(1, int(np.ceil(window.shape[0] / shrink))), max(1, int(np.ceil(window.shape[1] / shrink)))
            x, y = np.floor(np.nan_to_num(pixels, nan=-1.0) / shrink).astype(int).T
            inside = (x >= 0) & (y >= 0) & (x < shape[1]) & (y < shape[0]) & (z > 0)
            self._shapes.append(shape)
            self._flat.append(np.where(inside, y * shape[1] + x, -1))  # -1: one place past the picture's last

    def gather(self, odds: Sequence[F32]) -> F32:
        """(V, N): each view's log-odds (h, w) of the object at each cell, `UNSEEN` outside its window."""
        out = np.empty((len(odds), len(self.points)), np.float32)
        for i, view_odds in enumerate(odds):
            height, width = self._shapes[i]
            small = cv2.resize(view_odds, (width, height), interpolation=cv2.INTER_AREA)
            np.append(small.ravel(), UNSEEN).take(self._flat[i], out=out[i], mode="wrap")
        return out

    def votes(self, labels: Sequence[Bool]) -> F32:
        """`gather` of labels (h, w): 1 on the object, -1 off it, between where a cell lies across a border."""
        return self.gather([np.where(mask, 1.0, -1.0).astype(np.float32) for mask in labels])

    def agreed(self, labels: Sequence[Bool], min_vote: float) -> F64:
        """(N, 3): centres of the cells, world, metres, that two views or more see and on which no vote of ``labels`` is
        below ``min_vote``."""
        return self.points[self.agreed_cells(labels, min_vote)]

    def agreed_cells(self, labels: Sequence[Bool], min_vote: float) -> Bool:
        """(N,): which cells those are."""
        votes = self.votes(labels)
        return (votes.min(axis=0) > min_vote) & ((votes != UNSEEN).sum(axis=0) >= 2)

    def max_along_rays(self, i: int, values: F32, empty: float) -> F32:
        """(h, w) of window i: largest of the cells' ``values`` (N,) on each pixel's ray, ``empty`` without cells."""
        height, width = self._shapes[i]
        out = np.full(height * width + 1, empty, np.float32)
        np.maximum.at(out, self._flat[i], values)
        small = out[:-1].reshape(height, width)
        return cv2.resize(small, self._sizes[i], interpolation=cv2.INTER_LINEAR)  # type: ignore[return-value]


def check_silhouettes(views: Sequence[View], labels: Sequence[Bool], grid: OccupancyGrid) -> None:
    """Raises EMPTY_SILHOUETTE or SILHOUETTES_DISAGREE for ``labels`` (h, w), one per window, not of one object."""
    for index, mask in enumerate(labels):
        if np.count_nonzero(mask) < grid.config.min_pixels:
            raise ReconstructionError(
                ErrorCode.EMPTY_SILHOUETTE,
                f"nothing that stands out from its background was found in {view_name(views[index], index)}: check "
                "that the region of interest holds the object, give a point on it, or change light or background",
            )
    if len(views) < 2:
        return
    votes = grid.votes(labels)
    hull = np.where(votes.min(axis=0) > grid.config.hull_vote, 1.0, -1.0).astype(np.float32)
    for index, mask in enumerate(labels):
        covered = grid.max_along_rays(index, hull, -1.0) > 0.0
        share = np.count_nonzero(covered & mask) / np.count_nonzero(mask)
        if share < grid.config.min_explained:
            raise ReconstructionError(
                ErrorCode.SILHOUETTES_DISAGREE,
                f"only {share:.0%} of the silhouette in {view_name(views[index], index)} is explained by the other "
                "views: check that view's pose and time stamp, that the object stood still, or give a region of "
                "interest",
            )
