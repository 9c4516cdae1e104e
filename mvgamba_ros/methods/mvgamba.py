"""The network as a reconstructor: crops, one forward pass, the fused depths of what it says."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from mvgamba_ros.errors import ErrorCode, ReconstructionError, stop_if
from mvgamba_ros.geometry.distance_field import DistanceField
from mvgamba_ros.geometry.se3 import inverse, transform
from mvgamba_ros.geometry.torch_rays import to_device
from mvgamba_ros.geometry.unit_cube import UnitCube, fit
from mvgamba_ros.geometry.visual_hull import carve
from mvgamba_ros.kernels.autocast import halve_weights, has_bfloat16
from mvgamba_ros.methods.protocol import Shape
from mvgamba_ros.model.checkpoint import SHIPPED, load_checkpoint
from mvgamba_ros.model.cost_volume import hull_intervals
from mvgamba_ros.model.raygamba_output import RayGambaOutput
from mvgamba_ros.options import Options
from mvgamba_ros.rendering.crops import make_crops
from mvgamba_ros.splats.fit import refine
from mvgamba_ros.surface.meshing import solid, solid_to_mesh
from mvgamba_ros.surface.silhouette_consistency import enforce_silhouettes
from mvgamba_ros.surface.tsdf import DepthMaps, fuse_depths, smooth
from mvgamba_ros.types import F64, Box, Cancelled, Progress, View

MOST_VIEWS = 16
TRUNCATION = 5.0
"""Of the fused field, voxels: what smoothing it reaches over."""
OPEN = 1.25
"""A hull that is longer than what was found in it by this factor, along any axis, is looked into again."""
ROOM = 0.1
"""How far beyond what was found the hull may reach then, of its longest side."""
MOST_LOOKS = 4


class MVGambaMethod:
    """Loads its weights when made (BAD_CHECKPOINT where that fails) on a device of `choose_device`.

    Each call is one forward pass, or a few where the hull is open.
    """

    name = "mvgamba"

    def __init__(self, checkpoint: str = "", device: str = "auto") -> None:
        self.device = choose_device(device)
        network, self.recipe = load_checkpoint(Path(checkpoint) if checkpoint else SHIPPED)
        self.network = network.to(self.device)
        self.half = self.device.type == "cpu" and has_bfloat16()
        if self.half:
            halve_weights(self.network)

    @classmethod
    def from_options(cls, options: Options) -> MVGambaMethod:
        """The factory that is registered."""
        return cls(options.checkpoint, options.device)

    def __call__(
        self, views: Sequence[View], hull: DistanceField, options: Options, progress: Progress, cancelled: Cancelled
    ) -> Shape:
        if len(views) > MOST_VIEWS:
            raise ReconstructionError(
                ErrorCode.TOO_MANY_VIEWS, f"{len(views)} views: mvgamba takes at most {MOST_VIEWS}; leave some out"
            )
        for look in range(1, MOST_LOOKS + 1):
            stop_if(cancelled)
            cube = fit(*hull.bounds())
            output, shaped = self._look(views, hull, cube, options)
            progress("network", (0.3 if options.refine else 0.6) * look / MOST_LOOKS)
            found = solid(shaped, options.prompts.support_height)
            closer = look_closer(found, hull, views, options) if look < MOST_LOOKS else None
            if closer is None:
                break
            hull = closer
        stop_if(cancelled)
        stands = options.prompts.support_height is not None
        mesh = solid_to_mesh(found, options.max_faces, stands, denoised=True)
        gaussians = cube.from_unit(output.gaussians(blurred=True))
        if options.refine:
            progress("surface", 0.4)
            gaussians = refine(
                gaussians,
                mesh,
                views,
                hull,
                progress=lambda stage, fraction: progress(stage, 0.4 + 0.6 * fraction),
                cancelled=cancelled,
            )
        progress("surface", 1.0)
        return Shape(mesh, gaussians)

    def _look(
        self, views: Sequence[View], hull: DistanceField, cube: UnitCube, options: Options
    ) -> tuple[RayGambaOutput, DistanceField]:
        """One forward pass in ``cube``, and the field on the hull's grid that its depths make."""
        config = self.network.config
        with torch.no_grad():
            crops = make_crops(views, cube, config.size, options.prompts.support_height)
            batch = to_device(crops, self.device)
            rays = hull_intervals(batch, self.network.grid, not config.bins_in_hull)
            if not rays.valid.any():
                raise ReconstructionError(
                    ErrorCode.SILHOUETTES_DISAGREE,
                    "no ray of any view meets the silhouettes of the others; check the poses and the masks",
                )
            with torch.autocast("cpu", torch.bfloat16, enabled=self.half):
                output = to_device(self.network(batch, rays), torch.device("cpu"))
        truncation = TRUNCATION * hull.voxel
        shaped = fuse_depths(depth_maps(output, views, cube, config.size), hull, truncation, coarse_only=True)
        return output, enforce_silhouettes(smooth(shaped, hull, truncation), hull, views)


