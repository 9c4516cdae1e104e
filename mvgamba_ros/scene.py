"""Several objects that the same views show, each reconstructed for itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mvgamba_ros.checks import check_arrays, check_views
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.factories import find_objects
from mvgamba_ros.options import Options
from mvgamba_ros.pipeline import reconstruct, undistort_views
from mvgamba_ros.reconstruction import Reconstruction
from mvgamba_ros.types import Box, Cancelled, Progress, View


@dataclass(frozen=True)
class SceneObject:
    """One of several objects.

    Args:
        region: The box that it was sought in, world, metres.
        result: What was found; None where that failed.
        error: Why it failed; None where it did not.
    """

    region: Box
    result: Reconstruction | None = None
    error: ReconstructionError | None = None


def reconstruct_scene(
    views: Sequence[View],
    options: Options | None = None,
    regions: Sequence[Box] | None = None,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
) -> list[SceneObject]:
    """Reconstruct every object that ``views`` show.

    Args:
        views: Posed images of a table, as `mvgamba_ros.reconstruct` takes them.
        options: For all objects; ``prompts.roi``: where they are sought, else in the middle of all views.
        regions: A region of interest for each object, world, metres; None: they are found, by a segmenter that can
            (`mvgamba_ros.segmentation.segmenter.ObjectFinder`).
        progress: Called as ``progress(stage, fraction)``, the fraction of the whole work in [0, 1]; the stage begins
            with the object's number, as in ``"2/6 method"``.
        cancelled: Polled in every stage; the work raises CANCELLED once it returns True.

    Returns:
        One entry for each object, in the order of ``regions``, or nearest to where the views look first. One that
        cannot be reconstructed says why and costs the others nothing.

    Raises:
        ReconstructionError: For views or options that fit no object, EMPTY_SILHOUETTE where none is found, BAD_OPTION
            where the segmenter cannot find several, CANCELLED.
    """
    options = options or Options()
    check_arrays(views)
    if regions is None:
        checked, _ = check_views(views, options)
        ideal, prompts = undistort_views(checked, options.prompts)
        regions = find_objects(replace(options, prompts=prompts), ideal, cancelled or (lambda: False))
    if not regions:
        raise ReconstructionError(
            ErrorCode.EMPTY_SILHOUETTE,
            "nothing that stands out from its background was found in the middle of the views: give a region for each "
            "object, or change light or background",
        )
    found = []
    for number, region in enumerate(regions):
        part = _part(progress, number, len(regions))
        own = replace(options, prompts=replace(options.prompts, roi=region, pixel_boxes={}, points={}))
        try:
            found.append(SceneObject(region, reconstruct(views, own, part, cancelled)))
        except ReconstructionError as error:
            if error.code is ErrorCode.CANCELLED:
                raise
            found.append(SceneObject(region, error=error))
    return found


def _part(progress: Progress | None, number: int, count: int) -> Progress | None:
    """The progress of one of ``count`` objects."""
    if progress is None:
        return None
    return lambda stage, fraction: progress(f"{number + 1}/{count} {stage}", (number + fraction) / count)
