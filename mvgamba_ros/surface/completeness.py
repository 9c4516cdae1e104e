"""Which ends of an object nobody saw: outlines on the border of the picture or on the edge of the region.

A silhouette ends there because the picture does, or the region in which it was sought, not because the object does.
Whether other views show how the object goes on is decided in space: a little beyond the border, at the mesh's depth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.spatial import cKDTree

from mvgamba_ros.config.wholeness_config import CompletenessConfig
from mvgamba_ros.geometry.boxes import box_corners
from mvgamba_ros.geometry.camera import project
from mvgamba_ros.geometry.occlusion import beside_hidden, visible
from mvgamba_ros.geometry.se3 import transform
from mvgamba_ros.rendering.mesh_raycaster import Raycaster
from mvgamba_ros.types import F64, I64, Bool, Box, View, view_name

OUTWARD = {"top": (0.0, -1.0), "bottom": (0.0, 1.0), "left": (-1.0, 0.0), "right": (1.0, 0.0)}
"""The borders of a picture, each with the direction in pixels (x, y) that leads out of it."""
EDGE = "the region's edge"


@dataclass(frozen=True)
class Completeness:
    """``share`` of the outlines' length, [0, 1], that are the object's own ends; ``reasons``: where it ends otherwise,
    in words, where that is too much to trust the shape."""

    share: float
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class SearchedRegion:
    """The ``box`` in which the object was sought, given by the user or ``guessed`` from the views."""

    box: Box
    guessed: bool = False

    @property
    def name(self) -> str:
        return "the search region that was guessed from the views" if self.guessed else "the region of interest"


def measure_completeness(
    caster: Raycaster,
    views: Sequence[View],
    hull_surface: F64,
    region: SearchedRegion | None = None,
    support_height: float | None = None,
    config: CompletenessConfig = CompletenessConfig(),
) -> Completeness:
    """Of undistorted ``views`` with masks, and the mesh of ``caster`` that was made from them.

    ``hull_surface`` (N, 3): points spread over the visual hull, above the plane that the object stands on. ``region``:
    None where the views' whole pictures were searched. The foot of the object, near ``support_height`` (world z,
    metres) or the lower end of the region, may lie on the region's edge: it stands there.
    """
    total, on_limits, unseen = 0, 0, 0
    cut: dict[str, list[str]] = {}
    for index, view in enumerate(views):
        ends = _outline(view)
        total += int(np.count_nonzero(ends))
        least = config.min_cut * np.count_nonzero(ends)
        others = [other for other in views if other is not view]
        at_border = _at_border(ends, config)
        for side, found in at_border.items():
            count = int(np.count_nonzero(found))
            if count > least:
                beyond = _beyond(caster, view, found, OUTWARD[side], config)
                on_limits += count
                needed = min(config.min_others, max(len(others), 1))
                unseen += int(np.count_nonzero(shown_by(beyond, others) < needed))
                cut.setdefault(side, []).append(view_name(view, index))
        if region is not None:
            found = ends & ~np.any(list(at_border.values()), axis=0) & _edge_of(region.box, view, config)
            if np.count_nonzero(found) > least:
                points = _beyond(caster, view, found, (0.0, 0.0), config)
                count = int(np.count_nonzero(points[:, 2] > _foot(region.box, support_height, config)))
                if count > least:
                    on_limits, unseen = on_limits + count, unseen + count
                    cut.setdefault(EDGE, []).append(view_name(view, index))
    edge = cut.pop(EDGE, [])
    open_share = unseen / max(total, 1)
    reasons = []
    if open_share > config.max_open and edge:
        assert region is not None
        reasons.append(_at_edge_in_words(edge, len(views), region))
    if cut and len(views) >= config.min_pictures and len(hull_surface):
        open_share = float((shown_by(hull_surface, views) < config.min_pictures).mean())
        limit = config.max_outside
    else:
        limit = config.max_open
    if open_share > limit:
        reasons += [_cut_in_words(side, names, len(views)) for side, names in cut.items()]
    return Completeness(1.0 - on_limits / max(total, 1), tuple(reasons))


def shown_by(points: F64, views: Sequence[View]) -> I64:
    """(N,): how many of the ``views`` have the points (N, 3) in their picture, hidden or not."""
    count = np.zeros(len(points), np.int64)
    for view in views:
        x, y = project(view.camera, view.T_world_camera, points)[0].T  # NaN behind the camera
        count += (x >= 0.0) & (y >= 0.0) & (x < view.camera.width) & (y < view.camera.height)
    return count


def _cut_in_words(side: str, names: Sequence[str], count: int) -> str:
    where = f"{'at' if side in ('top', 'bottom') else 'on'} the {side} in {len(names)} of {count} views"
    return (
        f"the object leaves the picture {where} ({', '.join(names)}), and too few others show how it goes on: capture "
        "it whole, from further away"
    )


def _at_edge_in_words(names: Sequence[str], count: int, region: SearchedRegion) -> str:
    remedy = "give a region of interest" if region.guessed else "make the region larger"
    return (
        f"the silhouette reaches the edge of {region.name} in {len(names)} of {count} views ({', '.join(names)}): "
        f"{remedy}, clear of other things"
    )


def _outline(view: View) -> Bool:
    """(H, W): pixels of the silhouette beside one that is off it, or beside the picture's border, but not where
    another thing may cover it."""
    mask = visible(view)
    inner = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return mask & (inner == 0) & ~beside_hidden(view)


def _at_border(ends: Bool, config: CompletenessConfig) -> dict[str, Bool]:
    """For each border of the picture the outline's pixels on it, (H, W) each; one in a corner counts once."""
    found, left = {}, ends.copy()
    w = config.border
    for side, part in (("top", np.s_[:w]), ("bottom", np.s_[-w:]), ("left", np.s_[:, :w]), ("right", np.s_[:, -w:])):
        found[side] = np.zeros_like(ends)
        found[side][part] = left[part]
        left[part] = False
    return found


