"""Input validation: views and prompts are checked before any work is spent on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation

from mvgamba_ros.config.views_config import ViewsConfig
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.camera import check_camera
from mvgamba_ros.geometry.plausibility import check_depth, check_lens, check_unit
from mvgamba_ros.geometry.se3 import check_rigid, inverse, transform
from mvgamba_ros.options import Options
from mvgamba_ros.types import Box, Prompts, View, view_name

MARK = 1e4
"""A depth beyond this is a sensor's mark for none, metres. A wall behind the table is not."""


def check_views(views: Sequence[View], options: Options) -> tuple[list[View], list[str]]:
    """The views with exactly rigid poses, without depths that no sensor reads, and notes; or the first thing wrong with
    them, by name.

    Raises TOO_FEW_VIEWS, BAD_IMAGE, BAD_MASK, BAD_DEPTH, BAD_CAMERA_INFO, BAD_POSE, DUPLICATE_VIEW, BAD_ROI,
    ROI_NOT_VISIBLE, BAD_OPTION (prompts that fit no view).
    """
    config = options.config.views
    checked = [_check_view(view, view_name(view, index), config) for index, view in enumerate(views)]
    check_unit(checked, options.prompts, config)
    notes = _check_places(checked, config)
    count = distinct_views(checked, config)
    if count < options.min_views:
        same = f" from different places, of {len(views)}" if count < len(views) else ""
        raise ReconstructionError(
            ErrorCode.TOO_FEW_VIEWS,
            f"{count} view(s){same}: at least {options.min_views} are needed; capture more from other sides",
        )
    prompts = options.prompts
    check_prompts(checked, prompts)
    if prompts.support_height is not None and not np.isfinite(prompts.support_height):
        raise ReconstructionError(
            ErrorCode.BAD_ROI, f"support height {prompts.support_height} m: give a finite height, or none"
        )
    if prompts.roi is not None:
        _check_roi(checked, prompts.roi)
    if not all(view.mask is not None and options.use_masks for view in checked) and _are_grey(checked, config):
        notes.append("all pictures are grey: outlines are found less surely than in colour; check them in the preview")
    return checked, notes


def check_arrays(views: Sequence[View]) -> None:
    """Raises BAD_IMAGE, BAD_CAMERA_INFO, BAD_POSE, BAD_MASK or BAD_DEPTH for what is not a numpy array."""
    for index, view in enumerate(views):
        for what, value, code in (
            ("image", view.image, ErrorCode.BAD_IMAGE),
            ("camera.K", view.camera.K, ErrorCode.BAD_CAMERA_INFO),
            ("T_world_camera", view.T_world_camera, ErrorCode.BAD_POSE),
            ("mask", view.mask, ErrorCode.BAD_MASK),
            ("hidden", view.hidden, ErrorCode.BAD_MASK),
            ("depth", view.depth, ErrorCode.BAD_DEPTH),
        ):
            optional = what in ("mask", "hidden", "depth") and value is None
            if not optional and not isinstance(value, np.ndarray):
                raise ReconstructionError(
                    code, f"{view_name(view, index)}: {what} is a {type(value).__name__}: give a numpy array"
                )


def check_prompts(views: Sequence[View], prompts: Prompts) -> None:
    """Raises BAD_OPTION for pixel boxes or points of views that are not there or that lie off the image, BAD_ROI for
    a region of interest without volume."""
    if prompts.roi is not None:
        size = np.asarray(prompts.roi.size, dtype=np.float64)
        if size.shape != (3,) or not np.isfinite(size).all() or not (size > 0.0).all():
            raise ReconstructionError(
                ErrorCode.BAD_ROI, f"region of interest size {size.tolist()} m: each of 3 sides must be positive"
            )
        if not np.isfinite(prompts.roi.T_world_box).all():
            raise ReconstructionError(ErrorCode.BAD_ROI, "region of interest pose has a value that is not finite")
    for what, keys in (("pixel box", prompts.pixel_boxes), ("point prompt", prompts.points)):
        for index in keys:
            if not 0 <= index < len(views):
                raise ReconstructionError(
                    ErrorCode.BAD_OPTION, f"{what} for view {index}, but the views are 0 to {len(views) - 1}"
                )
    for index, (x0, y0, x1, y1) in prompts.pixel_boxes.items():
        name, (height, width) = view_name(views[index], index), views[index].image.shape[:2]
        if not (max(x0, 0) + 2 <= min(x1, width) and max(y0, 0) + 2 <= min(y1, height)):
            raise ReconstructionError(
                ErrorCode.BAD_OPTION,
                f"pixel box ({x0:g}, {y0:g}, {x1:g}, {y1:g}) of {name} covers less than 2 x 2 "
                f"pixels of the {width} x {height} image: give x0 < x1 and y0 < y1 inside it",
            )
    for index, points in prompts.points.items():
        name, (height, width) = view_name(views[index], index), views[index].image.shape[:2]
        rows = np.asarray(points, dtype=np.float64)
        if rows.ndim != 2 or rows.shape[1] != 3:
            raise ReconstructionError(
                ErrorCode.BAD_OPTION,
                f"points of {name} have shape {rows.shape}: give (N, 3) rows of x, y, label",
            )
        outside = (rows[:, 0] < 0) | (rows[:, 0] >= width) | (rows[:, 1] < 0) | (rows[:, 1] >= height)
        if outside.any() or not np.isin(rows[:, 2], (0, 1)).all():
            raise ReconstructionError(
                ErrorCode.BAD_OPTION,
                f"points of {name}: {rows.tolist()} must lie inside the {width} x {height} image "
                "and have label 1 (on the object) or 0 (off it)",
            )


