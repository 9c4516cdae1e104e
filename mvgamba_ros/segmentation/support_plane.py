"""The horizontal plane that the object stands on: its height, where texture or depth shows it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mvgamba_ros.checks import check_prompts
from mvgamba_ros.geometry.rays import rays
from mvgamba_ros.segmentation.plane_height import estimate_height, refine_height
from mvgamba_ros.segmentation.windows import Window, common_region, make_windows
from mvgamba_ros.types import F64, Bool, Box, Prompts, View

SIDE = 224
SUPPORT_VIEWS = 4
"""So many views are compared to find the support plane; the work grows with the square."""
BIN = 0.004
"""Heights of depth readings are counted in bins of this size, metres."""
SHARE = 0.3
"""So much of the readings must lie in one bin to make a plane."""


def estimate_support_height(views: Sequence[View], prompts: Prompts) -> tuple[float | None, float]:
    """World z in metres of the horizontal plane under the object, and how clear it is, [0, 1].

    From depth where the views have it, else from the plane's texture, which looks the same from all views at one
    height only. A region of interest in ``prompts`` (for instance the bounds of the carved object) makes it surer:
    the plane is then judged around the object. The height is None where the evidence is weak, as on a plain table:
    never a guess. Raises as the segmenter does for prompts that fit no view.
    """
    check_prompts(views, prompts)
    searching = prompts.roi is None
    region = common_region(views, prompts) if prompts.roi is None else prompts.roi
    return support_height(make_windows(views, region, prompts, SIDE), region, anywhere=searching)


def refine_support_height(views: Sequence[View], region: Box, height: float) -> float:
    """``height`` of `estimate_support_height` in a wider region, as exactly as the surroundings of ``region`` tell."""
    windows = make_windows(views[:: -(-len(views) // SUPPORT_VIEWS)], region, Prompts(), SIDE)
    measured, _ = _from_depth(windows, region, anywhere=False)
    return refine_height(windows, region, height) if measured is None else measured


def support_height(windows: Sequence[Window], region: Box, anywhere: bool) -> tuple[float | None, float]:
    """`estimate_support_height` on windows; the region is left out unless the object may be ``anywhere`` in it."""
    height, clarity = _from_depth(windows, region, anywhere)
    if height is not None:
        return height, clarity
    return estimate_height(windows, region, anywhere)


def depth_points(window: Window) -> tuple[F64, Bool]:
    """World points (h, w, 3) that the window's depth measured, and (h, w) True where it measured any."""
    if window.depth is None:
        return np.zeros((*window.shape, 3)), np.zeros(window.shape, bool)
    origin, directions = rays(window.camera, window.T_world_camera)
    per_z = directions / (directions @ window.T_world_camera[:3, 2])[..., None]
    return origin + per_z * window.depth[..., None], window.depth > 0.0


def _from_depth(windows: Sequence[Window], region: Box, anywhere: bool) -> tuple[float | None, float]:
    heights = []
    for window in windows:
        points, known = depth_points(window)
        heights.append(points[known & (anywhere | ~window.allowed)][:, 2])
    z = np.concatenate(heights)
    reach = float(np.abs(region.T_world_box[2, :3]) @ region.size)
    z = z[np.abs(z - region.T_world_box[2, 3]) < reach]
    if len(z) < 500:
        return None, 0.0
    counts, borders = np.histogram(z, bins=np.arange(z.min() - BIN, z.max() + 2 * BIN, BIN))
    best = int((counts[:-1] + counts[1:]).argmax())  # a plane may lie on the border of two bins
    inside = (z >= borders[best]) & (z < borders[best + 2])
    share = float(inside.mean())
    return (float(np.median(z[inside])) if share >= SHARE else None), share
