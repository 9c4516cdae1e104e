"""Several objects that the same views show, each reconstructed for itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mvgamba_ros.checks import check_arrays, check_prompts, check_views, misses
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.factories import find_objects
from mvgamba_ros.geometry.pose_conventions import naming_conventions
from mvgamba_ros.geometry.world_origin import far_origin, move_box, move_prompts, move_views
from mvgamba_ros.options import Options
from mvgamba_ros.pipeline import reconstruct, undistort_views
from mvgamba_ros.reconstruction import Reconstruction
from mvgamba_ros.types import Bool, Box, Cancelled, Progress, Prompts, View, view_name

FINDER = "multiview"
"""The segmenter of this package that finds several objects."""


@dataclass(frozen=True)
class SceneObject:
    """One of several objects.

    Attributes:
        region: The box that it was sought in, world, metres; None where it was named by pixels alone.
        result: What was found; None where that failed.
        views: Numbers of the views that it was made from: those whose pictures can show its region.
        error: Why it failed; None where it did not.

    Example:
        >>> from mvgamba_ros import Box, Options, read_capture, reconstruct_scene
        >>> import numpy as np
        >>> region = Box(np.eye(4), np.full(3, 0.1))
        >>> region.T_world_box[:3, 3] = [0.0, 0.0, 5.0]  # above all cameras
        >>> (failed,) = reconstruct_scene(read_capture("capture"), Options(method="hull"), [region])
        >>> failed.result is None, failed.error.code.name
        (True, 'ROI_NOT_VISIBLE')
    """

    region: Box | None
    result: Reconstruction | None = None
    error: ReconstructionError | None = None
    views: tuple[int, ...] = ()

    def mask(self, view: int) -> Bool | None:
        """(H, W) bool: the silhouette in a view of the scene; None in one that it was not made from."""
        return self.result.masks[self.views.index(view)] if self.result is not None and view in self.views else None


def reconstruct_scene(
    views: Sequence[View],
    options: Options | None = None,
    regions: Sequence[Box | Prompts] | None = None,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
) -> list[SceneObject]:
    """Reconstruct several objects that ``views`` show.

    Args:
        views: Posed images of a table, as `mvgamba_ros.reconstruct` takes them.
        options: For all objects; ``prompts.roi``: where they are sought, else in the middle of all views.
        regions: For each object a region of interest, world, metres, or what else is known of where it is; None: they
            are found, by a segmenter that can (`mvgamba_ros.segmentation.segmenter.ObjectFinder`).
        progress: Called as ``progress(stage, fraction)``, the fraction of the whole work in [0, 1]; the stage is
            ``"find"``, or begins with the object's number, as in ``"2/6 method"``.
        cancelled: Polled in every stage; the work raises CANCELLED once it returns True.

    Returns:
        One entry for each object, in the order of ``regions``, or nearest to where the views look first. One that
        cannot be reconstructed says why and costs the others nothing.

    Raises:
        ReconstructionError: For views that fit no object, EMPTY_SILHOUETTE where none is found, BAD_OPTION where the
            segmenter cannot find several, CANCELLED.

    Example:
        >>> from mvgamba_ros import Box, Options, read_capture, reconstruct_scene
        >>> import numpy as np
        >>> region = Box(np.eye(4), np.full(3, 0.2))
        >>> region.T_world_box[:3, 3] = [0.45, 0.05, 0.045]
        >>> (found,) = reconstruct_scene(read_capture("capture"), Options(method="hull"), [region])
        >>> found.result.quality.low
        False
    """
    options = options or Options()
    check_arrays(views)
    if regions is None:
        regions = _found(views, options, progress, cancelled)
    if not regions:
        raise ReconstructionError(
            ErrorCode.EMPTY_SILHOUETTE,
            "nothing that stands out from its background was found in the middle of the views: give a region for each "
            "object, or change light or background",
        )
    named = [replace(view, name=view_name(view, index)) for index, view in enumerate(views)]
    found = []
    for number, region in enumerate(regions):
        prompts, part = _prompts(region, options.prompts), _part(progress, number, len(regions))
        try:
            chosen = _showing(named, prompts)
            own = replace(options, prompts=prompts if len(chosen) == len(named) else prompts.of_views(chosen))
            result = reconstruct([named[index] for index in chosen], own, part, cancelled)
            found.append(SceneObject(prompts.roi, _noting(result, named, chosen), views=chosen))
        except ReconstructionError as error:
            if error.code is ErrorCode.CANCELLED:
                raise
            found.append(SceneObject(prompts.roi, error=error))
    return found


def _showing(views: Sequence[View], prompts: Prompts) -> tuple[int, ...]:
    """Numbers of the views that may show the region, where there is one; of all where none does, or where one is of no
    use: the work on them then says why."""
    every = tuple(range(len(views)))
    try:
        region = prompts.roi
        check_prompts(views, prompts)
        chosen = every if region is None else tuple(k for k in every if not misses(views[k], region, views[k].name))
    except (ReconstructionError, ValueError):
        return every
    return chosen or every


def _noting(result: Reconstruction, views: Sequence[View], chosen: Sequence[int]) -> Reconstruction:
    left = [view.name for index, view in enumerate(views) if index not in chosen]
    if not left:
        return result
    note = f"its region is outside the picture of {', '.join(left)}: made from the other views"
    return replace(result, notes=(note, *result.notes))


def _found(
    views: Sequence[View], options: Options, progress: Progress | None, cancelled: Cancelled | None
) -> list[Box]:
    """The regions of the objects that the segmenter finds."""
    if progress is not None:
        progress("find", 0.0)
    config, prompts = options.config, options.prompts
    origin = far_origin(views, config.views)
    if origin is not None:
        views, prompts = move_views(views, -origin), move_prompts(prompts, -origin)
    with naming_conventions(views, config.pose_conventions):
        checked, _ = check_views(views, replace(options, prompts=prompts))
        ideal, prompts = undistort_views(checked, prompts)
        regions = find_objects(replace(options, prompts=prompts), ideal, cancelled or (lambda: False))
    return regions if origin is None else [move_box(region, origin) for region in regions]


def _prompts(region: Box | Prompts, shared: Prompts) -> Prompts:
    """What is known of one object; the plane it stands on is that of all of them where its own is not known."""
    own = region if isinstance(region, Prompts) else Prompts(roi=region)
    return own if own.support_height is not None else replace(own, support_height=shared.support_height)


def _part(progress: Progress | None, number: int, count: int) -> Progress | None:
    """The progress of one of ``count`` objects."""
    if progress is None:
        return None
    return lambda stage, fraction: progress(f"{number + 1}/{count} {stage}", (number + fraction) / count)
