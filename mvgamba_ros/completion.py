"""A reconstruction of few views, completed by what a generator makes up: fused so that what was seen wins."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from mvgamba_ros.config.quality_config import QualityConfig
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.factories import run_method
from mvgamba_ros.generate.alignment import Alignment, align
from mvgamba_ros.generate.alignment_config import AlignmentConfig
from mvgamba_ros.generate.canonical_pictures import pictures_of
from mvgamba_ros.generate.cutout import Cutout
from mvgamba_ros.generate.flat_ends import flat_ends
from mvgamba_ros.generate.generator import Generated, GeneratedMesh, Subject
from mvgamba_ros.generate.generator_options import GeneratorOptions
from mvgamba_ros.generate.guessed_field import guessed_field
from mvgamba_ros.generate.run_generator import generate, load_generator
from mvgamba_ros.geometry.boxes import oriented_box
from mvgamba_ros.geometry.distance_field import DistanceField
from mvgamba_ros.geometry.occlusion import uncovered_image, visible
from mvgamba_ros.geometry.rays import pixel_rays
from mvgamba_ros.geometry.se3 import inverse, rigid, transform
from mvgamba_ros.geometry.visual_hull import carve
from mvgamba_ros.methods.mvgamba import integrated
from mvgamba_ros.methods.protocol import Shape
from mvgamba_ros.options import OWN_GUESS, Options
from mvgamba_ros.reconstruction import Reconstruction
from mvgamba_ros.rendering.crops import COLOR_MARGIN
from mvgamba_ros.splats.fit import fit_gaussians
from mvgamba_ros.splats.from_mesh import gaussians_on_mesh
from mvgamba_ros.surface.measured_depth import measured_depths
from mvgamba_ros.surface.meshing import solid, solid_to_mesh
from mvgamba_ros.surface.sample import sample_cloud
from mvgamba_ros.surface.standing import fill_to_support
from mvgamba_ros.types import F32, Box, Cancelled, Mesh, Progress, View

Reconstruct = Callable[[Sequence[View], Options, Progress, Cancelled], Reconstruction]
"""`mvgamba_ros.pipeline.reconstruct`, which makes the shape of views that a generator painted."""


@dataclass(frozen=True)
class Completion:
    """A shape, and the visual ``hull`` around it; where a generator made up what no view saw, ``views``: those that it
    made, in the world, and ``about``: what is written of it, plain JSON values."""

    shape: Shape
    hull: DistanceField
    views: tuple[View, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)

    def doubts(self, weights: F32, config: QualityConfig) -> list[str]:
        """Why not to trust it: more of the surface was made up than `QualityConfig.max_guessed_share`. ``weights``
        (V, N) from `view_weights`."""
        share = guessed_share(weights)
        if not self.about or share <= config.max_guessed_share:
            return []
        return [
            f"{share:.0%} of the surface was seen by no view and made up by the generator {self.about['generator']}"
        ]

    def settings(self, weights: F32) -> dict[str, Any]:
        """For `Reconstruction.settings`; empty where no generator was called."""
        return {"completion": {**self.about, "guessed_share": guessed_share(weights)}} if self.about else {}


def guessed_share(weights: F32) -> float:
    """The part of the surface, [0, 1], that no view sees, by ``weights`` (V, N) of points spread evenly over it."""
    return 1.0 - float((weights > 0.0).any(axis=0).mean())


def completes(options: Options, places: int) -> bool:
    """Whether a generator is called for views from so many different ``places``."""
    if options.generator == OWN_GUESS or options.complete == "off":
        return False
    return options.complete == "always" or places < options.config.quality.min_places


def complete(
    options: Options,
    views: Sequence[View],
    hull: DistanceField,
    places: int,
    reconstruct: Reconstruct,
    progress: Progress,
    cancelled: Cancelled,
) -> Completion:
    """The shape of ``views``, with what none of them saw from the generator of ``options``.

    The method makes its shape of the views; the generator makes another of the picture that shows the object largest,
    which is aligned (`mvgamba_ros.generate.alignment`) and joins the depth maps of the first as a weak guess: measured
    depth and, from two places on, inferred depth outweigh it, the masks carve it.

    Args:
        options: With the support height that was found.
        views: Undistorted, with masks, posed in metres.
        hull: Their visual hull.
        places: How many different places they are from; of one, the method's depths are guesses themselves.
        reconstruct: Makes a shape of canonical views.
        progress: Called as ``progress(stage, fraction)``.
        cancelled: Polled between steps.

    Raises:
        ReconstructionError: What the method, the generator and `align` raise.
    """
    # pictures that a generator made up agree with each other only roughly: they move no vertex
    still = replace(options.config.refinement, max_step=0.0)
    options = replace(options, config=replace(options.config, refinement=still))
    config, height = options.config, options.prompts.support_height
    inferring = replace(options, refine=False)
    shape = run_method(inferring, views, hull, lambda stage, done: progress(stage, 0.2 * done), cancelled)
    cutouts = [cutout_of(view) for view in views]
    first = max(range(len(views)), key=lambda v: int(cutouts[v].mask.sum()))
    subject = Subject(cutouts[first])
    made, source = run_generator(options, subject, lambda stage, done: progress(stage, 0.2 + 0.4 * done), cancelled)
    if isinstance(made, GeneratedMesh):
        mesh, painted = made.mesh, tuple(pictures_of(made.mesh))
    else:
        shaping: Progress = lambda stage, done: progress(stage, 0.6 + 0.2 * done)  # noqa: E731
        result, painted = canonical_result(made, replace(options, refine=False), reconstruct, shaping, cancelled)
        mesh = result.mesh
    alignment = align(mesh, views, height, first, made.photo_azimuth, cancelled=cancelled)
    aligned = alignment.similarity.mesh(mesh)
    hull = around(aligned, views, options)
    maps = [found for found in measured_depths(views, hull, height, config.depth) if found is not None]
    guess = guessed_field(aligned, hull, maps, config.surface)
    if places > 1:
        maps += [found for found in shape.depths if not found.measured]
    tsdf = integrated(maps, views, hull, config.surface, guess)
    if places == 1 and height is not None and maps:  # what stands below a measured surface is more than a guess
        tsdf = fill_to_support(tsdf, hull, maps, config.surface)
    fused = solid(tsdf, height, config.surface)
    found = solid_to_mesh(fused, options.max_faces, height is not None, denoised=True, config=config.surface)
    found = replace(found, colors=aligned.colors[cKDTree(aligned.vertices).query(found.vertices)[1]])
    gaussians = shape.gaussians
    if gaussians is not None:
        gaussians = gaussians_on_mesh(found, views, config.splats, config.texture)
        if options.refine:
            refining: Progress = lambda stage, done: progress(stage, 0.8 + 0.2 * done)  # noqa: E731
            settings = config.splats, config.texture, refining, cancelled
            gaussians = fit_gaussians(gaussians, found, views, hull, *settings)
    notes = *shape.notes, *made.notes, alignment_note(options.generator, alignment)
    about = {
        "generator": options.generator,
        "seed": options.generator_seed,
        "provenance": source,
        "scale_sigma": alignment.scale_sigma,
        "position_sigma_mm": alignment.position_sigma_mm,
        "silhouette_iou": alignment.silhouette_iou,
        "scale_from": list(alignment.cues),
        "T_world_canonical": alignment.similarity.to_dict(),
    }
    reasons = shape.reasons if places > 1 else ()
    completed = Shape(found, gaussians, tuple(maps), reasons, notes)
    return Completion(completed, hull, tuple(alignment.similarity.view(view) for view in painted), about)


def cutout_of(view: View) -> Cutout:
    """The object of a view with a mask, for a generator; where it is hidden, of its own colours beside."""
    assert view.mask is not None
    return Cutout(uncovered_image(view, COLOR_MARGIN), view.mask.astype(np.float32), "the view's mask")


def generator_options(options: Options) -> GeneratorOptions:
    """What ``options`` say of the generator alone."""
    return GeneratorOptions(
        options.generator, options.generator_weights, fetch=options.generator_fetch, device=options.device
    )


def prepare_generator(options: Options) -> None:
    """Loads the generator of ``options``, so that one that cannot run is refused before any work. Raises what
    `mvgamba_ros.generate.run_generator.load_generator` raises."""
    load_generator(generator_options(options))


def run_generator(
    options: Options, subject: Subject, progress: Progress, cancelled: Cancelled
) -> tuple[Generated, dict[str, str]]:
    """What the generator of ``options`` makes of ``subject``, and its provenance."""
    chosen = generator_options(options)
    made = generate(chosen, subject, options.generator_seed, progress, cancelled)
    return made, dict(getattr(load_generator(chosen), "provenance", {}))


def canonical_result(
    made: Generated, options: Options, reconstruct: Reconstruct, progress: Progress, cancelled: Cancelled
) -> tuple[Reconstruction, tuple[View, ...]]:
    """What a generator made as a reconstruction by the method of ``options``, and its views, in the canonical frame.
    A mesh stays as it was made; its views are pictures of it.

    Raises EMPTY_SILHOUETTE where less than two of its views show an object before a plain background, EMPTY_SURFACE
    where no shape can be made of them.
    """
    views = pictures_of(made.mesh) if isinstance(made, GeneratedMesh) else made.views
    shown = tuple(view for view in views if view.mask is not None)
    if len(shown) < 2:
        raise ReconstructionError(
            ErrorCode.EMPTY_SILHOUETTE,
            f"{len(shown)} of the {len(views)} views that the generator {options.generator} made show an object before "
            "a plain background, two are needed: try another seed",
        )
    try:
        result = reconstruct(shown, own_options(options), progress, cancelled)
    except ReconstructionError as error:
        if error.code >= ErrorCode.BAD_CAPTURE or error.code in (ErrorCode.BAD_OPTION, ErrorCode.BAD_PARAMETER):
            raise  # nothing of the views
        raise ReconstructionError(
            ErrorCode.EMPTY_SURFACE,
            f"no shape can be made of the {len(shown)} views that the generator {options.generator} made "
            f"({error.code.name}: {error.message}): try another seed",
        ) from error
    mesh = made.mesh if isinstance(made, GeneratedMesh) else with_flat_ends(result, shown, options)
    if mesh is not result.mesh:
        result = replace(result, mesh=mesh, cloud=sample_cloud(mesh, options.cloud_points), box=oriented_box(mesh))
    return result, shown


def with_flat_ends(result: Reconstruction, views: Sequence[View], options: Options) -> Mesh:
    """The mesh of ``result``, flat below and above where its level ``views`` leave the ends open (`flat_ends`)."""
    left_out = () if result.poses is None else result.poses.left_out
    kept = [view for v, view in enumerate(views) if v not in left_out]
    try:
        ends = flat_ends(kept, carve(kept, None, options.hull_resolution, None, options.config.hull))
    except ReconstructionError as error:
        if error.code != ErrorCode.SILHOUETTES_DISAGREE:  # they met under corrected poses, and bound no end
            raise
        ends = None
    if ends is None:
        return result.mesh
    vertices = result.mesh.vertices.copy()
    vertices[:, 2] = vertices[:, 2].clip(*ends)
    return replace(result.mesh, vertices=vertices)


def own_options(options: Options) -> Options:
    """For shapes of canonical views: the method of ``options``, and what says nothing of one capture."""
    return Options(
        method=options.method,
        segmenter="masks",
        refine=options.refine,
        cloud_points=options.cloud_points,
        max_faces=options.max_faces,
        hull_resolution=options.hull_resolution,
        checkpoint=options.checkpoint,
        device=options.device,
        config=options.config,
    )


def around(
    aligned: Mesh, views: Sequence[View], options: Options, config: AlignmentConfig = AlignmentConfig()
) -> DistanceField:
    """The visual hull of ``views`` in a box that holds the ``aligned`` shape and what depth there is on the object, as
    far as the region of interest goes. Raises BAD_ROI where the shape lies outside of that."""
    roi = options.prompts.roi
    T = np.eye(4) if roi is None else roi.T_world_box  # a box stays inside the region of interest along its axes
    points = [transform(inverse(T), aligned.vertices)]
    for view in views:
        if view.depth is not None:
            known = visible(view) & np.isfinite(view.depth) & (view.depth > 0.0)
            if known.any():
                in_camera = pixel_rays(view.camera)[known] * view.depth[known][:, None]
                seen = transform(inverse(T) @ view.T_world_camera, in_camera)
                points.append(np.quantile(seen, (0.02, 0.98), axis=0))  # without what bleeds off the edges
    low = np.min([found.min(axis=0) for found in points], axis=0)
    high = np.max([found.max(axis=0) for found in points], axis=0)
    free = config.room * float((high - low).max())
    low, high = low - free, high + free
    if roi is not None:
        low, high = np.maximum(low, -0.5 * roi.size), np.minimum(high, 0.5 * roi.size)
        if not (low < high).all():
            raise ReconstructionError(
                ErrorCode.BAD_ROI, "the generated shape, laid over the masks, lies outside the region of interest"
            )
    box = Box(rigid(T[:3, :3], transform(T, 0.5 * (low + high))), high - low)
    return carve(views, box, options.hull_resolution, options.prompts.support_height, options.config.hull)


def alignment_note(generator: str, alignment: Alignment) -> str:
    """What was assumed, in words."""
    return (
        f"what no view saw was made up by the generator {generator}; its size is from {' and '.join(alignment.cues)}, "
        f"known to {alignment.scale_sigma:.1%} (one standard deviation), its place to "
        f"{alignment.position_sigma_mm:.1f} mm"
    )
