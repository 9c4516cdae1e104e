"""MVGamba as published, as a reconstructor: four posed views -> Gaussians -> rendered depths -> TSDF -> mesh."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mvgamba_ros.errors import ErrorCode, ReconstructionError, stop_if
from mvgamba_ros.geometry.distance_field import DistanceField
from mvgamba_ros.geometry.occlusion import uncovered_image
from mvgamba_ros.geometry.torch_rays import CPU, to_device
from mvgamba_ros.geometry.unit_cube import UnitCube, fit
from mvgamba_ros.geometry.view_spread import spread_views
from mvgamba_ros.io.weights import CheckpointFile, identify_checkpoint
from mvgamba_ros.kernels.device import choose_device, ran_on
from mvgamba_ros.methods.protocol import Shape
from mvgamba_ros.methods.published.conditioning import condition, first_camera_rotation, rotated, turned
from mvgamba_ros.methods.published.framing import framed_camera, framed_picture
from mvgamba_ros.methods.published.gaussian_meshing import gaussians_to_mesh
from mvgamba_ros.methods.published.published_weights import REMEDY, read_published
from mvgamba_ros.options import Options
from mvgamba_ros.rendering.crops import COLOR_MARGIN
from mvgamba_ros.types import Cancelled, Gaussians, Progress, View, view_name

OBJECT_SHARE = 2.0
"""Side of the cube over the object's longest side: the authors' objects are 1 long in [-1, 1]^3."""


class MVGambaPublished:
    """The network of `published.network`, one forward pass a call, on a device of `choose_device`.

    ``checkpoint``: a ``.safetensors`` or ``.pth`` file, see `read_published`; BAD_CHECKPOINT without one, as the
    authors released no weights, and for one that does not fit.

    The network has positions learned for ``config.views`` views. Of more, those are taken that lie furthest apart
    around the object (`spread_views`); the mesh is cut by the hull of all of them. Fewer raise TOO_FEW_VIEWS. The
    network works as it was trained: in a cube of twice the hull's longest side, in the frame of the first camera
    (`first_camera_rotation`), on the part of each view that the training cameras would show (`framing`), on white.

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
        self.provenance = {**ran_on(self.device), **identify_checkpoint(self.path)}

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
            self.device,
        )
        progress("surface", 1.0)
        return Shape(mesh, gaussians, notes=self.notes)

    def _gaussians(self, views: Sequence[View], hull: DistanceField) -> Gaussians:
        """Of one forward pass, in the world frame, metres."""
        config = self.network.config
        poses = torch.from_numpy(np.stack([view.T_world_camera for view in views]))[None]
        R = first_camera_rotation(poses)
        low, high = hull.bounds()
        cube = fit(low, high, margin=OBJECT_SHARE)
        given = network_input(views, cube, R, config.size).to(self.device)
        with torch.no_grad():
            batch = to_device(self.network(given), CPU)
        if not all(bool(torch.isfinite(value).all()) for value in vars(batch).values()):
            raise CheckpointFile(self.path, REMEDY).bad("its network gives values that are not finite")
        made = Gaussians(batch.means[0], batch.quats[0], batch.scales[0], batch.opacities[0], batch.colors[0])
        return cube.from_unit(turned(R[0].numpy().T, made))


def network_input(views: Sequence[View], cube: UnitCube, R: Tensor, size: int) -> Tensor:
    """What the network is given (1, V, 9, size, size) of ``views``, in the cube turned by R (1, 3, 3)."""
    pictures, intrinsics, poses = [], [], []
    for index, view in enumerate(views):
        if view.mask is None or not view.mask.any():
            raise ReconstructionError(
                ErrorCode.EMPTY_SILHOUETTE, f"{view_name(view, index)}: no silhouette; leave this view out"
            )
        T = cube.to_unit(view).T_world_camera
        framed = framed_camera(view.camera, T, size)
        pictures.append(framed_picture(uncovered_image(view, COLOR_MARGIN), view.mask, view.camera, framed))
        intrinsics.append(framed.K)
        poses.append(T)
    K, T_cube_camera = (torch.from_numpy(np.stack(a).astype(np.float32))[None] for a in (intrinsics, poses))
    return condition(torch.from_numpy(np.stack(pictures))[None], K, rotated(R.float(), T_cube_camera))
