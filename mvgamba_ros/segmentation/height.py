"""Where the support plane is: the one height at which all views agree on what it looks like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mvgamba_ros.geometry.camera import projection
from mvgamba_ros.parallel import each
from mvgamba_ros.segmentation.plane import TOLERANCE, medians, sample, weighted
from mvgamba_ros.segmentation.region import Window, distance_from_middle
from mvgamba_ros.types import F32, F64, Bool, Box

FINEST = 0.0005
"""Heights are told apart no finer than this, metres."""
HEIGHTS = 64
"""Heights tried over the region's own."""
LEAST_REACH = 0.02
"""Heights are tried from below the region's middle to above it by this at least, however thin it is, metres."""
GRID = 48
"""Points of the plane that are compared, along a side of a square around the region."""
ENOUGH = 225.0
"""Fewer points of the plane, compared in any two views, say nothing."""
CLEAR = 0.1
"""A plane of less clarity than this is not believed."""
RIVAL = 0.5
"""Nor is one where a height elsewhere has more than this share of its clarity."""
MIDDLE = 0.5
"""An object that may be anywhere is taken to be nearer to the middle than this, where 1 is its region's edge: its own
flat top is a plane too."""
NEARBY, NEARBY_STEP = 0.003, 0.001
"""A height found in a wider region is right within the first; heights so far from it are tried in steps of the second,
metres."""


def estimate_height(windows: Sequence[Window], region: Box, anywhere: bool = False) -> tuple[float | None, float]:
    """Height of the textured horizontal plane through ``region`` that the windows agree on, and how clearly, [0, 1].

    The clarity is the share of the plane's points, beyond those that agree by chance at nearby heights, on which the
    views agree. The height is None where that is too small to trust: never a guess. The region itself, where the
    object hides the plane, is left out; of one that the object may be ``anywhere`` in, the middle.
    """
    if len(windows) < 2 or not all(window.T_world_camera[2, 2] < -0.1 for window in windows):
        return None, 0.0  # a table is looked down at
    center = region.T_world_box[:3, 3]
    reach = max(float(np.abs(region.T_world_box[2, :3]) @ region.size) / 2, LEAST_REACH)
    low = center[2] - 1.25 * reach
    high = min(center[2] + 0.25 * reach, min(window.T_world_camera[2, 3] for window in windows) - 0.02)
    step = max(2.0 * reach / HEIGHTS, FINEST)
    if high - low < 8 * step:
        return None, 0.0
    planes = _planes(windows, region, anywhere)
    heights = np.arange(low, high + step, step)
    share, compared = _shares(planes, heights)
    enough = compared >= max(ENOUGH, 0.25 * float(compared.max()))
    excess = np.zeros(len(heights))
    for k in range(3, len(heights) - 3):  # above what is usual a little higher and lower: a peak, not a slope
        near = enough & (np.abs(np.arange(len(heights)) - k) > 2) & (np.abs(np.arange(len(heights)) - k) <= 8)
        if enough[k] and near[:k].any() and near[k:].any():
            usual = max(float(np.median(share[:k][near[:k]])), float(np.median(share[k:][near[k:]])))
            excess[k] = (share[k] - usual) / max(1.0 - usual, 1e-3)
    best = int(excess.argmax())
    clarity, height = float(np.clip(excess[best], 0.0, 1.0)), float(heights[best])
    rival = float(excess[np.abs(np.arange(len(heights)) - best) > 3].max())
    if clarity < CLEAR or rival > RIVAL * clarity:
        return None, clarity
    return _finest(planes, height, float(share[best]), step), clarity


