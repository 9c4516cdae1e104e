"""Posed views with silhouettes -> the square crops in the unit cube that the network sees.

The same windows and the same resampling (`silhouette_window`, `crop`, `crop_intrinsics`) make the crops of captured
views and those of rendered training views, so that the network is trained on the pixels that it will see.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.occlusion import uncovered_image
from mvgamba_ros.geometry.raster import part_around
from mvgamba_ros.geometry.unit_cube import UnitCube
from mvgamba_ros.types import F32, F64, U8, Bool, View, view_name

MIN_SIDE = 8
"""Least side of a crop's window, pixels: a guard for silhouettes of a few pixels, which no size of crop makes clearer;
not a setting."""

COLOR_MARGIN = 2
"""Pixels from its border on, where colours of two things mix, the object's colours are taken to fill what is hidden of
it; not a setting."""


def make_crops(
    views: Sequence[View], cube: UnitCube, size: int, margin: float, support_height: float | None = None
) -> CropBatch:
    """One scene as the network takes it: B = 1, V = len(views).

    ``views``: undistorted, each with a mask. ``size``: side of the crops in pixels. ``margin``: side of a crop over the
    longer side of its silhouette's box. Where a silhouette is hidden, colours are those of the object beside.
    ``support_height``: world z of the plane the object stands on, metres. Raises
    EMPTY_SILHOUETTE naming the view.
    """
    crops, intrinsics, poses = [], [], []
    for index, view in enumerate(views):
        if view.mask is None or not view.mask.any():
            raise ReconstructionError(
                ErrorCode.EMPTY_SILHOUETTE, f"{view_name(view, index)}: no silhouette; leave this view out"
            )
        window = silhouette_window(view.mask, margin)
        crops.append(crop_image(uncovered_image(view, COLOR_MARGIN), view.mask, window, size))
        intrinsics.append(crop_intrinsics(view.camera.K, window, size))
        poses.append(cube.to_unit(view).T_world_camera)
    stacked = torch.from_numpy(np.stack(crops))
    floor = -torch.inf if support_height is None else (support_height - float(cube.center[2])) / cube.half
    return CropBatch(
        rgb=stacked[None, :, :3],
        alpha=stacked[None, :, 3],
        K=_tensor(intrinsics),
        T_cube_camera=_tensor(poses),
        floor=torch.tensor([floor], dtype=torch.float32),
    )


def known_pixels(views: Sequence[View], size: int, margin: float) -> Tensor:
    """(V, S, S) share of each pixel of the crops of `make_crops` that nothing may cover, [0, 1]; 1 beyond the image."""
    known = []
    for view in views:
        assert view.mask is not None
        hidden = np.zeros_like(view.mask) if view.hidden is None else view.hidden
        known.append(1.0 - crop_image(view.image, hidden, silhouette_window(view.mask, margin), size)[3])
    return torch.from_numpy(np.stack(known))


def _tensor(matrices: Sequence[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(matrices).astype(np.float32))[None]


@dataclass(frozen=True)
class CropWindow:
    """A square of whole pixels of an image, ``side`` wide from column ``x0`` and row ``y0`` on; may reach beyond it."""

    x0: int
    y0: int
    side: int


def silhouette_window(mask: Bool, margin: float) -> CropWindow:
    """The window around the silhouette ``mask`` (H, W), its side ``margin`` times the longer side of the silhouette's
    bounding box, at least `MIN_SIDE`; the whole image's square where nothing is True."""
    if not mask.any():
        return CropWindow(0, 0, max(mask.shape))
    rows, columns = part_around(mask, 0)
    x0, x1, y0, y1 = columns.start, columns.stop, rows.start, rows.stop
    side = max(round(max(x1 - x0, y1 - y0) * margin), MIN_SIDE)
    return CropWindow((x0 + x1 - side) // 2, (y0 + y1 - side) // 2, side)


def crop_image(image: U8, alpha: Bool | U8, window: CropWindow, size: int, on_white: bool = False) -> F32:
    """(4, size, size): RGB on white and the soft silhouette of ``window``, in [0, 1]; white and 0 beyond the image.

    ``image`` (H, W, 3), ``alpha`` (H, W) a mask, or a soft one to 255. ``on_white``: the image's background is white
    already, as a rendered one's; else ``alpha`` cuts it out. Area averaging where the window is larger than ``size``
    (shrinking by bilinear look-ups would alias texture and silhouette), else bilinear.
    """
    x0, y0, side = window.x0, window.y0, window.side
    height, width = alpha.shape
    u0, v0, u1, v1 = max(x0, 0), max(y0, 0), min(x0 + side, width), min(y0 + side, height)
    shown = np.s_[v0:v1, u0:u1]
    cover = alpha[shown].astype(np.float32)
    if alpha.dtype == np.uint8:
        cover /= 255
    canvas = np.ones((side, side, 4), np.float32)
    canvas[..., 3] = 0
    part = canvas[v0 - y0 : v1 - y0, u0 - x0 : u1 - x0]
    for channel in range(3):  # one by one: numpy is slow over a last axis of three
        values = image[shown][..., channel].astype(np.float32) / 255
        part[..., channel] = values if on_white else values * cover + (1 - cover)
    part[..., 3] = cover
    resampling = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
    return np.ascontiguousarray(cv2.resize(canvas, (size, size), interpolation=resampling).transpose(2, 0, 1))


def crop_intrinsics(K: F64, window: CropWindow, size: int) -> F64:
    """``K`` (3, 3) of the image -> of its ``window`` resampled to ``size`` pixels a side, pixel centres at +0.5."""
    cropped = K.copy()
    cropped[0, 2] -= window.x0
    cropped[1, 2] -= window.y0
    cropped[:2] *= size / window.side
    return cropped


@dataclass(frozen=True)
class CropBatch:
    """B scenes of V square object crops. Fields share the leading (B, V).

    ``rgb`` (B, V, 3, S, S) in [0, 1], white off the object; ``alpha`` (B, V, S, S) soft silhouettes in [0, 1];
    ``K`` (B, V, 3, 3) in crop pixels, centres at +0.5; ``T_cube_camera`` (B, V, 4, 4) rigid, OpenCV optical frames.
    ``floor`` (B,): z of the horizontal plane that nothing of the object lies below; -inf where it is not known.
    """

    rgb: Tensor
    alpha: Tensor
    K: Tensor
    T_cube_camera: Tensor
    floor: Tensor


def projector(batch: CropBatch) -> tuple[Tensor, Tensor]:
    """M (B, V, 3, 3) and o (B, V, 3): ``M x + o`` is the homogeneous image position, the crop being [-1, 1]^2."""
    size = batch.alpha.shape[-1]
    to_unit = torch.tensor(
        [[2 / size, 0, -1], [0, 2 / size, -1], [0, 0, 1]], dtype=batch.K.dtype, device=batch.K.device
    )
    R = batch.T_cube_camera[..., :3, :3].transpose(-1, -2)
    M = to_unit @ batch.K @ R
    return M, -(M @ batch.T_cube_camera[..., :3, 3:]).squeeze(-1)
