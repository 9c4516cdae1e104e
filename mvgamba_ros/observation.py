"""From views and prompts to what the shape is made of: silhouettes, the support plane's height, and checked poses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from mvgamba_ros.config import ReconstructionConfig
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.factories import load_segmenter, run_segmenter
from mvgamba_ros.geometry.boxes import axis_parallel_box
from mvgamba_ros.geometry.camera import with_focal_length
from mvgamba_ros.geometry.occlusion import all_or_none, visible
from mvgamba_ros.geometry.rays import PARALLEL, axes_intersection
from mvgamba_ros.geometry.single_view import guess_box
from mvgamba_ros.geometry.visual_hull import carve
from mvgamba_ros.options import Options
from mvgamba_ros.pose_refinement.findings import outline_doubt
from mvgamba_ros.pose_refinement.focal_length import focal_doubt
from mvgamba_ros.pose_refinement.plane_search import refine_on_a_hidden_plane
from mvgamba_ros.pose_refinement.refine_poses import refine_poses
from mvgamba_ros.reconstruction import PoseCorrection
from mvgamba_ros.segmentation.given import GivenMasks
from mvgamba_ros.segmentation.segmenter import Silhouettes
from mvgamba_ros.segmentation.support_plane import estimate_support_height
from mvgamba_ros.segmentation.windows import aim
from mvgamba_ros.types import F64, Bool, Box, Cancelled, Progress, Prompts, View, view_name

POSES_AT_FAULT = (ErrorCode.EMPTY_SILHOUETTE, ErrorCode.SILHOUETTES_DISAGREE)
"""Errors of segmentation that wrong poses cause."""


@dataclass(frozen=True)
class Observation:
    """What is known of the object before its shape.

    Attributes:
        views: Undistorted, with the poses to use and, once segmented, their silhouettes.
        kept: Indices of ``views`` among those that were given.
        prompts: As given, the support height filled in where it was found; keys are indices of ``views``.
        masks: The silhouette of every view that was given, also of those that were left out: empty where one was not
            found.
        masks_given: Of the same views whether they brought that silhouette.
        failure: Why segmentation failed, where wrong poses may be the cause.
        provenance: The segmenter's.
        poses: What the check of the poses found; None where they were not checked.
        notes: What was assumed, estimated or corrected, in words.
        reasons: Why a result is doubtful, in words.
        found_height: The support height that the segmenter saw, also where one was given.
        region: The box that the segmenter sought the object in, where it guessed one.
    """

    views: list[View]
    kept: list[int]
    prompts: Prompts
    masks: list[Bool] = field(default_factory=list)
    masks_given: list[bool] = field(default_factory=list)
    failure: ReconstructionError | None = None
    provenance: dict[str, str] = field(default_factory=dict)
    poses: PoseCorrection | None = None
    notes: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    found_height: float | None = None
    region: Box | None = None


def segment(views: Sequence[View], options: Options, progress: Progress, cancelled: Cancelled) -> Observation:
    """A silhouette for each of the undistorted ``views``: its own with ``use_masks``, else the segmenter's.

    Raises what the segmenter raises, and EMPTY_SILHOUETTE for a view in which it finds nothing; errors that wrong poses
    cause are kept in the observation for `check_poses`, where that is to follow.
    """
    given = _take_masks(views, options)
    try:
        found, provenance = _silhouettes(views, options, progress, cancelled)
    except ReconstructionError as error:
        if error.code not in POSES_AT_FAULT or not checks_poses(views, options):
            raise
        everyone = list(range(len(views)))
        return Observation(list(views), everyone, options.prompts, masks_given=given, failure=error)
    hidden: Sequence[Bool | None] = found.hidden or [None] * len(views)
    views = [
        replace(view, mask=mask, hidden=covered) for view, mask, covered in zip(views, found.masks, hidden, strict=True)
    ]
    return Observation(
        views,
        list(range(len(views))),
        options.prompts,
        list(found.masks),
        given,
        provenance=provenance,
        found_height=found.support_height,
        region=found.region,
    )


def _take_masks(views: Sequence[View], options: Options) -> list[bool]:
    """Of each view whether it brings a mask that is kept."""
    kept = options.use_masks or options.segmenter == GivenMasks.name
    return [view.mask is not None and kept for view in views]


def find_support(observed: Observation, config: ReconstructionConfig) -> Observation:
    """The height of the plane that the object stands on, estimated where it is neither given nor found by segmentation.

    Views from above do not see the object's underside, so their hull reaches below the table, whose height follows
    from depth or from its texture.
    """
    prompts, views = observed.prompts, observed.views
    if prompts.support_height is not None:
        return observed
    height = observed.found_height
    if height is None:
        if len(views) == 1 and views[0].depth is None:
            note = "one view without depth does not show the height of the surface; it is taken as not known"
            return replace(observed, notes=[*observed.notes, note])
        seen = views[:: -(-len(views) // config.segmentation.plane_height.views)]
        around = _around(observed, seen, config)
        plane = config.segmentation.plane_height
        if len(seen) == 2:
            plane = replace(
                plane,
                above=plane.above_of_two,
                min_clarity=plane.min_clarity_of_two,
                max_rival=plane.max_rival_of_two,
            )
        segmentation = replace(config.segmentation, plane_height=plane)
        height, _ = estimate_support_height(seen, Prompts(roi=around), segmentation)
    if height is None:
        note = (
            "the height of the surface that the object stands on is neither given nor seen: where no view looks under "
            "the object, the shape may reach too far down"
        )
        return replace(observed, notes=[*observed.notes, note])
    note = f"support height {height:.4f} m, estimated from the surface around the object"
    return replace(
        observed, prompts=replace(prompts, support_height=height), notes=[*observed.notes, note], found_height=height
    )


def correct_poses(
    observed: Observation, options: Options, progress: Progress, cancelled: Cancelled, hidden_plane: bool = False
) -> Observation:
    """The observation with poses checked, and corrected where the pictures show how; views that all others contradict
    on the support plane are left out. Where that changes what the segmenter and the support's estimate see, both are
    made again. ``hidden_plane``: the plane is sought behind wrong poses, `refine_on_a_hidden_plane`.

    Raises the failure of the segmentation where the poses are not its cause, and what `segment` and `find_support`
    raise.
    """
    views, config = observed.views, options.config
    given = options.prompts.support_height
    masks = None if observed.failure else observed.masks
    center = _center(views, masks, observed.prompts)
    if center is None:
        if observed.failure:
            raise observed.failure
        return observed
    height, known = observed.prompts.support_height, given is not None
    refined = refine_on_a_hidden_plane(views, center, config.poses, cancelled) if hidden_plane else None
    if refined is None:
        refined = refine_poses(views, masks, center, height, known, config.poses, cancelled)
    doubts = refined.reasons
    cameras = [with_focal_length(view.camera, refined.focal) for view in views]
    if masks is not None and not doubts:
        seen = [replace(view, camera=camera) for view, camera in zip(views, cameras, strict=True)]
        doubts = focal_doubt(seen, masks, refined.T_world_camera, center, height, known, config.poses, cancelled)
    left_out = refined.correction.left_out
    unmoved = refined.moved_px < config.poses.segment_again and not left_out
    if observed.failure and unmoved:
        raise observed.failure
    kept = [v for v in range(len(views)) if v not in left_out]
    # with their names, as their numbers change
    moved = [
        replace(views[v], T_world_camera=refined.T_world_camera[v], camera=cameras[v], name=view_name(views[v], v))
        for v in kept
    ]
    checked = replace(
        observed,
        views=moved,
        kept=kept,
        poses=refined.correction,
        notes=[*observed.notes, *refined.notes],
        reasons=[*observed.reasons, *doubts],
        prompts=observed.prompts.of_views(kept),
    )
    if unmoved:
        return replace(checked, reasons=[*checked.reasons, *outline_doubt(moved, observed.masks, config.poses)])
    prompts = options.prompts.of_views(kept)
    bare = [without_found(view, observed.masks_given[v]) for v, view in zip(kept, moved, strict=True)]
    again = segment(bare, replace(options, prompts=prompts, refine_poses="off"), progress, cancelled)
    masks = list(observed.masks) or [np.zeros(view.image.shape[:2], bool) for view in views]
    for v, mask in zip(kept, again.masks, strict=True):
        masks[v] = mask
    again = find_support(again, config)
    return replace(
        again,
        kept=kept,
        masks=masks,
        masks_given=observed.masks_given,
        poses=refined.correction,
        notes=[*again.notes, *refined.notes],
        reasons=[*checked.reasons, *outline_doubt(again.views, again.masks, config.poses)],
    )


def without_found(view: View, given: bool) -> View:
    """``view`` as it was before its silhouette was found; one that was ``given`` stays."""
    return view if given else replace(view, mask=None, hidden=None)


def checks_poses(views: Sequence[View], options: Options) -> bool:
    """Whether poses are to be checked: views can be compared, and ``options`` do not take poses as they are."""
    return options.refine_poses == "auto" and len(views) > 1


def _silhouettes(
    views: Sequence[View], options: Options, progress: Progress, cancelled: Cancelled
) -> tuple[Silhouettes, dict[str, str]]:
    own = [view.mask is not None and options.use_masks for view in views]
    if all(own):
        return GivenMasks()(views, options.prompts, progress, cancelled), {}
    found = _with_own(run_segmenter(options, views, progress, cancelled), views, own)
    for index, mask in enumerate(found.masks):
        if not mask.any():
            raise ReconstructionError(
                ErrorCode.EMPTY_SILHOUETTE,
                f"{view_name(views[index], index)}: the object was not found in it; check that it is in the picture "
                "and inside the region of interest, or leave this view out",
            )
    return found, dict(getattr(load_segmenter(options), "provenance", {}))


def _with_own(found: Silhouettes, views: Sequence[View], own: Sequence[bool]) -> Silhouettes:
    """``found``, but with the ``own`` silhouettes of those views that bring one, and what they know to be hidden."""
    if not any(own):
        return found
    hidden: Sequence[Bool | None] = found.hidden or [None] * len(views)
    masks = [visible(view) if kept else mask for view, mask, kept in zip(views, found.masks, own, strict=True)]
    covered = [view.hidden if kept else there for view, there, kept in zip(views, hidden, own, strict=True)]
    return replace(found, masks=masks, hidden=all_or_none(covered, masks))


def _around(observed: Observation, views: Sequence[View], config: ReconstructionConfig) -> Box | None:
    """A box around the object, carved from its silhouettes; the region of interest where there is none."""
    region = observed.prompts.roi
    if observed.failure:
        return region
    if len(views) == 1:
        region = region or guess_box(views[0], None, config.hull)  # as wide as the picture: the silhouette bounds it
    try:
        return axis_parallel_box(*carve(views, region, config.hull.coarse_resolution, config=config.hull).bounds())
    except ReconstructionError as error:
        if error.code != ErrorCode.SILHOUETTES_DISAGREE or len(views) == 1:
            raise
        return region  # by wrong poses, which are checked next


def _center(views: Sequence[View], masks: Sequence[Bool] | None, prompts: Prompts) -> F64 | None:
    """About where the object is, (3,) world: where the lines of sight through the silhouettes' middles meet, or through
    those of pixel prompts, or of pictures. None where these are parallel."""
    if prompts.roi is not None:
        return prompts.roi.T_world_box[:3, 3]
    directions = []
    for index, view in enumerate(views):
        if masks is None:
            directions.append(aim(view, index, prompts))
            continue
        middle = np.argwhere(masks[index]).mean(axis=0)[::-1] + 0.5
        K = view.camera.K
        ray = view.T_world_camera[:3, :3] @ [*((middle - K[:2, 2]) / K.diagonal()[:2]), 1.0]
        directions.append(ray / np.linalg.norm(ray))
    return axes_intersection([view.T_world_camera[:3, 3] for view in views], directions, PARALLEL)