def choose_device(name: str) -> torch.device:
    """The device of a name: ``cpu``, ``cuda``, ``cuda:N``, or ``auto``, the GPU where torch sees one and mamba-ssm,
    whose kernel the scan takes there, is installed, else the CPU.

    Raises MISSING_PACKAGE for a GPU that cannot be, BAD_OPTION for any other name.
    """
    seen, kernel = torch.cuda.is_available(), find_spec("mamba_ssm") is not None
    if name == "auto":
        return torch.device("cuda" if seen and kernel else "cpu")
    kind, _, index = name.partition(":")
    if name == "cpu":
        return torch.device("cpu")
    if kind != "cuda" or (name != "cuda" and not index.isdecimal()):
        raise ReconstructionError(ErrorCode.BAD_OPTION, f"device '{name}': choose auto, cpu, cuda or cuda:N")
    if not seen:
        raise ReconstructionError(
            ErrorCode.MISSING_PACKAGE,
            f"device {name}: torch {torch.__version__} sees no GPU; install a torch built for CUDA, or choose device "
            "cpu",
        )
    if not kernel:
        raise ReconstructionError(
            ErrorCode.MISSING_PACKAGE,
            f"device {name}: mamba-ssm, whose kernel the scan takes there, is missing; pip install mamba-ssm, or "
            "choose device cpu",
        )
    if index and int(index) >= torch.cuda.device_count():
        raise ReconstructionError(
            ErrorCode.BAD_OPTION, f"device {name}: torch sees {torch.cuda.device_count()} GPU, numbered from 0"
        )
    return torch.device(name)


def look_closer(
    found: DistanceField, hull: DistanceField, views: Sequence[View], options: Options
) -> DistanceField | None:
    """The hull carved again around what was ``found`` where it reaches much further than that; None where it does not.

    Few views, or views from above alone, leave the hull open on a side. The network's depths are shares of the hull's
    intervals and its cube is the hull's: both are coarse there, and finer around what was found the first time.
    """
    roi = options.prompts.roi
    if len(views) == 1 and roi is None:
        return None  # the hull's depth is a guess from the silhouette's width, and no other view can better it
    T = np.eye(4) if roi is None else roi.T_world_box  # a box stays inside the region of interest along its axes
    here, before = _extent(found, T), _extent(hull, T)
    size = here[1] - here[0]
    if (before[1] - before[0] <= OPEN * size).all():
        return None
    low, high = np.maximum(here[0] - ROOM * size.max(), before[0]), np.minimum(here[1] + ROOM * size.max(), before[1])
    placed = T.copy()
    placed[:3, 3] = transform(T, 0.5 * (low + high))
    return carve(views, Box(placed, high - low), options.hull_resolution, options.prompts.support_height)


def _extent(shape: DistanceField, T_world_box: F64) -> F64:
    """(2, 3): lowest and highest corner, along the axes of ``T_world_box``, of the voxels inside."""
    columns = shape.inside.any(axis=2)  # a column reaches furthest, along any axis, with its first or last voxel
    first = shape.inside.argmax(axis=2)[columns]
    last = shape.inside.shape[2] - 1 - shape.inside[:, :, ::-1].argmax(axis=2)[columns]
    at = np.argwhere(columns)
    ends = np.concatenate([np.column_stack([at, first]), np.column_stack([at, last])])
    points = transform(inverse(T_world_box), shape.origin + shape.voxel * ends)
    return np.stack([points.min(0) - 0.5 * shape.voxel, points.max(0) + 0.5 * shape.voxel])


def depth_maps(output: RayGambaOutput, views: Sequence[View], cube: UnitCube, size: int) -> DepthMaps:
    """The network's two depths per ray, of the first scene, in metres and in the world frame of ``views``.

    Off the object a ray says nothing: the silhouettes have spoken there, at their full resolution.
    """
    K = output.K[0].double().numpy().copy()
    K[:, :2] *= output.depth.shape[2] / size
    depth = torch.where(output.rays.valid[0, ..., None], output.depth[0] * cube.half, torch.nan)
    poses = np.stack([v.T_world_camera for v in views])
    return DepthMaps(depth[..., 0], K, poses, depth[..., 1], output.spread[0] * cube.half)
