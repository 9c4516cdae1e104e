"""The horizontal plane that the object stands on: its height, where texture or depth shows it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mvgamba_ros.checks import check_prompts
from mvgamba_ros.config.segmentation_config import SegmentationConfig
from mvgamba_ros.config.support_plane_config import SupportDepthConfig
from mvgamba_ros.geometry.rays import rays
from mvgamba_ros.segmentation.plane_height import estimate_height, refine_height
from mvgamba_ros.segmentation.windows import Window, common_region, make_windows
from mvgamba_ros.types import F64, Bool, Box, Prompts, View


def estimate_support_height(
    views: Sequence[View], prompts: Prompts, config: SegmentationConfig = SegmentationConfig()
) -> tuple[float | None, float]:
    """World z in metres of the horizontal plane under the object, and its clarity, [0, 1].

    From depth where the views have it, else from the plane's texture, on which views agree at one height only. A region
    of interest in ``prompts`` (for instance the bounds of the carved object) makes it more certain: the plane is then
    measured around the object. The height is None where the evidence is weak, as on a plain table: never a guess.
    Raises as the segmenter does for prompts that fit no view.
    """
    check_prompts(views, prompts)
    searching = prompts.roi is None
    region = common_region(views, prompts, config.windows) if prompts.roi is None else prompts.roi
    windows = make_windows(views, region, prompts, config.windows.side, config.windows)
    return support_height(windows, region, searching, config)


def refine_support_height(
    views: Sequence[View], region: Box, height: float, config: SegmentationConfig = SegmentationConfig()
) -> float:
    """``height`` of `estimate_support_height` in a wider region, refined by the background around ``region``."""
    windows = make_windows(
        views[:: -(-len(views) // config.plane_height.views)], region, Prompts(), config.windows.side, config.windows
    )
    measured, _ = _from_depth(windows, region, False, config.support_depth)
    if measured is not None:
        return measured
    return refine_height(windows, region, height, config.plane_height, config.plane)


def support_height(
    windows: Sequence[Window], region: Box, anywhere: bool, config: SegmentationConfig = SegmentationConfig()
) -> tuple[float | None, float]:
    """`estimate_support_height` on windows; the region is left out unless the object may be ``anywhere`` in it."""
    height, clarity = _from_depth(windows, region, anywhere, config.support_depth)
    if height is not None:
        return height, clarity
    return estimate_height(windows, region, anywhere, config.plane_height, config.plane)


def depth_points(window: Window) -> tuple[F64, Bool]:
    """World points (h, w, 3) that the window's depth measured, and (h, w) True where it measured any."""
    if window.depth is None:
        return np.zeros((*window.shape, 3)), np.zeros(window.shape, bool)
    origin, directions = rays(window.camera, window.T_world_camera)
    per_z = directions / (directions @ window.T_world_camera[:3, 2])[..., None]
    return origin + per_z * window.depth[..., None], window.depth > 0.0


def _from_depth(
    windows: Sequence[Window], region: Box, anywhere: bool, config: SupportDepthConfig
) -> tuple[float | None, float]:
    heights = []
    for window in windows:
        points, measured = depth_points(window)
        heights.append(points[measured & (anywhere | ~window.allowed)][:, 2])
    z = np.concatenate(heights)
    reach = float(np.abs(region.T_world_box[2, :3]) @ region.size)
    z = z[np.abs(z - region.T_world_box[2, 3]) < reach]
    if len(z) < config.min_readings:
        return None, 0.0
    counts, borders = np.histogram(z, bins=np.arange(z.min() - config.bin, z.max() + 2 * config.bin, config.bin))
    best = int((counts[:-1] + counts[1:]).argmax())  # a plane may lie on the border of two bins
    inside = (z >= borders[best]) & (z < borders[best + 2])
    share = float(inside.mean())
    return (float(np.median(z[inside])) if share >= config.min_share else None), share
