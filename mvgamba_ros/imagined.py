"""An object of which nothing tells the size or the place: a generator's shape alone, in a cube or as large as told."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mvgamba_ros.completion import canonical_result, run_generator
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.generate.generator import Subject
from mvgamba_ros.generate.similarity import Similarity
from mvgamba_ros.options import OWN_GUESS, Options
from mvgamba_ros.pipeline import reconstruct
from mvgamba_ros.reconstruction import Quality, Reconstruction
from mvgamba_ros.types import Cancelled, Progress, View

SAME_SIDE = math.radians(1.0)
"""Azimuths that differ by less are one: those of cameras and generators are right angles."""


def imagine(
    options: Options, subject: Subject, longest_side: float | None, progress: Progress, cancelled: Cancelled
) -> Reconstruction:
    """The shape that the generator of ``options`` makes of ``subject``, its middle at the origin.

    Args:
        options: With a ``generator``; region and support height are not used.
        subject: A picture, or words.
        longest_side: Of its bounding box, metres; None: it stays in the canonical cube, and its lengths mean nothing.
        progress: Called as ``progress(stage, fraction)``.
        cancelled: Polled between steps.

    Returns:
        A result of low quality: no view measured anything. ``generated``: the generator's views; ``masks`` are theirs.

    Raises:
        ReconstructionError: BAD_OPTION without a generator and for a ``longest_side`` that is no length or longer than
            `ViewsConfig.max_working_distance`, and what the generator raises.
    """
    if options.generator == OWN_GUESS:
        raise ReconstructionError(
            ErrorCode.BAD_OPTION,
            f"generator {OWN_GUESS} needs a measured view: give depth with its camera, or camera, pose and support "
            "height, or choose a generator of docs/generate.md",
        )
    if longest_side is not None and not (math.isfinite(longest_side) and longest_side > 0.0):
        raise ReconstructionError(ErrorCode.BAD_OPTION, f"longest side {longest_side}: give metres, more than 0")
    limit = options.config.views.max_working_distance
    if longest_side is not None and longest_side > limit:
        raise ReconstructionError(
            ErrorCode.BAD_OPTION,
            f"longest side {longest_side:g} m: is it in millimetres? Give metres (views.max_working_distance is "
            f"{limit:g} m)",
        )
    made, source = run_generator(options, subject, lambda stage, done: progress(stage, 0.6 * done), cancelled)
    result, shown = canonical_result(
        made, options, reconstruct, lambda stage, done: progress(stage, 0.6 + 0.4 * done), cancelled
    )
    scale = 1.0 if longest_side is None else longest_side / float(result.box.size.max())
    placed = Similarity(scale, np.eye(3), np.zeros(3))
    T = result.box.T_world_box.copy()
    T[:3, 3] = placed.points(T[:3, 3])
    size = (
        "no scale: lengths are no metres" if longest_side is None else f"a longest side of {longest_side:g} m as told"
    )
    return replace(
        result,
        mesh=placed.mesh(replace(result.mesh, expected_error_mm=None)),
        cloud=replace(result.cloud, points=placed.points(result.cloud.points), expected_error_mm=None),
        box=replace(result.box, T_world_box=T, size=placed.scale * result.box.size),
        gaussians=None if result.gaussians is None else placed.gaussians(result.gaussians),
        quality=Quality(
            result.quality.silhouette_iou,
            result.quality.color_error,
            0.0,
            low=True,
            reasons=(f"all of it was made up by the generator {options.generator}, with {size}",),
        ),
        support_height=None,
        notes=made.notes,
        settings={
            **result.settings,
            **options.to_dict(),
            "completion": {
                "generator": options.generator,
                "seed": options.generator_seed,
                "provenance": source,
                "guessed_share": 1.0,
                "photo_view": _view_at(made.photo_azimuth, shown),
                "scale_from": [] if longest_side is None else ["the longest side that was told"],
            },
        },
        generated=tuple(placed.view(view) for view in shown),
    )


def _view_at(azimuth: float | None, views: Sequence[View]) -> int | None:
    """Which of canonical ``views`` is taken from ``azimuth``; None where none is."""
    for index, view in enumerate(views):
        x, y = view.T_world_camera[:2, 3]
        if azimuth is not None and abs(math.remainder(math.atan2(y, x) - azimuth, math.tau)) < SAME_SIDE:
            return index
    return None
