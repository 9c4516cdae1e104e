"""How far measured depth is off as a whole, which its noise does not show: by calibration, or by the poses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mvgamba_ros.config.depth_config import DepthConfig
from mvgamba_ros.geometry.distance_field import DistanceField
from mvgamba_ros.geometry.occlusion import visible
from mvgamba_ros.geometry.rays import pixel_rays
from mvgamba_ros.geometry.se3 import transform
from mvgamba_ros.types import F64, Bool, View

READINGS = 2000
"""Of a view that are taken, about: a median needs no more."""


def measure_bias(
    views: Sequence[View], hull: DistanceField, support_height: float | None, config: DepthConfig = DepthConfig()
) -> float:
    """Root mean square over ``views`` (undistorted, with masks) of their depths' offsets, metres; 0 where none shows.

    Each view's is the larger of two: how far from the support plane at world z ``support_height`` it measured the
    surface around the object, along the optical axis, and how far outside the visual ``hull`` it measured the object.
    Both are medians, which noise does not move, less what the plane and the silhouettes may be off themselves.
    """
    offsets = [max(_off_plane(view, support_height, config), _off_hull(view, hull)) for view in views if _has(view)]
    if not offsets:
        return 0.0
    beyond = np.maximum(np.array(offsets) - config.reference_error, 0.0)
    return float(np.sqrt(np.mean(beyond**2)))


def without_biased_depth(
    views: Sequence[View], hull: DistanceField, support_height: float | None, config: DepthConfig = DepthConfig()
) -> tuple[list[View], list[str]]:
    """``views`` without depth where its bias is more than an ordinary sensor's, and a note; or as they are."""
    bias = measure_bias(views, hull, support_height, config)
    centre = hull.bounds().mean(axis=0)
    distance = float(np.median([np.linalg.norm(view.T_world_camera[:3, 3] - centre) for view in views]))
    if bias <= config.max_bias * distance:
        return list(views), []
    height = "" if support_height is None else f"the surface at the height of {support_height:.4g} m and "
    limit = config.max_bias * distance
    note = (
        f"depth lies {1e3 * bias:.0f} mm off {height}the silhouettes (at most {1e3 * limit:.0f} mm expected at this "
        "distance); it is set aside: check its calibration, the poses and the height"
    )
    return [replace(view, depth=None) for view in views], [note]


def _has(view: View) -> bool:
    return view.depth is not None and view.mask is not None


def _off_hull(view: View, hull: DistanceField) -> float:
    depth, rays = _readings(view, visible(view))
    if not len(depth):
        return 0.0
    return max(0.0, -float(np.median(hull.sample(transform(view.T_world_camera, rays * depth[:, None])))))


def _off_plane(view: View, support_height: float | None, config: DepthConfig) -> float:
    """0 where too little of what lies around the object is this plane."""
    if support_height is None:
        return 0.0
    mask = visible(view)
    around = np.zeros_like(mask)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    pad = int(config.plane_margin * max(len(rows), len(columns)))
    around[max(rows[0] - pad, 0) : rows[-1] + pad, max(columns[0] - pad, 0) : columns[-1] + pad] = True
    depth, rays = _readings(view, around & ~mask if view.hidden is None else around & ~mask & ~view.hidden)
    down = rays @ view.T_world_camera[2, :3]
    plane = (support_height - view.T_world_camera[2, 3]) / np.minimum(down, -1e-6)
    near = np.abs(depth - plane) < config.plane_reach * plane
    if near.sum() < max(config.min_plane_share * len(depth), 1):
        return 0.0
    return abs(float(np.median((depth - plane)[near])))


def _readings(view: View, where: Bool) -> tuple[F64, F64]:
    """z-depths (N,) of some of the pixels ``where`` (H, W), and the rays (N, 3) in the camera's frame they lie on."""
    assert view.depth is not None
    step = max(1, int(np.sqrt(where.sum() / READINGS)))
    part = np.s_[::step, ::step]
    depth = view.depth[part]
    measured = where[part] & np.isfinite(depth) & (depth > 0.0)
    return depth[measured].astype(np.float64), pixel_rays(view.camera, part)[measured]
