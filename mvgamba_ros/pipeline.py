"""The whole job, without ROS: posed views in, a metric object out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from mvgamba_ros import __version__
from mvgamba_ros.checks import check_arrays, check_views, distinct_views
from mvgamba_ros.completion import Completion, complete, completes, prepare_generator
from mvgamba_ros.consensus import check_poses
from mvgamba_ros.errors import stop_if
from mvgamba_ros.factories import load_method, run_method
from mvgamba_ros.geometry.boxes import oriented_box
from mvgamba_ros.geometry.camera import undistort, undistort_pixels
from mvgamba_ros.geometry.depth_agreement import without_wrong_depth
from mvgamba_ros.geometry.distance_field import DistanceField
from mvgamba_ros.geometry.pose_conventions import naming_conventions, refuse_other_conventions
from mvgamba_ros.geometry.single_view import single_view_region
from mvgamba_ros.geometry.visual_hull import carve
from mvgamba_ros.geometry.world_origin import near_origin
from mvgamba_ros.observation import Observation, find_support, segment
from mvgamba_ros.options import Options
from mvgamba_ros.reconstruction import Reconstruction
from mvgamba_ros.rendering.mesh_raycaster import Raycaster
from mvgamba_ros.rendering.texture import paint, view_weights
from mvgamba_ros.rendering.visibility import count_views, seen_part, seen_points, vertex_sight
from mvgamba_ros.surface.amodal_silhouettes import with_amodal_masks
from mvgamba_ros.surface.completeness import SearchedRegion
from mvgamba_ros.surface.depth_bias import without_biased_depth
from mvgamba_ros.surface.expected_chamfer import with_expected_chamfer
from mvgamba_ros.surface.expected_error import Evidence, with_expected_error
from mvgamba_ros.surface.quality import measure_quality
from mvgamba_ros.surface.sample import sample_cloud, vertex_normals
from mvgamba_ros.surface.simplification import convex_hull
from mvgamba_ros.surface.wholeness import Wholeness, examine_wholeness
from mvgamba_ros.texturing.bake import bake
from mvgamba_ros.types import F32, Cancelled, PointCloud, Progress, Prompts, View

__all__ = ["STAGES", "Options", "reconstruct"]

STAGES = {
    "check": 0.01,
    "undistort": 0.02,
    "segment": 0.28,
    "support": 0.05,
    "poses": 0.05,
    "hull": 0.05,
    "method": 0.32,
    "surface": 0.06,
    "cloud": 0.03,
    "quality": 0.07,
    "trust": 0.01,
    "texture": 0.04,
    "box": 0.01,
}
"""The stages in order, each with its share of the progress bar."""


def reconstruct(
    views: Sequence[View],
    options: Options | None = None,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
) -> Reconstruction:
    """Reconstruct the object that ``views`` show.

    Args:
        views: Posed images of one object, from different sides; ``T_world_camera`` in metres. One view is enough
            with a region of interest, a pixel box or depth; from three on the shape is measured all around.
        options: What is chosen: method, segmenter, prompts, limits; None for the defaults.
        progress: Called as ``progress(stage, fraction)`` with a stage of `STAGES` and the fraction of the whole job
            in [0, 1], never decreasing.
        cancelled: Polled in every stage; the job raises CANCELLED once it returns True.

    Returns:
        Mesh, cloud, box, quality and what else was found, in metres in the frame of the views' poses.

    Raises:
        ReconstructionError: With a code and a message that names the offending value and the remedy, see
            `ErrorCode`.

    Example:
        >>> from mvgamba_ros import Options, Prompts, read_capture, reconstruct
        >>> views = read_capture("capture")
        >>> result = reconstruct(views, Options(prompts=Prompts(support_height=0.0), max_faces=3000))
        >>> result.mesh.vertices.shape[1], len(result.mesh.faces) <= 3000
        (3, True)
        >>> width, depth, height = result.box.size
        >>> assert 0.08 < height < 0.1  # metres
    """
    options = options or Options()
    config = options.config
    check_arrays(views)

    def work(near: Sequence[View], prompts: Prompts) -> Reconstruction:
        return _reconstruct(near, replace(options, prompts=prompts), progress, cancelled)

    with naming_conventions(views, config.pose_conventions):
        result = near_origin(work, views, options.prompts, config.views)
    refuse_other_conventions(views, result.quality.low, config.pose_conventions)
    return replace(result, settings={**result.settings, **options.to_dict()})


def _reconstruct(
    views: Sequence[View], options: Options, progress: Progress | None, cancelled: Cancelled | None
) -> Reconstruction:
    """As `reconstruct`, near the world's origin."""
    config = options.config
    stages = _Stages(progress, cancelled)
    with stages.run("check"):
        views, notes = check_views(views, options)
        if completes(options, distinct_views(views, config.views)):
            prepare_generator(options)
    with stages.run("undistort"):
        views, prompts = undistort_views(views, options.prompts, stages.check)
        views, set_aside = without_wrong_depth(views, prompts.support_height, config.depth.agreement)
        notes += set_aside
    undistorted = replace(options, prompts=prompts)
    with stages.run("segment") as part:
        observed = segment(views, undistorted, part, stages.cancelled)
    with stages.run("support"):
        observed = find_support(observed, config)
    with stages.run("poses") as part:
        observed = check_poses(observed, undistorted, part, stages.cancelled)
    views, prompts = observed.views, observed.prompts
    notes += observed.notes
    with stages.run("hull"):
        region = prompts.roi
        if len(views) == 1:
            region, assumed = single_view_region(views[0], prompts.support_height, region, config.hull)
            notes += [assumed] if assumed and not completes(options, 1) else []
        hull = carve(views, region, options.hull_resolution, prompts.support_height, config.hull)
        views = with_amodal_masks(views, hull, prompts.support_height)
        views, set_aside = without_biased_depth(views, hull, prompts.support_height, config.depth)
        notes += set_aside
    with stages.run("method") as part:
        method = load_method(options)
        stages.check()
        places = distinct_views(views, config.views)
        given = replace(options, prompts=prompts)
        if completes(options, places):
            completed = complete(given, views, hull, places, reconstruct, part, stages.cancelled)
        else:
            if views[0].depth is None:  # depth shows a single view's object better than the hull carved again
                given = replace(given, prompts=replace(prompts, roi=region))
            completed = Completion(run_method(given, views, hull, part, stages.cancelled), hull)
        shape, hull = completed.shape, completed.hull
        notes += shape.notes
        if len(shape.mesh.faces) > options.max_faces:
            notes.append(
                f"method {options.method} made {len(shape.mesh.faces)} faces, max_faces is {options.max_faces}"
            )
    with stages.run("surface"):
        mesh = convex_hull(shape.mesh) if options.convex_hull else shape.mesh
        caster = Raycaster(mesh)
        normals = vertex_normals(mesh)
        stages.check()
        weights = view_weights(mesh.vertices, normals, views, caster, config.texture)
        mesh = replace(mesh, colors=paint(mesh.vertices, weights, views, mesh.colors, config.texture))
        caster = Raycaster(mesh)
    with stages.run("cloud"):
        cloud = sample_cloud(mesh, options.cloud_points)
        stages.check()
        weights = view_weights(cloud.points, cloud.normals, views, caster, config.texture)
        cloud = replace(cloud, colors=paint(cloud.points, weights, views, cloud.colors, config.texture))
    with stages.run("quality"):
        whole = _wholeness(caster, cloud, weights, observed, hull, undistorted)
        notes += whole.notes
        doubtful = [*observed.reasons, *whole.reasons, *shape.reasons, *completed.doubts(weights, config.quality)]
        quality = measure_quality(caster, views, weights, places, config, doubtful)
        quality = replace(
            quality,
            completeness=whole.completeness,
            objects=whole.objects,
            unsupported_outline=whole.unsupported_outline,
        )
        if observed.poses is not None:
            quality = replace(quality, pose_residual_px=observed.poses.residual_after_px)
    with stages.run("trust"):
        cloud = replace(cloud, seen=count_views(cloud.points, weights, views, config.texture))
        sight = vertex_sight(mesh, views, caster, config.texture)
        evidence = Evidence(views, sight, hull, shape.depths, quality.outline_gap_mm, prompts.support_height)
        mesh, cloud = with_expected_error(mesh, cloud, evidence, config.expected_error)
        judged = mesh, cloud, quality, views, places, config, bool(shape.depths)
        mesh, cloud, quality = with_expected_chamfer(*judged)
        if options.seen_only:
            mesh, cloud = seen_part(mesh, views, caster, config.texture), seen_points(cloud)
    with stages.run("texture"):
        texture = bake(mesh, views, caster, options.texture, config.texture, config.baking) if options.texture else None
    with stages.run("box"):
        box = oriented_box(mesh)
    return Reconstruction(
        mesh=mesh,
        cloud=cloud,
        box=box,
        quality=quality,
        masks=tuple(observed.masks),
        seconds=stages.seconds,
        method=options.method,
        gaussians=shape.gaussians,
        support_height=prompts.support_height,
        notes=tuple(notes),
        poses=observed.poses,
        settings={
            "version": __version__,
            **options.to_dict(),
            "provenance": {"method": _provenance(method), "segmenter": observed.provenance},
            "masks": ["given" if given else "found" for given in observed.masks_given],
            "depth_views": sum(view.depth is not None for view in views),
            **completed.settings(weights),
        },
        generated=completed.views,
        texture=texture,
    )


