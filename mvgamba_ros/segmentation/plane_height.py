"""Height of the support plane: a plane sweep, at whose right height all views agree on the plane's texture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mvgamba_ros.config.support_plane_config import PlaneHeightConfig, PlaneMatchingConfig
from mvgamba_ros.geometry.camera import projection
from mvgamba_ros.kernels.homography import plane_sweep
from mvgamba_ros.parallel import each
from mvgamba_ros.segmentation.plane_matching import for_pictures, weighted_lab
from mvgamba_ros.segmentation.windows import Window, distance_from_middle
from mvgamba_ros.types import F32, F64, Box


def estimate_height(
    windows: Sequence[Window],
    region: Box,
    anywhere: bool,
    config: PlaneHeightConfig,
    matching: PlaneMatchingConfig,
) -> tuple[float | None, float]:
    """Height of the textured horizontal plane through ``region`` that the windows agree on, and how clearly, [0, 1].

    The clarity is the share of the plane's points, beyond those that agree by chance at nearby heights, on which the
    views agree. The height is None where that is too small to trust: never a guess. The region itself, where the
    object hides the plane, is left out; of one that the object may be ``anywhere`` in, the middle.
    """
    if len(windows) < 2 or not all(window.T_world_camera[2, 2] < -config.min_downward for window in windows):
        return None, 0.0  # cameras must look down at a table
    center = region.T_world_box[:3, 3]
    reach = max(float(np.abs(region.T_world_box[2, :3]) @ region.size) / 2, config.min_reach)
    low = center[2] - config.below * reach
    lowest = min(window.T_world_camera[2, 3] for window in windows)
    high = min(center[2] + config.above * reach, lowest - config.camera_clearance)
    step = max(2.0 * reach / config.heights, config.finest_step)
    if high - low < config.peak_neighborhood * step:
        return None, 0.0
    planes = _PlaneGrid.around(windows, region, anywhere, config, matching)
    heights = np.arange(low, high + step, step)
    share, compared = planes.shares(heights)
    enough = compared >= max(config.min_points, config.min_points_share * float(compared.max()))
    excess = np.zeros(len(heights))
    for k in range(config.peak_width + 1, len(heights) - config.peak_width - 1):
        # above what is usual a little higher and lower: a peak, not a slope
        away = np.abs(np.arange(len(heights)) - k)
        near = enough & (away > config.peak_width) & (away <= config.peak_neighborhood)
        if enough[k] and near[:k].any() and near[k:].any():
            usual = max(float(np.median(share[:k][near[:k]])), float(np.median(share[k:][near[k:]])))
            excess[k] = (share[k] - usual) / max(1.0 - usual, 1e-3)
    best = int(excess.argmax())
    clarity, height = float(np.clip(excess[best], 0.0, 1.0)), float(heights[best])
    rival = float(excess[np.abs(np.arange(len(heights)) - best) > config.peak_width + 1].max(initial=0.0))
    if clarity < config.min_clarity or rival > config.max_rival * clarity:
        return None, clarity
    return _finest(planes, height, float(share[best]), step, config.finest_step), clarity


def refine_height(
    windows: Sequence[Window], region: Box, height: float, config: PlaneHeightConfig, matching: PlaneMatchingConfig
) -> float:
    """``height`` of `estimate_height` in windows of a wider region, refined in these ``windows``; unchanged where they
    show too little of the plane."""
    planes = _PlaneGrid.around(windows, region, False, config, matching)
    heights = height + np.arange(-config.refine_reach, config.refine_reach + config.finest_step, config.refine_step)
    share, compared = planes.shares(heights)
    if compared[len(heights) // 2] < config.min_points:
        return height
    best = int(share.argmax())
    return _finest(planes, float(heights[best]), float(share[best]), config.refine_step, config.finest_step)


def _finest(planes: _PlaneGrid, height: float, share: float, step: float, finest: float) -> float:
    """The height near ``height``, where steps of ``step`` found it with ``share`` alike, in steps of ``finest``."""
    while step > finest:
        step /= 2.0
        (below, above), _ = planes.shares(height + step * np.array([-1.0, 1.0]))
        shares = below, share, above
        share = max(shares)
        height += step * (shares.index(share) - 1)
    return height


@dataclass(frozen=True)
class _PlaneGrid:
    """A grid of N points on the plane z = 0 in V windows, as `kernels.homography.plane_sweep` takes it: ``pictures``,
    ``flat`` (V, 3, N) and ``up`` (V, 3)."""

    pictures: list[F32]
    flat: F64
    up: F64
    config: PlaneHeightConfig

    @classmethod
    def around(
        cls,
        windows: Sequence[Window],
        region: Box,
        anywhere: bool,
        config: PlaneHeightConfig,
        matching: PlaneMatchingConfig,
    ) -> _PlaneGrid:
        """A square of points around ``region``; see `estimate_height`."""
        radius, center = config.grid_size * float(np.linalg.norm(region.size)), region.T_world_box[:3, 3]
        line = np.linspace(-radius, radius, config.grid)
        grid = np.stack(np.meshgrid(line + center[0], line + center[1]), axis=-1).reshape(-1, 2)
        M = np.stack([projection(window.camera, window.T_world_camera) for window in windows])
        flat = M[:, :, :2] @ grid.T + M[:, :, 3:]
        # pixels' centres at whole numbers
        flat[:, :2] -= 0.5 * flat[:, 2:]
        up = M[:, :, 2].copy()
        up[:, :2] -= 0.5 * up[:, 2:]
        margin = config.excluded_center if anywhere else None
        matching = for_pictures(windows, matching)
        return cls(each(lambda window: _picture(window, margin, matching), windows), flat, up, config)

    def shares(self, heights: F64) -> tuple[F64, F64]:
        """Share of points on whose colours views agree, and number compared, (H,) both, at each of ``heights`` (H,)."""
        alike, compared = plane_sweep(
            self.pictures, self.flat, self.up, heights, self.config.tolerance, self.config.min_pair_points
        )
        return alike / np.maximum(compared, 1.0), compared


def _picture(window: Window, excluded: float | None, matching: PlaneMatchingConfig) -> F32:
    """(h, w, 4): the window's colours, and 1 where it counts: off the area where the object may be,
    or further from its middle than ``excluded``."""
    counts = ~window.allowed if excluded is None else distance_from_middle(window) > excluded
    return np.dstack([weighted_lab(window, matching), counts.astype(np.float32)])
