"""Poses checked by consensus: corrected where the pictures show how, without the views that all others contradict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mvgamba_ros.checks import distinct_views
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.observation import (
    POSES_AT_FAULT,
    Observation,
    checks_poses,
    correct_poses,
    find_support,
    segment,
    without_found,
)
from mvgamba_ros.options import Options
from mvgamba_ros.pose_refinement.findings import outline_doubt
from mvgamba_ros.pose_refinement.odd_view import FEWEST, odd_view
from mvgamba_ros.types import Cancelled, Progress, View, view_name


def check_poses(observed: Observation, options: Options, progress: Progress, cancelled: Cancelled) -> Observation:
    """The observation with poses checked, and corrected where the pictures show how; views that all others contradict,
    on the support plane or by their silhouettes, are left out. Where that changes what the segmenter and the support's
    estimate see, both are made again.

    Raises the failure of the segmentation where neither poses nor a single view are its cause, TOO_FEW_VIEWS where
    fewer views than ``options.min_views`` are left, and what `segment` and `find_support` raise.
    """
    if not checks_poses(observed.views, options):
        return observed
    few = len(observed.views) <= options.config.poses.suspects
    unknown = observed.prompts.support_height is None and few  # of many views the search takes half a minute
    try:
        checked = correct_poses(observed, options, progress, cancelled)
    except ReconstructionError as error:
        if error.code not in POSES_AT_FAULT:
            raise
        behind = _on_a_hidden_plane(observed, options, progress, cancelled) if unknown else None
        odd = _odd_by_trial(observed, options, cancelled) if behind is None else []
        if behind is None and not odd:
            raise
        checked = behind or observed
        why = f"without it the silhouettes agree. With it: {error.message}"
    else:
        if unknown and _outlines_miss(checked, options):
            checked = _on_a_hidden_plane(observed, options, progress, cancelled) or checked
        found = odd_view(checked.views, [checked.masks[v] for v in checked.kept], options.config.poses)
        odd = [] if found is None else [checked.kept[found]]
        why = "it contradicts the silhouettes of all others, which agree: check its pose, its time stamp and its mask"
    if odd:
        checked = _without(odd, why, observed, options, progress, cancelled)
    places = distinct_views(checked.views, options.config.views)
    if len(checked.kept) < len(observed.views) and places < options.min_views:
        raise ReconstructionError(
            ErrorCode.TOO_FEW_VIEWS,
            f"{places} view(s) from different places are left of {len(observed.views)}, at least {options.min_views} "
            f"are needed (min_views): {'; '.join(checked.notes)}",
        )
    return checked


def _on_a_hidden_plane(
    observed: Observation, options: Options, progress: Progress, cancelled: Cancelled
) -> Observation | None:
    """As `correct_poses`, on a plane whose height wrong poses hide; None where the outlines do not meet then."""
    try:
        found = correct_poses(observed, options, progress, cancelled, hidden_plane=True)
    except ReconstructionError as error:
        if error.code not in POSES_AT_FAULT:
            raise
        return None
    return None if _outlines_miss(found, options) else found


def _outlines_miss(observed: Observation, options: Options) -> bool:
    return bool(outline_doubt(observed.views, [observed.masks[v] for v in observed.kept], options.config.poses))


def _without(
    odd: Sequence[int], why: str, observed: Observation, options: Options, progress: Progress, cancelled: Cancelled
) -> Observation:
    """The observation of all views but the ``odd`` ones, made again, its poses checked."""
    count = len(observed.views)
    kept = [v for v in range(count) if v not in odd]
    rest = replace(options, prompts=options.prompts.of_views(kept))
    again = find_support(segment(_bare(observed, kept), rest, progress, cancelled), options.config)
    again = check_poses(again, rest, progress, cancelled)
    masks = list(observed.masks) or [np.zeros(view.image.shape[:2], bool) for view in observed.views]
    for v, mask in zip(kept, again.masks, strict=True):
        masks[v] = mask
    finally_kept = [kept[v] for v in again.kept]
    poses = again.poses
    if poses is not None:
        left_out = tuple(v for v in range(count) if v not in finally_kept)
        moved = np.zeros((2, count))
        moved[:, kept] = poses.view_mm, poses.view_deg
        poses = replace(poses, view_mm=moved[0], view_deg=moved[1], left_out=left_out)
    names = ", ".join(view_name(observed.views[v], v) for v in odd)
    return replace(
        again,
        kept=finally_kept,
        masks=masks,
        masks_given=observed.masks_given,
        poses=poses,
        notes=[*again.notes, f"{names} left out: {why}"],
    )


def _odd_by_trial(observed: Observation, options: Options, cancelled: Cancelled) -> list[int]:
    """Views with which segmentation fails and without which it does not, where no others would do as well. Many views
    are tried in groups."""
    views, most = observed.views, options.config.poses.suspects
    count = -(-len(views) // most)
    odd = []
    for group in [list(range(len(views)))[k::count] for k in range(count)]:
        if count > 1 and _segments(observed, group, options, cancelled):
            continue
        able = [v for v in group if _segments(observed, [w for w in group if w != v], options, cancelled)]
        if len(group) <= FEWEST or len(able) != 1:
            return []
        odd += able
    return odd


def _segments(observed: Observation, kept: Sequence[int], options: Options, cancelled: Cancelled) -> bool:
    """Whether the ``kept`` views alone can be segmented, into outlines that meet."""
    rest = replace(options, prompts=options.prompts.of_views(kept), refine_poses="off")
    try:
        found = segment(_bare(observed, kept), rest, lambda stage, fraction: None, cancelled)
    except ReconstructionError as error:
        if error.code not in POSES_AT_FAULT:
            raise
        return False
    return not outline_doubt(found.views, found.masks, options.config.poses)


def _bare(observed: Observation, kept: Sequence[int]) -> list[View]:
    """The ``kept`` views by their names, without silhouettes that were found."""
    named = [(v, replace(observed.views[v], name=view_name(observed.views[v], v))) for v in kept]
    return [without_found(view, observed.masks_given[v]) for v, view in named]