class _Stages:
    """Times the stages, reports progress and polls for cancellation."""

    def __init__(self, progress: Progress | None, cancelled: Cancelled | None) -> None:
        self.seconds: dict[str, float] = {}
        self.cancelled: Cancelled = cancelled or (lambda: False)
        self._progress = progress
        self._fraction = 0.0

    def check(self) -> None:
        stop_if(self.cancelled)

    @contextmanager
    def run(self, stage: str) -> Iterator[Progress]:
        names = list(STAGES)
        start = sum(STAGES[name] for name in names[: names.index(stage)])

        def part(_: str, fraction: float) -> None:
            self._fraction = min(1.0, max(self._fraction, start + STAGES[stage] * min(max(fraction, 0.0), 1.0)))
            if self._progress is not None:
                self._progress(stage, self._fraction)

        self.check()
        part(stage, 0.0)
        began = time.perf_counter()
        yield part
        self.check()
        self.seconds[stage] = time.perf_counter() - began
        part(stage, 1.0)


def undistort_views(
    views: Sequence[View], prompts: Prompts, check: Callable[[], None] = lambda: None
) -> tuple[list[View], Prompts]:
    """Undistorted views, and prompts whose pixels are those of the undistorted images. ``check`` is called before each
    view and may raise."""
    result = []
    for view in views:
        check()
        result.append(undistort(view))
    points = {}
    for index, points_of_view in prompts.points.items():
        rows = np.asarray(points_of_view, dtype=np.float64)
        moved = undistort_pixels(views[index].camera, result[index].camera, rows[:, :2])
        points[index] = np.concatenate([moved, rows[:, 2:]], axis=1)
    boxes = {}
    for index, (x0, y0, x1, y1) in prompts.pixel_boxes.items():
        corners = np.array([[x0, y0], [x1, y0], [x0, y1], [x1, y1]], dtype=np.float64)
        moved = undistort_pixels(views[index].camera, result[index].camera, corners)
        boxes[index] = (moved[:, 0].min(), moved[:, 1].min(), moved[:, 0].max(), moved[:, 1].max())
    return result, replace(prompts, points=points, pixel_boxes=boxes)


def _provenance(made: object) -> dict[str, str]:
    return dict(getattr(made, "provenance", {}))


def _wholeness(
    caster: Raycaster,
    cloud: PointCloud,
    weights: F32,
    observed: Observation,
    hull: DistanceField,
    options: Options,
) -> Wholeness:
    """`examine_wholeness` of what was observed; ``options`` as they were before the support height was found."""
    given, region = options.prompts.support_height, options.prompts.roi
    searched = SearchedRegion(region) if region is not None else None
    if region is None and observed.region is not None:
        searched = SearchedRegion(observed.region, guessed=True)
    masks_given = all(observed.masks_given[v] for v in observed.kept)
    seen = observed.found_height if given is not None else observed.prompts.support_height
    return examine_wholeness(
        caster, cloud, weights, observed.views, hull, searched, given, seen, masks_given, options.config.wholeness
    )
