"""The network as a reconstructor: crops, a forward pass, TSDF integration of its depths, a mesh, Gaussians on it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from mvgamba_ros.config.surface_config import SurfaceConfig
from mvgamba_ros.errors import ErrorCode, ReconstructionError, stop_if
from mvgamba_ros.geometry.distance_field import DistanceField
from mvgamba_ros.geometry.se3 import inverse, transform
from mvgamba_ros.geometry.torch_rays import CPU, to_device
from mvgamba_ros.geometry.unit_cube import UnitCube, fit
from mvgamba_ros.geometry.view_spread import spread_views
from mvgamba_ros.geometry.visual_hull import carve
from mvgamba_ros.io.weights import REMEDY, CheckpointFile, identify_checkpoint
from mvgamba_ros.kernels.autocast import halve_weights
from mvgamba_ros.kernels.device import choose_device, choose_precision, ran_on
from mvgamba_ros.methods.protocol import Shape
from mvgamba_ros.model.checkpoint import SHIPPED, load_checkpoint
from mvgamba_ros.model.cost_volume import hull_intervals
from mvgamba_ros.model.raygamba_output import RayGambaOutput
from mvgamba_ros.options import Options
from mvgamba_ros.rendering.crops import make_crops
from mvgamba_ros.splats.fit import fit_gaussians
from mvgamba_ros.surface.depth_maps import DepthMaps
from mvgamba_ros.surface.measured_depth import measured_depths, with_measured
from mvgamba_ros.surface.meshing import solid, solid_to_mesh
from mvgamba_ros.surface.photo_refinement import refine_by_photos
from mvgamba_ros.surface.silhouette_consistency import enforce_silhouettes
from mvgamba_ros.surface.standing import fill_to_support
from mvgamba_ros.surface.tsdf import Guess, integrate_depth_maps, smooth
from mvgamba_ros.types import F64, Box, Cancelled, Progress, View


class MVGambaMethod:
    """Loads its weights when made (BAD_CHECKPOINT where that fails) on a device of `choose_device`, with products in
    a precision of `choose_precision`.

    Each call is one forward pass, or a few where the visual hull is much larger than the object, see `recarve_around`.
    Of more views than the network takes, it sees those that lie furthest apart; hull and silhouettes are those of all.
    """

    name = "mvgamba"

    def __init__(self, checkpoint: str = "", device: str = "auto", precision: str = "auto") -> None:
        self.device, self.notes = choose_device(device)
        self.path = path = Path(checkpoint) if checkpoint else SHIPPED
        network, self.recipe = load_checkpoint(path)
        self.provenance = {**ran_on(self.device), **identify_checkpoint(path)}
        self.network = network.to(self.device)
        self.precision = choose_precision(precision, self.device)
        self.half = self.precision is not torch.float32
        if self.half:
            halve_weights(self.network, self.precision)

    @classmethod
    def from_options(cls, options: Options) -> MVGambaMethod:
        """The factory that is registered."""
        return cls(options.checkpoint, options.device, options.precision)

    def __call__(
        self, views: Sequence[View], hull: DistanceField, options: Options, progress: Progress, cancelled: Cancelled
    ) -> Shape:
        config, supported = options.config, options.prompts.support_height is not None
        max_passes = config.hull.max_passes
        measured = measured_depths(views, hull, options.prompts.support_height, config.depth)
        for done in range(1, max_passes + 1):
            stop_if(cancelled)
            cube = fit(*hull.bounds())
            taken = well_spread(views, cube.center, self.network.config.max_views)
            output = self._forward_pass([views[v] for v in taken], cube, options)
            inferred = depth_maps(output, [views[v] for v in taken], cube, self.network.config.size)
            maps = with_measured(inferred, [measured[v] for v in taken])
            maps += [found for v, found in enumerate(measured) if found is not None and v not in taken]
            tsdf = integrated(maps, views, hull, config.surface, device=self.device)
            if len(views) == 1 and supported:
                tsdf = fill_to_support(tsdf, hull, maps, config.surface)
            progress("network", (0.3 if options.refine else 0.6) * done / max_passes)
            found = solid(tsdf, options.prompts.support_height, config.surface)
            tighter = recarve_around(found, hull, views, options) if done < max_passes else None
            if tighter is None:
                break
            hull = tighter
        stop_if(cancelled)
        mesh = solid_to_mesh(found, options.max_faces, supported, denoised=True, config=config.surface)
        mesh = refine_by_photos(mesh, views, options.prompts.support_height, config.refinement)
        gaussians = cube.from_unit(output.gaussians(blurred=True))
        if options.refine:
            progress("surface", 0.4)
            gaussians = fit_gaussians(
                gaussians,
                mesh,
                views,
                hull,
                config.splats,
                config.texture,
                progress=lambda stage, fraction: progress(stage, 0.4 + 0.6 * fraction),
                cancelled=cancelled,
                device=self.device,
            )
        progress("surface", 1.0)
        doubts = self._doubts(output, config.quality.min_depth_spread)
        return Shape(mesh, gaussians, tuple(maps), reasons=doubts, notes=self.notes)

    def _forward_pass(self, views: Sequence[View], cube: UnitCube, options: Options) -> RayGambaOutput:
        """The network on crops of ``views`` in ``cube``, on the CPU. Raises SILHOUETTES_DISAGREE, and BAD_CHECKPOINT
        where it gives anything that is not finite."""
        config = self.network.config
        with torch.no_grad():
            crops = make_crops(views, cube, config.size, config.crop_margin, options.prompts.support_height)
            batch = to_device(crops, self.device)
            rays = hull_intervals(batch, config)
            if not rays.valid.any():
                raise ReconstructionError(
                    ErrorCode.SILHOUETTES_DISAGREE,
                    "no ray of any view meets the silhouettes of the others; check the poses and the masks",
                )
            lower = self.precision if self.half else torch.bfloat16  # torch names one even where it is not used
            with torch.autocast(self.device.type, lower, enabled=self.half):
                output = to_device(self.network(batch, rays), CPU)
        if not output.is_finite():
            raise CheckpointFile(self.path).bad("its network gives values that are not finite")
        return output

    def _doubts(self, output: RayGambaOutput, least: float) -> tuple[str, ...]:
        """Reasons not to trust the network of this ``output``: it tells no ray from another."""
        spread = output.spread()
        if spread >= least:
            return ()
        return (
            f"the network of {self.path} has no effect: its depths are the same share of the visual hull on every ray "
            f"(they differ by {spread:.4f}, at least {least:g} expected); {REMEDY}",
        )


def well_spread(views: Sequence[View], centre: F64, most: int) -> list[int]:
    """Indices of ``views``: all, or of the ``most`` that lie furthest apart around ``centre`` (3,)."""
    if len(views) <= most:
        return list(range(len(views)))
    return spread_views(np.stack([view.T_world_camera for view in views]), centre, most)


def recarve_around(
    found: DistanceField, hull: DistanceField, views: Sequence[View], options: Options
) -> DistanceField | None:
    """The visual hull carved again around the solid ``found`` in ``hull``, where that is much longer than it; None
    where it is not.

    Few views, or views from above alone, leave the hull open on a side. The network's depths are shares of the hull's
    intervals and its cube is the hull's: both are coarse there, and finer around what the first pass found.
    """
    config = options.config.hull
    roi = options.prompts.roi
    if len(views) == 1 and roi is None:
        return None  # nothing but the region bounds the hull along the view
    T = np.eye(4) if roi is None else roi.T_world_box  # a box stays inside the region of interest along its axes
    (found_low, found_high), (hull_low, hull_high) = _bounds_along(found, T), _bounds_along(hull, T)
    size = found_high - found_low
    if (hull_high - hull_low <= config.recarve_ratio * size).all():
        return None
    margin = config.recarve_margin * size.max()
    low, high = np.maximum(found_low - margin, hull_low), np.minimum(found_high + margin, hull_high)
    placed = T.copy()
    placed[:3, 3] = transform(T, 0.5 * (low + high))
    return carve(views, Box(placed, high - low), options.hull_resolution, options.prompts.support_height, config)


def _bounds_along(field: DistanceField, T_world_box: F64) -> F64:
    """(2, 3): low and high corner, metres along the axes of ``T_world_box``, of the voxels inside."""
    inside = field.inside
    columns = inside.any(axis=2)  # a column reaches furthest, along any axis, with its first or last voxel
    first = inside.argmax(axis=2)[columns]
    last = inside.shape[2] - 1 - inside[:, :, ::-1].argmax(axis=2)[columns]
    at = np.argwhere(columns)
    ends = np.concatenate([np.column_stack([at, first]), np.column_stack([at, last])])
    points = transform(inverse(T_world_box), field.origin + field.voxel * ends)
    return np.stack([points.min(0) - 0.5 * field.voxel, points.max(0) + 0.5 * field.voxel])


def integrated(
    maps: Sequence[DepthMaps],
    views: Sequence[View],
    hull: DistanceField,
    config: SurfaceConfig,
    guess: Guess | None = None,
    device: torch.device = CPU,
) -> DistanceField:
    """TSDF of ``maps``, and a ``guess``, on the visual ``hull``'s grid, smoothed and consistent with the silhouettes.

    Where depths were measured, the field is integrated at every voxel and smoothed less: each map is as smooth as its
    noise asks for, and a wide Gaussian would lift the floor of what is hollow and thin. ``device``: of the integration.
    """
    truncation, measured = config.truncation * hull.voxel, any(found.measured for found in maps)
    tsdf = integrate_depth_maps(maps, hull, truncation, not measured, config, guess, device)
    return enforce_silhouettes(smooth(tsdf, hull, truncation, config, measured), hull, views, config)


def depth_maps(output: RayGambaOutput, views: Sequence[View], cube: UnitCube, size: int) -> DepthMaps:
    """The network's two depths per ray, of the first scene, in metres and in the world frame of ``views``.

    Off the object a ray's depth is unknown, not infinite: the silhouettes bound it there, at their full resolution.
    """
    K = output.K[0].double().numpy().copy()
    K[:, :2] *= output.depth.shape[2] / size
    depth = torch.where(output.rays.valid[0, ..., None], output.depth[0] * cube.half, torch.nan)
    poses = np.stack([v.T_world_camera for v in views])
    return DepthMaps(depth[..., 0], K, poses, depth[..., 1], output.sigma[0] * cube.half)
