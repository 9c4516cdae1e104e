"""MVGamba as published, as a reconstructor: four posed views -> Gaussians -> rendered depths -> TSDF -> mesh."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from mvgamba_ros.errors import ErrorCode, ReconstructionError, stop_if
from mvgamba_ros.geometry.distance_field import DistanceField
from mvgamba_ros.geometry.torch_rays import to_device
from mvgamba_ros.geometry.unit_cube import UnitCube
from mvgamba_ros.geometry.view_spread import spread_views
from mvgamba_ros.io.weights import CheckpointFile, identify_checkpoint
from mvgamba_ros.methods.device import choose_device
from mvgamba_ros.methods.protocol import Shape
from mvgamba_ros.methods.published.conditioning import condition, first_camera_rotation, rotated, turned
from mvgamba_ros.methods.published.gaussian_meshing import gaussians_to_mesh
from mvgamba_ros.methods.published.network import POSITION_BOUND
from mvgamba_ros.methods.published.published_weights import REMEDY, read_published
from mvgamba_ros.options import Options
from mvgamba_ros.rendering.crops import make_crops
from mvgamba_ros.types import F64, Cancelled, Gaussians, Progress, View


class MVGambaPublished:
    """The network of `published.network`, one forward pass a call, on a device of `choose_device`.

    ``checkpoint``: a ``.safetensors`` or ``.pth`` file, see `read_published`; BAD_CHECKPOINT without one, as the
    authors released no weights, and for one that does not fit.

    The network has positions learned for ``config.views`` views. Of more, those are taken that lie furthest apart
    around the object (`spread_views`); the mesh is cut by the hull of all of them. Fewer raise TOO_FEW_VIEWS. Each view
    is a crop around its silhouette, on white, with its own intrinsics. The network works in the frame of the first
    camera (`first_camera_rotation`), in a cube as large as puts the hull within its position bound, 0.8.

    The Gaussians are the network's own: ``options.refine`` does not apply to them.
    """

    name = "mvgamba-published"

    def __init__(self, checkpoint: str = "", device: str = "auto") -> None:
        if not checkpoint:
            raise ReconstructionError(
                ErrorCode.BAD_CHECKPOINT,
                f"method {self.name} needs a checkpoint: MVGamba's authors released no weights. Train its network and "
                "give the file (.safetensors, or the .pth of the authors' code), or use the method mvgamba, whose "
                "weights come with the package",
            )
        self.device, self.notes = choose_device(device)
        self.path = Path(checkpoint)
        self.network = read_published(self.path).to(self.device)
        self.provenance = {"device": str(self.device), **identify_checkpoint(self.path)}

    @classmethod
    def from_options(cls, options: Options) -> MVGambaPublished:
        """The factory that is registered."""
        return cls(options.checkpoint, options.device)

    def __call__(
        self, views: Sequence[View], hull: DistanceField, options: Options, progress: Progress, cancelled: Cancelled
    ) -> Shape:
        stop_if(cancelled)
        needed = self.network.config.views
        if len(views) < needed:
            raise ReconstructionError(
                ErrorCode.TOO_FEW_VIEWS,
                f"{len(views)} views: this checkpoint of {self.name} takes {needed}; capture more, or use the method "
                "mvgamba, which takes any number",
            )
        low, high = hull.bounds()
        poses = np.stack([view.T_world_camera for view in views])
        chosen = [views[i] for i in spread_views(poses, (low + high) / 2, needed)]
        gaussians = self._gaussians(chosen, hull)
        progress("network", 0.4)
        stop_if(cancelled)
        mesh = gaussians_to_mesh(
            gaussians,
            views,
            hull,
            options.max_faces,
            options.prompts.support_height,
            options.config.gaussian_meshing,
            options.config.surface,
            options.config.depth,
        )
        progress("surface", 1.0)
        return Shape(mesh, gaussians, notes=self.notes)

    def _gaussians(self, views: Sequence[View], hull: DistanceField) -> Gaussians:
        """Of one forward pass, in the world frame, metres."""
        config = self.network.config
        poses = torch.from_numpy(np.stack([view.T_world_camera for view in views]))[None]
        R = first_camera_rotation(poses)
        cube = cube_around(hull, R[0].numpy())
        crops = make_crops(views, cube, config.size, config.crop_margin)
        T = rotated(R.float(), crops.T_cube_camera)
        given = condition(crops.rgb, crops.K, T).to(self.device)
        with torch.no_grad():
            batch = to_device(self.network(given), torch.device("cpu"))
        if not all(bool(torch.isfinite(value).all()) for value in vars(batch).values()):
            raise CheckpointFile(self.path, REMEDY).bad("its network gives values that are not finite")
        made = Gaussians(batch.means[0], batch.quats[0], batch.scales[0], batch.opacities[0], batch.colors[0])
        return cube.from_unit(turned(R[0].numpy().T, made))


def cube_around(hull: DistanceField, R: F64) -> UnitCube:
    """The unit cube in which the hull, turned by R (3, 3) about the cube's centre, lies within the position bound."""
    inside = (hull.origin + hull.voxel * np.argwhere(hull.inside)) @ R.T
    low, high = inside.min(0) - hull.voxel / 2, inside.max(0) + hull.voxel / 2
    half = float((high - low).max()) / 2
    return UnitCube(R.T @ ((low + high) / 2), half / POSITION_BOUND)
