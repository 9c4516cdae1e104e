"""The network as a reconstructor: crops, one forward pass, the fused depths of what it says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from mvgamba_ros.errors import ErrorCode, ReconstructionError, stop_if
from mvgamba_ros.geometry.hull import VisualHull
from mvgamba_ros.geometry.unit_cube import UnitCube, fit
from mvgamba_ros.kernels.autocast import has_bfloat16
from mvgamba_ros.methods.protocol import Shape
from mvgamba_ros.model.arm import ArmOutput
from mvgamba_ros.model.checkpoint import SHIPPED, load_checkpoint
from mvgamba_ros.model.crops import make_crops
from mvgamba_ros.model.interval import hull_intervals
from mvgamba_ros.options import Options
from mvgamba_ros.surface.extract import field_to_mesh
from mvgamba_ros.surface.fuse import DepthMaps, fuse_depths, smooth
from mvgamba_ros.surface.refine import refine
from mvgamba_ros.surface.silhouettes import reach_silhouettes
from mvgamba_ros.types import Cancelled, Progress, View

MOST_VIEWS = 16
TRUNCATION = 5.0
"""Of the fused field, voxels: what smoothing it reaches over."""


class MVGambaMethod:
    """Loads its weights when made (BAD_CHECKPOINT where that fails); each call is one forward pass."""

    name = "mvgamba"

    def __init__(self, checkpoint: str = "") -> None:
        self.network, self.recipe = load_checkpoint(Path(checkpoint) if checkpoint else SHIPPED)

    def __call__(
        self, views: Sequence[View], hull: VisualHull, options: Options, progress: Progress, cancelled: Cancelled
    ) -> Shape:
        if len(views) > MOST_VIEWS:
            raise ReconstructionError(
                ErrorCode.TOO_MANY_VIEWS, f"{len(views)} views: mvgamba takes at most {MOST_VIEWS}; leave some out"
            )
        cube = fit(*hull.bounds())
        config = self.network.config
        with torch.no_grad():
            batch = make_crops(views, cube, config.size, options.prompts.support_height)
            rays = hull_intervals(batch, self.network.grid, not config.bins_in_hull)
            if not rays.valid.any():
                raise ReconstructionError(
                    ErrorCode.SILHOUETTES_DISAGREE,
                    "no ray of any view meets the silhouettes of the others; check the poses and the masks",
                )
            stop_if(cancelled)
            progress("network", 0.1)
            with torch.autocast("cpu", torch.bfloat16, enabled=has_bfloat16()):
                output = self.network(batch, rays)
        stop_if(cancelled)
        progress("network", 0.3 if options.refine else 0.6)
        truncation = TRUNCATION * hull.voxel
        shaped = fuse_depths(depth_maps(output, views, cube, config.size), hull, truncation)
        shaped = reach_silhouettes(smooth(shaped, hull, truncation), hull, views)
        stop_if(cancelled)
        mesh = field_to_mesh(shaped, options.max_faces, options.prompts.support_height)
        gaussians = cube.from_unit(output.gaussians(blurred=True))
        if options.refine:
            progress("surface", 0.4)
            gaussians = refine(
                gaussians,
                views,
                hull,
                progress=lambda stage, fraction: progress(stage, 0.4 + 0.6 * fraction),
                cancelled=cancelled,
            )
        progress("surface", 1.0)
        return Shape(mesh, gaussians)


def depth_maps(output: ArmOutput, views: Sequence[View], cube: UnitCube, size: int) -> DepthMaps:
    """The network's two depths per ray, of the first scene, in metres and in the world frame of ``views``.

    Off the object a ray says nothing: the silhouettes have spoken there, at their full resolution.
    """
    K = output.K[0].double().numpy().copy()
    K[:, :2] *= output.depth.shape[2] / size
    depth = torch.where(output.rays.valid[0, ..., None], output.depth[0] * cube.half, torch.nan)
    poses = np.stack([v.T_world_camera for v in views])
    return DepthMaps(depth[..., 0], K, poses, depth[..., 1], output.spread[0] * cube.half)
