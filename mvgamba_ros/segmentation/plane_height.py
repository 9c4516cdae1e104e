"""Where the support plane is: the one height at which all views agree on what it looks like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mvgamba_ros.geometry.camera import projection
from mvgamba_ros.kernels.plane import plane_agreement
from mvgamba_ros.parallel import each
from mvgamba_ros.segmentation.plane_matching import TOLERANCE, weighted
from mvgamba_ros.segmentation.windows import Window, distance_from_middle
from mvgamba_ros.types import F32, F64, Box

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
    planes = _Planes.around(windows, region, anywhere)
    heights = np.arange(low, high + step, step)
    share, compared = planes.shares(heights)
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
    planes = _Planes.around(windows, region, anywhere=False)
    heights = height + np.arange(-NEARBY, NEARBY + FINEST, NEARBY_STEP)
    share, compared = planes.shares(heights)
    if compared[len(heights) // 2] < ENOUGH:
        return height
    best = int(share.argmax())
    return _finest(planes, float(heights[best]), float(share[best]), NEARBY_STEP)


def _finest(planes: _Planes, height: float, share: float, step: float) -> float:
    """The height near ``height``, where steps of ``step`` have found it with ``share`` alike, in steps of `FINEST`."""
    while step > FINEST:
        step /= 2.0
        (below, above), _ = planes.shares(height + step * np.array([-1.0, 1.0]))
        shares = below, share, above
        share = max(shares)
        height += step * (shares.index(share) - 1)
    return height


@dataclass(frozen=True)
class _Planes:
    """A grid of N points on the plane z = 0 in V windows, as `kernels.plane.plane_agreement` takes it: ``pictures``,
    ``flat`` (V, 3, N) and ``up`` (V, 3)."""

    pictures: list[F32]
    flat: F64
    up: F64

    @classmethod
    def around(cls, windows: Sequence[Window], region: Box, anywhere: bool) -> _Planes:
        """A square of points around ``region``; see `estimate_height`."""
        radius, center = 0.75 * float(np.linalg.norm(region.size)), region.T_world_box[:3, 3]
        line = np.linspace(-radius, radius, GRID)
        grid = np.stack(np.meshgrid(line + center[0], line + center[1]), axis=-1).reshape(-1, 2)
        M = np.stack([projection(window.camera, window.T_world_camera) for window in windows])
        flat = M[:, :, :2] @ grid.T + M[:, :, 3:]
        # pixels' centres at whole numbers
        flat[:, :2] -= 0.5 * flat[:, 2:]
        up = M[:, :, 2].copy()
        up[:, :2] -= 0.5 * up[:, 2:]
        return cls(each(lambda window: _picture(window, anywhere), windows), flat, up)

    def shares(self, heights: F64) -> tuple[F64, F64]:
        """Which share of the points looks alike at each of ``heights`` (H,), and how many were compared, (H,)."""
        alike, compared = plane_agreement(self.pictures, self.flat, self.up, heights, 1.5 * TOLERANCE)
        return alike / np.maximum(compared, 1.0), compared


def _picture(window: Window, anywhere: bool) -> F32:
    """(h, w, 4): the window's colours, and 1 where it counts."""
    counts = distance_from_middle(window) > MIDDLE if anywhere else ~window.allowed
    return np.dstack([weighted(window), counts.astype(np.float32)])
