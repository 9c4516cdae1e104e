"""Looks over views and prompts before any work is spent on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.camera import check_camera
from mvgamba_ros.geometry.se3 import check_rigid, inverse, transform
from mvgamba_ros.options import Options
from mvgamba_ros.segmentation.segmenter import check_prompts
from mvgamba_ros.types import Box, View

SAME_PLACE = 1e-3
SAME_DEGREES = 0.2
"""Two views closer than this in metres, and in degrees of their optical axes, are one view twice."""


def view_name(view: View, index: int) -> str:
    """How messages call a view."""
    return view.name or f"view {index}"


def check_views(views: Sequence[View], options: Options) -> list[View]:
    """The views with exactly rigid poses, or the first thing wrong with them, by name.

    Raises TOO_FEW_VIEWS, BAD_IMAGE, BAD_MASK, BAD_DEPTH, BAD_CAMERA_INFO, BAD_POSE, DUPLICATE_VIEW, BAD_ROI,
    ROI_NOT_VISIBLE, BAD_OPTION (prompts that fit no view).
    """
    if len(views) < options.min_views:
        raise ReconstructionError(
            ErrorCode.TOO_FEW_VIEWS,
            f"{len(views)} view(s), at least {options.min_views} are needed; capture more from other sides",
        )
    checked = [_check_view(view, view_name(view, index)) for index, view in enumerate(views)]
    _check_places(checked)
    _check_prompts(checked, options)
    return checked


def _check_view(view: View, name: str) -> View:
    check_camera(view.camera, name)
    size = (view.camera.height, view.camera.width)
    image = view.image
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ReconstructionError(
            ErrorCode.BAD_IMAGE, f"{name}: the image must be (H, W, 3) uint8 RGB, it is {image.shape} {image.dtype}"
        )
    if image.shape[:2] != size:
        raise ReconstructionError(
            ErrorCode.BAD_CAMERA_INFO,
            f"{name}: the image is {image.shape[1]} x {image.shape[0]}, the intrinsics are for {size[1]} x {size[0]}",
        )
    if view.mask is not None and (view.mask.dtype != np.bool_ or view.mask.shape != size):
        raise ReconstructionError(
            ErrorCode.BAD_MASK, f"{name}: the mask must be {size} bool, it is {view.mask.shape} {view.mask.dtype}"
        )
    if view.depth is not None and (view.depth.dtype != np.float32 or view.depth.shape != size):
        raise ReconstructionError(
            ErrorCode.BAD_DEPTH,
            f"{name}: depth must be {size} float32 metres, it is {view.depth.shape} {view.depth.dtype}",
        )
    return replace(view, T_world_camera=check_rigid(view.T_world_camera, name))


def _check_places(views: Sequence[View]) -> None:
    for j, b in enumerate(views):
        for i, a in enumerate(views[:j]):
            apart = float(np.linalg.norm(a.T_world_camera[:3, 3] - b.T_world_camera[:3, 3]))
            cosine = float(np.clip(a.T_world_camera[:3, 2] @ b.T_world_camera[:3, 2], -1.0, 1.0))
            if apart < SAME_PLACE and np.degrees(np.arccos(cosine)) < SAME_DEGREES:
                raise ReconstructionError(
                    ErrorCode.DUPLICATE_VIEW,
                    f"{view_name(a, i)} and {view_name(b, j)} are from the same place ({apart * 1e3:.2f} mm apart); "
                    "leave one out, or check that its pose is its own",
                )


def _check_prompts(views: Sequence[View], options: Options) -> None:
    prompts = options.prompts
    check_prompts(views, prompts)
    if prompts.support_height is not None and not np.isfinite(prompts.support_height):
        raise ReconstructionError(
            ErrorCode.BAD_ROI, f"support height {prompts.support_height} m: give a finite height, or none"
        )
    if prompts.roi is not None:
        _check_roi(views, prompts.roi)


def _check_roi(views: Sequence[View], roi: Box) -> None:
    size = ", ".join(f"{side:g}" for side in roi.size)
    T = check_rigid(roi.T_world_box, "region of interest")
    unit = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
    corners = transform(T, unit * roi.size)
    center = ", ".join(f"{x:.3f}" for x in T[:3, 3])
    for index, view in enumerate(views):
        in_camera = transform(inverse(view.T_world_camera), corners)
        where = f"region of interest at ({center}) m, size ({size}) m"
        if (in_camera[:, 2] <= 0.0).all():
            raise ReconstructionError(
                ErrorCode.ROI_NOT_VISIBLE,
                f"{where} lies behind the camera of {view_name(view, index)}; check the frame it is given in",
            )
        if (in_camera[:, 2] > 0.0).all():
            u, v = (in_camera @ view.camera.K.T)[:, :2].T / in_camera[:, 2]
            if u.max() < 0 or v.max() < 0 or u.min() > view.camera.width or v.min() > view.camera.height:
                raise ReconstructionError(
                    ErrorCode.ROI_NOT_VISIBLE,
                    f"{where} is outside the picture of {view_name(view, index)}; leave that view out, or check the "
                    "frame the region is given in",
                )
