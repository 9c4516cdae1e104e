"""Whether measured depth fits the poses: what one view measured must lie where the others measured it.

Depth of a wrong unit, of a camera with other intrinsics or of one that is not registered to the image spoils
silhouettes, support plane and shape alike, while colour alone gives a right answer. So it is checked before it is used,
and set aside where it contradicts the other views, or, of a single view, the known height of the support plane.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np

from mvgamba_ros.config.depth_config import DepthAgreementConfig
from mvgamba_ros.geometry.camera import project
from mvgamba_ros.geometry.rays import pixel_rays
from mvgamba_ros.types import F64, View, view_name

REMEDY = "check its unit, its registration to the image and the camera's intrinsics"


def without_wrong_depth(
    views: Sequence[View], support_height: float | None, config: DepthAgreementConfig = DepthAgreementConfig()
) -> tuple[list[View], list[str]]:
    """``views`` (undistorted), without the depth of those whose depth contradicts everything else, and notes that name
    it.

    ``support_height``: world z of the plane that the object stands on, metres, where it is known. Nothing is set aside
    where there is nothing to compare with, or where what there is says nothing.
    """
    clouds = [_Readings.of(view, config) for view in views]
    pairs = [
        (a, b)
        for a, b in permutations(range(len(views)), 2)
        if clouds[a] is not None and clouds[b] is not None and _apart(views[a], views[b], clouds[a], config)
    ]
    pairs = pairs[:: -(-len(pairs) // config.max_pairs)] if pairs else []
    compared = [_compare(clouds[a], views[b], 1.0, config.tolerance, config) for a, b in pairs]
    if any(found is not None for found in compared):
        return _by_views(views, clouds, pairs, compared, config)
    return _by_plane(views, clouds, support_height, config)


class _Readings:
    """Some of a view's depth: world points are ``eye + depth * rays``; ``rays`` (N, 3), ``depth`` (N,) metres."""

    def __init__(self, eye: F64, rays: F64, depth: F64) -> None:
        self.eye, self.rays, self.depth = eye, rays, depth

    @classmethod
    def of(cls, view: View, config: DepthAgreementConfig) -> _Readings | None:
        """On a regular grid of pixels; None where there are too few."""
        if view.depth is None:
            return None
        step = max(1, int(np.sqrt(view.depth.size / config.points)))
        part = np.s_[step // 2 :: step, step // 2 :: step]
        depth = view.depth[part].astype(np.float64)
        known = np.isfinite(depth) & (depth > 0.0)
        if known.sum() < config.min_points:
            return None
        rays = pixel_rays(view.camera, part)[known] @ view.T_world_camera[:3, :3].T
        return cls(view.T_world_camera[:3, 3], rays, depth[known])


def _apart(a: View, b: View, readings: _Readings | None, config: DepthAgreementConfig) -> bool:
    """Far enough from each other that depths of another scale would not fit."""
    assert readings is not None
    baseline = float(np.linalg.norm(a.T_world_camera[:3, 3] - b.T_world_camera[:3, 3]))
    return baseline > config.min_baseline * float(np.median(readings.depth))


@dataclass(frozen=True)
class _Comparison:
    """How many of a view's readings lie where another view measured them, in front of that and behind it."""

    fit: int
    front: int
    behind: int

    @property
    def share(self) -> float:
        """Of those that fit."""
        return self.fit / max(self.fit + self.front + self.behind, 1)

    @property
    def share_seen(self) -> float:
        """The same without those behind, which the other view need not see."""
        return self.fit / max(self.fit + self.front, 1)


def _compare(
    readings: _Readings | None, other: View, scale: float, tolerance: float, config: DepthAgreementConfig
) -> _Comparison | None:
    """A view's readings with those of ``other``, if all depths are multiplied by ``scale``; None where few meet."""
    assert readings is not None and other.depth is not None
    pixels, z = project(
        other.camera, other.T_world_camera, readings.eye + (scale * readings.depth)[:, None] * readings.rays
    )
    x, y = np.floor(np.nan_to_num(pixels, nan=-1.0, posinf=-1.0, neginf=-1.0).clip(-1, 1e6)).astype(int).T
    height, width = other.depth.shape
    shown = (z > 0.0) & (x >= 0) & (y >= 0) & (x < width) & (y < height)
    there = scale * np.nan_to_num(other.depth[y[shown], x[shown]].astype(np.float64), posinf=0.0, neginf=0.0)
    off = (z[shown] / np.maximum(there, 1e-9) - 1.0)[there > 0.0]
    if len(off) < config.min_points:
        return None
    return _Comparison(
        int((np.abs(off) <= tolerance).sum()), int((off < -tolerance).sum()), int((off > tolerance).sum())
    )


def _by_views(
    views: Sequence[View],
    clouds: list[_Readings | None],
    pairs: list[tuple[int, int]],
    compared: list[_Comparison | None],
    config: DepthAgreementConfig,
) -> tuple[list[View], list[str]]:
    """By the views' agreement with each other: all depth goes, or that of single views, or none."""
    usual = float(np.median([found.share for found in compared if found is not None]))
    if usual < config.min_agreement:
        found = _contradiction(views, clouds, pairs, compared, usual, config)
        if found is None:
            return list(views), []
        return [replace(view, depth=None) for view in views], [f"{found}; depth is set aside: {REMEDY}"]
    kept, notes = list(views), []
    for index, view in enumerate(views):
        own = [found.share for pair, found in zip(pairs, compared, strict=True) if found is not None and index in pair]
        if len(views) > 2 and own and max(own) < config.min_agreement:
            kept[index] = replace(view, depth=None)
            notes.append(
                f"{view_name(view, index)}: at most {max(own):.0%} of its depths fit those of another view (at least "
                f"{config.min_agreement:.0%} expected); its depth is set aside: {REMEDY}"
            )
    return kept, notes


def _contradiction(
    views: Sequence[View],
    clouds: list[_Readings | None],
    pairs: list[tuple[int, int]],
    compared: list[_Comparison | None],
    usual: float,
    config: DepthAgreementConfig,
) -> str | None:
    """In words; None where depths merely have little in common, as of an object alone seen from opposite sides."""

    def shares(scale: float, tolerance: float) -> float:
        found = [_compare(clouds[a], views[b], scale, tolerance, config) for a, b in pairs]
        return float(np.mean([0.0 if one is None else one.share for one in found]))

    best, share = 1.0, usual
    tolerance, reach = config.tolerance, config.max_scale
    for _ in range(config.scale_rounds):  # ever finer around the best
        steps = np.arange(-np.log(reach), np.log(reach) + tolerance, tolerance)
        fits = [shares(scale, tolerance) for scale in best * np.exp(steps)]
        best, share = best * float(np.exp(steps[int(np.argmax(fits))])), max(share, *fits)
        reach, tolerance = float(np.exp(config.scale_reach * tolerance)), tolerance / 2.0
    if share > max(config.min_agreement, config.clearly * usual):
        return f"depth is {_ratio(1.0 / best)} times what the poses give"
    seen = float(np.median([found.share_seen for found in compared if found is not None]))
    if seen < config.min_agreement:
        return (
            f"only {seen:.0%} of the depths that two views measured fit each other at their poses (at least "
            f"{config.min_agreement:.0%} expected)"
        )
    return None


def _by_plane(
    views: Sequence[View],
    clouds: list[_Readings | None],
    support_height: float | None,
    config: DepthAgreementConfig,
) -> tuple[list[View], list[str]]:
    """By a known plane: where much of a view's depth is one and the same multiple of the plane's, that must be 1."""
    kept, notes = list(views), []
    for index, (view, readings) in enumerate(zip(views, clouds, strict=True)):
        if readings is None or support_height is None:
            continue
        down = readings.rays[:, 2] < -config.min_slope * np.linalg.norm(readings.rays, axis=1)
        if down.sum() < config.min_points or readings.eye[2] <= support_height:
            continue
        ratio = np.log(readings.depth[down] * -readings.rays[down, 2] / (readings.eye[2] - support_height))
        order = np.sort(ratio)
        inside = np.searchsorted(order, order + config.tolerance) - np.arange(len(order))
        best = int(inside.argmax())
        found = float(np.median(order[best : best + inside[best]]))
        on_it = float((np.abs(ratio) < config.tolerance).mean())
        share = inside[best] / len(order)
        if share > config.min_agreement and share > config.clearly * on_it and abs(found) > config.plane_tolerance:
            kept[index] = replace(view, depth=None)
            notes.append(
                f"{view_name(view, index)}: depth is {_ratio(np.exp(found))} times that of the plane at the support "
                f"height of {support_height:.4g} m; it is set aside: {REMEDY}, or the height"
            )
    return kept, notes


def _ratio(value: float) -> str:
    """Three digits, without an exponent: metres read as millimetres are "1000"."""
    return f"{value:.0f}" if value >= 100.0 else f"{value:.3g}"