def refine_height(windows: Sequence[Window], region: Box, height: float) -> float:
    """``height`` of `estimate_height` in windows of a wider region, as exactly as these tell; as it is where they show
    too little of the plane."""
    planes = _planes(windows, region, anywhere=False)
    heights = height + np.arange(-NEARBY, NEARBY + FINEST, NEARBY_STEP)
    share, compared = _shares(planes, heights)
    if compared[len(heights) // 2] < ENOUGH:
        return height
    best = int(share.argmax())
    return _finest(planes, float(heights[best]), float(share[best]), NEARBY_STEP)


def _finest(planes: Sequence[_Plane], height: float, share: float, step: float) -> float:
    """The height near ``height``, where steps of ``step`` have found it with ``share`` alike, in steps of `FINEST`."""
    while step > FINEST:
        step /= 2.0
        (below, above), _ = _shares(planes, height + step * np.array([-1.0, 1.0]))
        shares = below, share, above
        share = max(shares)
        height += step * (shares.index(share) - 1)
    return height


def _shares(planes: Sequence[_Plane], heights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which share of the plane's points looks alike at each of ``heights`` (H,), and how many were compared, (H,)."""
    alike, compared = np.array([_agreement(planes, height) for height in heights]).T
    return alike / np.maximum(compared, 1.0), compared


def _planes(windows: Sequence[Window], region: Box, anywhere: bool) -> list[_Plane]:
    """Each window's grid of points on the plane around ``region``; see `estimate_height`."""
    radius, center = 0.75 * float(np.linalg.norm(region.size)), region.T_world_box[:3, 3]
    line = np.linspace(-radius, radius, GRID)
    grid = np.stack(np.meshgrid(line + center[0], line + center[1]), axis=-1).reshape(-1, 2)
    return each(lambda window: _Plane.of(window, grid, anywhere), windows)


@dataclass(frozen=True)
class _Plane:
    """A grid of points on the plane z = 0 in one window's homogeneous pixels, (3, N), and what one metre up adds, (3,).
    ``picture`` (h, w, 4): colour, and 1 where the window counts."""

    picture: F32
    flat: F64
    up: F64

    @classmethod
    def of(cls, window: Window, grid: F64, anywhere: bool) -> _Plane:
        lab = weighted(window)
        counts = distance_from_middle(window) > MIDDLE if anywhere else ~window.allowed
        picture = np.dstack([lab, counts.astype(np.float32)])
        M = projection(window.camera, window.T_world_camera)
        return cls(picture, M[:, :2] @ grid.T + M[:, 3:], M[:, 2])

    def at(self, height: float) -> tuple[F32, Bool]:
        """Colours (3, N) of the grid's points at ``height``, and which of them the window shows, (N,)."""
        x, y, z = self.flat + height * self.up[:, None]
        ahead = z > 0.0
        z = np.where(ahead, z, 1.0)
        columns = np.clip(x / z - 0.5, -1e4, 1e4).astype(np.float32)
        rows = np.clip(y / z - 0.5, -1e4, 1e4).astype(np.float32)
        inside = ahead & (columns > 0) & (rows > 0)
        inside &= (columns < self.picture.shape[1] - 1) & (rows < self.picture.shape[0] - 1)
        seen = sample(self.picture, columns[None], rows[None])[0]
        return np.ascontiguousarray(seen[:, :3].T), inside & (seen[:, 3] > 0.5)


def _agreement(planes: Sequence[_Plane], height: float) -> tuple[float, float]:
    """How many points of the plane look alike in a pair of views, each counted up to 1, and how many were compared."""
    colors, valid = zip(*(each.at(height) for each in planes), strict=True)
    alike, compared = 0.0, 0.0
    for i in range(len(colors)):
        for j in range(i):
            both = np.flatnonzero(valid[i] & valid[j])
            if len(both) < 34:
                continue
            difference = colors[i].take(both, axis=1) - colors[j].take(both, axis=1)
            difference -= medians(difference)  # the views may expose differently
            distance = np.sqrt((difference**2).sum(axis=0))
            alike += float(np.maximum(1.0 - distance / (1.5 * TOLERANCE), 0.0).sum())
            compared += float(len(both))
    return alike, compared
