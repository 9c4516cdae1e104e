"""Whether one object was seen: whole, alone, by outlines that the pictures show, and standing where it should."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mvgamba_ros.config.wholeness_config import WholenessConfig
from mvgamba_ros.geometry.distance_field import DistanceField
from mvgamba_ros.rendering.mesh_raycaster import Raycaster
from mvgamba_ros.surface.completeness import SearchedRegion, measure_completeness
from mvgamba_ros.surface.outline_support import unsupported_outline
from mvgamba_ros.surface.standing_parts import count_standing
from mvgamba_ros.types import F32, F64, PointCloud, View


@dataclass(frozen=True)
class Wholeness:
    """``completeness``: share of the outlines that are the object's own ends, [0, 1]; ``objects``: things that stand in
    the silhouettes; ``unsupported_outline``: share of the outlines along which the pictures change no colour, NaN for
    masks that were given; ``reasons`` not to trust the shape; ``notes`` that are worth knowing."""

    completeness: float
    objects: int
    unsupported_outline: float
    reasons: tuple[str, ...]
    notes: tuple[str, ...]


def examine_wholeness(
    caster: Raycaster,
    cloud: PointCloud,
    weights: F32,
    views: Sequence[View],
    hull: DistanceField,
    region: SearchedRegion | None,
    given_height: float | None,
    seen_height: float | None,
    masks_given: bool,
    config: WholenessConfig = WholenessConfig(),
) -> Wholeness:
    """Of undistorted ``views`` with masks, their visual ``hull`` and the mesh of ``caster``, with its ``cloud`` and how
    well each view sees its points (``weights`` (V, N) of `view_weights`).

    ``given_height``, ``seen_height``: world z in metres of the support plane, as given and as seen in the views.
    ``masks_given``: the silhouettes are the user's, and need no support in the pictures.
    """
    height = seen_height if given_height is None else given_height
    whole = measure_completeness(caster, views, _surface(hull, height), region, height, config.completeness)
    objects = count_standing(hull, height, config.neighbors)
    reasons = [*whole.reasons]
    if objects > 1:
        reasons.append(
            f"{objects} things seem to stand in the silhouettes and were taken for one: give a region of interest "
            "around one of them, or move them apart"
        )
    guessed = float("nan") if masks_given else unsupported_outline(views, config.outlines)
    beyond = "; the object may go on beyond them, out of the pictures: give a region of interest, or capture it whole"
    if region is None or not region.guessed:
        beyond = ""
    if guessed > config.outlines.max_unsupported:
        reasons.append(
            f"{guessed:.0%} of the outlines lie where the pictures show no change of colour (at most "
            f"{config.outlines.max_unsupported:.0%} expected), so they are guesses: give masks or depth, or change "
            f"light or background{beyond}"
        )
    aside = cloud.normals[:, 2] > -config.facing_down
    seen = float(np.any(weights[:, aside] > 0.0, axis=0).mean()) if aside.any() else 0.0
    gap = widest_gap(views, cloud.points.mean(axis=0))
    if seen < config.min_seen and len(views) >= config.completeness.min_pictures:  # fewer are low for that
        reasons.append(
            f"the views see {seen:.0%} of the surface that does not face down (at least {config.min_seen:.0%} "
            "expected): add views from the other sides"
        )
    notes = []
    if len(views) > 1 and gap > config.one_sided:
        notes.append(f"all views are from one side, none within {gap:.0f} degrees: the back is a guess")
    reasons += _standing(float(cloud.points[:, 2].min()), given_height, seen_height, config)
    return Wholeness(whole.share, objects, guessed, tuple(reasons), tuple(notes))


def _surface(hull: DistanceField, height: float | None) -> F64:
    """(N, 3): voxels of every second row of the ``hull`` just inside its surface, but for its foot on the plane."""
    values = hull.values[::2, ::2, ::2]
    points = hull.origin + 2.0 * hull.voxel * np.argwhere((values > 0.0) & (values < 2.0 * hull.voxel))
    return points if height is None else points[points[:, 2] > height + 3.0 * hull.voxel]


def widest_gap(views: Sequence[View], center: F64) -> float:
    """The widest gap between the views' directions around the vertical through ``center`` (3,), degrees."""
    x, y, _ = np.stack([view.T_world_camera[:3, 3] - center for view in views]).T
    around = np.sort(np.degrees(np.arctan2(y, x)))
    return float(np.diff(around, append=around[0] + 360.0).max())


def _standing(lowest: float, given: float | None, seen: float | None, config: WholenessConfig) -> list[str]:
    reasons = []
    if given is not None and seen is not None and abs(seen - given) > config.max_height_error:
        where = "above" if seen > given else "below"
        reasons.append(
            f"the surface under the object is seen at z = {seen:.3f} m, {1e3 * abs(seen - given):.0f} mm {where} the "
            f"support height given, {given:.3f} m: check that height, and the poses' tilt (hand-eye calibration)"
        )
    height = seen if seen is not None else given
    if height is not None and lowest - height > config.max_height_error:
        reasons.append(
            f"the object ends at z = {lowest:.3f} m, {1e3 * (lowest - height):.0f} mm above the surface at "
            f"{height:.3f} m: unless it hangs, check the support height and the poses' tilt (hand-eye calibration)"
        )
    return reasons