def distinct_views(views: Sequence[View], config: ViewsConfig = ViewsConfig()) -> int:
    """How many places the views are from: camera centres at least ``config.min_distance`` apart."""
    places: list[np.ndarray] = []
    for view in views:
        eye = view.T_world_camera[:3, 3]
        if all(np.linalg.norm(eye - place) >= config.min_distance for place in places):
            places.append(eye)
    return len(places)


def _check_view(view: View, name: str, config: ViewsConfig) -> View:
    check_camera(view.camera, name)
    check_lens(view.camera, name, config)
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
    if view.hidden is not None and (view.hidden.dtype != np.bool_ or view.hidden.shape != size):
        raise ReconstructionError(
            ErrorCode.BAD_MASK,
            f"{name}: hidden must be {size} bool, it is {view.hidden.shape} {view.hidden.dtype}",
        )
    if view.mask is not None and not view.mask.all():
        border = np.concatenate([view.mask[[0, -1]].ravel(), view.mask[:, [0, -1]].ravel()])
        if border.all():
            raise ReconstructionError(
                ErrorCode.BAD_MASK,
                f"{name}: the mask holds {view.mask.mean():.0%} of the picture, all of its border with it, and not its "
                "middle: is it inverted? True (white) is on the object",
            )
    if view.depth is not None and (view.depth.dtype != np.float32 or view.depth.shape != size):
        raise ReconstructionError(
            ErrorCode.BAD_DEPTH,
            f"{name}: depth must be {size} float32 metres, it is {view.depth.shape} {view.depth.dtype}",
        )
    depth = view.depth
    if depth is not None:
        check_depth(depth, name, config)
        possible = (depth >= config.min_depth) & (depth <= MARK)
        depth = depth if possible.all() else np.where(possible, depth, np.float32(0.0))
    return replace(view, T_world_camera=check_rigid(view.T_world_camera, name), depth=depth)


def _check_places(views: Sequence[View], config: ViewsConfig) -> list[str]:
    """Pairs from the same place, as notes; a pair whose pictures differ has a wrong pose."""
    notes = []
    for j, b in enumerate(views):
        for i, a in enumerate(views[:j]):
            apart = float(np.linalg.norm(a.T_world_camera[:3, 3] - b.T_world_camera[:3, 3]))
            turned = Rotation.from_matrix(a.T_world_camera[:3, :3].T @ b.T_world_camera[:3, :3]).magnitude()
            same = apart < config.min_distance and np.degrees(turned) < config.min_angle
            if not same or a.image.shape != b.image.shape:
                continue
            pair = f"{view_name(a, i)} and {view_name(b, j)} are from the same place"
            difference = float(np.abs(a.image.astype(np.int16) - b.image).mean())
            if difference > config.max_difference:
                raise ReconstructionError(
                    ErrorCode.DUPLICATE_VIEW,
                    f"{pair} by their poses, but their pictures differ by {difference:.0f} grey levels; one of the "
                    "poses is wrong: check that it was taken when the image was, or leave one view out",
                )
            notes.append(f"{pair}: they count as one view")
    return notes


def _are_grey(views: Sequence[View], config: ViewsConfig) -> bool:
    """Whether no pixel of a coarse sample has a colour."""
    samples = [view.image[::4, ::4] for view in views]
    return all(int(np.max(s.max(axis=2) - s.min(axis=2), initial=0)) <= config.max_grey_range for s in samples)


def _check_roi(views: Sequence[View], roi: Box) -> None:
    for index, view in enumerate(views):
        if why := misses(view, roi, view_name(view, index)):
            raise ReconstructionError(ErrorCode.ROI_NOT_VISIBLE, why)


def misses(view: View, roi: Box, name: str) -> str:
    """Why no part of ``roi`` can be in the picture of ``view``, called ``name``; empty where some may be.

    Raises BAD_POSE for a region's pose that is none.
    """
    size = ", ".join(f"{side:g}" for side in roi.size)
    T = check_rigid(roi.T_world_box, "region of interest")
    unit = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
    in_camera = transform(inverse(view.T_world_camera), transform(T, unit * roi.size))
    where = f"region of interest at ({', '.join(f'{x:.3f}' for x in T[:3, 3])}) m, size ({size}) m"
    if (in_camera[:, 2] <= 0.0).all():
        return f"{where} lies behind the camera of {name}; check the frame it is given in"
    if (in_camera[:, 2] > 0.0).all():
        u, v = (in_camera @ view.camera.K.T)[:, :2].T / in_camera[:, 2]
        if u.max() < 0 or v.max() < 0 or u.min() > view.camera.width or v.min() > view.camera.height:
            return (
                f"{where} is outside the picture of {name}; leave that view out, or check the frame the region is "
                "given in"
            )
    return ""
