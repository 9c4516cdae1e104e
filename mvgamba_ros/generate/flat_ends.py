"""Where a shape that level cameras see ends below and above: no view sees these ends, only how far they reach.

Silhouettes of level cameras leave a roof on the visual hull: behind the edge that each of them sees, lines of sight go
on rising, or falling, and the hull with them. The object ends flat where that explains every silhouette: at the height
at which the line of sight along the outline's lowest, or highest, edge enters the hull.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mvgamba_ros.generate.alignment_config import AlignmentConfig
from mvgamba_ros.geometry.distance_field import DistanceField
from mvgamba_ros.types import F64, View

SAMPLES = 512
"""Points along each line of sight: a finesse, not a setting."""


def flat_ends(
    views: Sequence[View], hull: DistanceField, config: AlignmentConfig = AlignmentConfig()
) -> tuple[float, float] | None:
    """The heights (low, high) of flat ends under which the ``hull`` still shows the masks of its ``views``, in the
    hull's unit; None of less than two level views. One view that shows another thing than the others is outvoted from
    four on."""
    level = [view for view in views if abs(view.T_world_camera[2, 2]) <= config.level]
    lows, highs = (np.array([_end(view, hull, way) for view in level]) for way in (1.0, -1.0))
    lows, highs = lows[np.isfinite(lows)], highs[np.isfinite(highs)]
    if min(len(lows), len(highs)) < 2:
        return None
    low = float(np.quantile(lows, 0.5, method="lower"))
    high = float(np.quantile(highs, 0.5, method="higher"))
    return (low, high) if low < high else None


def _end(view: View, hull: DistanceField, way: float) -> float:
    """The lowest height of the ends of one view's columns, for ``way`` 1; the highest for -1. NaN where no line of
    sight enters the hull."""
    assert view.mask is not None
    rows = np.arange(view.mask.shape[0])[:, None]
    columns = np.flatnonzero(view.mask.any(axis=0))
    last = np.where(view.mask, rows, -1).max(axis=0) if way > 0 else np.where(view.mask, rows, len(rows)).min(axis=0)
    inside = np.column_stack([columns + 0.5, last[columns] + 0.5])
    directions = _directions(view, inside)
    eye = view.T_world_camera[:3, 3]
    middle = hull.bounds().mean(axis=0)
    reach = float(np.linalg.norm(np.ptp(hull.bounds(), axis=0)))
    depth = float((middle - eye) @ view.T_world_camera[:3, 2])
    along = np.linspace(max(depth - reach, 0.0), depth + reach, SAMPLES)
    values = hull.sample((eye + directions[:, None] * along[None, :, None]).reshape(-1, 3)).reshape(len(columns), -1)
    enters = values > 0.0
    met = enters.any(axis=1)
    if not met.any():
        return np.nan
    edge = _directions(view, inside + np.array([0.0, 0.5 * way]))  # the outline is at the pixel's edge
    heights = eye[2] + edge[met, 2] * along[enters[met].argmax(axis=1)]
    return float(heights.min() if way > 0 else heights.max())


def _directions(view: View, pixels: F64) -> F64:
    """(N, 3) world directions of lines of sight, one unit deep, through ``pixels`` (N, 2)."""
    K = view.camera.K
    in_camera = np.column_stack([(pixels - K[:2, 2]) / K[[0, 1], [0, 1]], np.ones(len(pixels))])
    return np.asarray(in_camera @ view.T_world_camera[:3, :3].T, np.float64)