def _edge_of(box: Box, view: View, config: CompletenessConfig) -> Bool:
    """(H, W): near the outline of the projected box; nowhere where part of the box is behind the camera."""
    edge = np.zeros(view.image.shape[:2], np.uint8)
    pixels, z = project(view.camera, view.T_world_camera, box_corners(box))
    if (z > 0.0).all():
        hull = cv2.convexHull(np.clip(pixels, -1e4, 1e4).astype(np.float32))[:, 0]
        thickness = 2 * max(1, round(config.edge * float(np.ptp(hull, axis=0).max()))) + 1
        shift = 4  # cv2's fixed-point corners
        cv2.polylines(edge, [np.round((hull - 0.5) * 2**shift).astype(np.int32)], True, 1, thickness, shift=shift)
    return edge > 0


def _beyond(
    caster: Raycaster, view: View, found: Bool, outward: tuple[float, float], config: CompletenessConfig
) -> F64:
    """World points (N, 3): of each pixel that is ``found`` the one a little ``outward`` of it, at the mesh's depth."""
    assert view.mask is not None
    rows, columns = np.nonzero(found)
    pixels = np.column_stack([columns, rows]).astype(np.float64) + 0.5
    z = caster.depths(view.camera, view.T_world_camera, pixels)
    hit = np.isfinite(z)
    if hit.any():
        z = z[hit][cKDTree(pixels[hit]).query(pixels)[1]]
    else:
        z[:] = (caster.mesh.vertices.mean(axis=0) - view.T_world_camera[:3, 3]) @ view.T_world_camera[:3, 2]
    step = config.beyond * float(np.sqrt(np.count_nonzero(view.mask)))
    K = view.camera.K
    plane = (pixels + step * np.array(outward) - K[:2, 2]) / [K[0, 0], K[1, 1]]
    return transform(view.T_world_camera, np.column_stack([plane, np.ones(len(z))]) * z[:, None])


def _foot(box: Box, support_height: float | None, config: CompletenessConfig) -> float:
    """World z below which an object may end on the edge of ``box``."""
    height = float(np.abs(box.T_world_box[2, :3]) @ box.size)
    low = float(box.T_world_box[2, 3]) - 0.5 * height
    margin = config.foot * height
    if support_height is None:
        return low + margin  # the views' bound, or the plane
    return max(low, support_height) + margin if low < support_height + margin else -np.inf
