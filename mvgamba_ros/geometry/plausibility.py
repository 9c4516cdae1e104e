"""Values that no robot's camera gives: intrinsics of another picture, depth and poses in another unit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mvgamba_ros.config.views_config import ViewsConfig
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.rays import axes_intersection
from mvgamba_ros.types import F32, Camera, Prompts, View

NORMALISED_FOCAL = 10.0
"""Focal lengths below this many pixels, beside a principal point within 1, are shares of the picture's size."""
RESIZED = 0.25
"""Intrinsics of a picture larger or smaller than this one by less than this share are not told from a lens off its
centre."""
CLEAR_SPREAD = 0.01
"""Of optical axes, as in `axes_intersection`: about 6 degrees around their mean. Below it the point where they meet is
too uncertain to say how far away it is."""


def check_lens(camera: Camera, what: str, config: ViewsConfig = ViewsConfig()) -> None:
    """Raises BAD_CAMERA_INFO for intrinsics that no lens has, or that are those of another picture; ``camera`` as
    `check_camera` lets it pass."""

    def bad(message: str) -> ReconstructionError:
        return ReconstructionError(ErrorCode.BAD_CAMERA_INFO, f"{what}: {message}")

    size, focal, center = np.array([camera.width, camera.height]), np.diag(camera.K)[:2], camera.K[:2, 2]
    pixels = f"a {camera.width} x {camera.height} picture"
    if (focal < NORMALISED_FOCAL).all() and (center <= 1.0).all():
        raise bad(
            f"focal lengths {focal[0]:g}, {focal[1]:g} and principal point ({center[0]:g}, {center[1]:g}) of {pixels} "
            "are shares of its size: multiply the first row of K by the width, the second by the height"
        )
    for side, pixel_size, f in zip(("width", "height"), size, focal, strict=True):
        angle = 2.0 * np.degrees(np.arctan(pixel_size / (2.0 * f)))
        if not config.min_field_of_view <= angle <= config.max_field_of_view:
            raise bad(
                f"a focal length of {f:g} px shows {angle:.3g} degrees over the {side} of {pixels}, which no lens does "
                f"(views.min_field_of_view {config.min_field_of_view:g}, views.max_field_of_view "
                f"{config.max_field_of_view:g}): give pixels of this picture, not millimetres or another size's"
            )
    place = f"the principal point ({center[0]:.1f}, {center[1]:.1f}) px"
    share = center / size
    apart = float(np.abs(share - share.mean()).max())
    scale = 2.0 * float(share.mean())
    if apart < config.resized_tolerance and abs(scale - 1.0) > RESIZED:
        raise bad(
            f"{place} is the centre of a {scale * size[0]:.0f} x {scale * size[1]:.0f} picture, not of "
            f"{pixels}: give the intrinsics of this size (for a crop: views.resized_tolerance 0)"
        )
    turned = np.abs(2.0 * center - size[::-1]) < config.resized_tolerance * size[::-1]
    if turned.all() and abs(camera.width - camera.height) > RESIZED * size.min():
        raise bad(
            f"{place} is the centre of a {camera.height} x {camera.width} picture, not of {pixels}: was the picture "
            "turned by a quarter, as a phone's orientation tag does, or are cx and cy exchanged? (for a crop: "
            "views.resized_tolerance 0)"
        )
    margin = config.principal_point_margin
    if not ((share >= margin) & (share <= 1.0 - margin)).all():
        raise bad(
            f"{place} lies outside {pixels} or at its edge (views.principal_point_margin {margin:g}): are the "
            "intrinsics those of another picture or size? (for a crop: a negative margin)"
        )


def check_depth(depth: F32, what: str, config: ViewsConfig = ViewsConfig()) -> None:
    """Raises BAD_DEPTH for depth (H, W) in metres without a value, or with hardly any that a table can have."""
    known = depth[np.isfinite(depth) & (depth > 0.0)]
    if not known.size:
        raise ReconstructionError(
            ErrorCode.BAD_DEPTH,
            f"{what}: no depth is above 0: move the camera into the sensor's range, or do not use its depth",
        )
    share = float(((known >= config.min_depth) & (known <= config.max_depth)).mean())
    if share < config.min_depth_share:
        raise ReconstructionError(
            ErrorCode.BAD_DEPTH,
            f"{what}: the median depth is {np.median(known):.4g} m and {share:.0%} of the values lie between "
            f"{config.min_depth:g} and {config.max_depth:g} m (views.min_depth, views.max_depth): is it in another "
            "unit? 32FC1 holds metres, 16UC1 millimetres, a capture's files millimetres unless integer_depth_scale "
            "says otherwise",
        )


def check_unit(views: Sequence[View], prompts: Prompts, config: ViewsConfig = ViewsConfig()) -> None:
    """Raises BAD_POSE or BAD_ROI where the distances between cameras, region and support plane, or the region's size,
    are not those of a table in metres (``config.min_working_distance``, ``config.max_working_distance``).

    What cameras look at is where their optical axes meet, nothing where these are as good as parallel.
    """
    if not views:
        return
    limit = config.max_working_distance
    millimetres = f"in millimetres? Give metres (views.max_working_distance is {limit:g} m)"
    eyes = np.array([view.T_world_camera[:3, 3] for view in views])
    axes = np.array([view.T_world_camera[:3, 2] for view in views])
    middle = axes_intersection(eyes, axes, CLEAR_SPREAD)
    if middle is not None:
        distance = float(np.median(((middle - eyes) * axes).sum(axis=1)))
        far = f"the cameras are {abs(distance):.4g} m from what they look at: are the poses"
        if abs(distance) > limit:
            raise ReconstructionError(ErrorCode.BAD_POSE, f"{far} {millimetres}")
        if prompts.roi is None and 0.0 < distance < config.min_working_distance:
            raise ReconstructionError(
                ErrorCode.BAD_POSE,
                f"{far} in another unit? Give metres (views.min_working_distance is {config.min_working_distance:g} m)",
            )
    apart = 2.0 * float(np.linalg.norm(eyes - eyes.mean(axis=0), axis=1).max())
    if apart > 2.0 * limit:
        raise ReconstructionError(
            ErrorCode.BAD_POSE, f"the cameras are about {apart:.4g} m apart: are the poses {millimetres}"
        )
    roi, height = prompts.roi, prompts.support_height
    if roi is not None:
        size, distance = np.asarray(roi.size), float(np.linalg.norm(eyes - roi.T_world_box[:3, 3], axis=1).min())
        if np.isfinite(size).all() and size.max() > limit:
            raise ReconstructionError(
                ErrorCode.BAD_ROI, f"region of interest size {size.tolist()} m: is it {millimetres}"
            )
        if distance > limit:
            raise ReconstructionError(
                ErrorCode.BAD_ROI,
                f"the region of interest is {distance:.4g} m from the nearest camera: is it {millimetres}",
            )
    if height is not None:
        distance = float(np.abs(eyes[:, 2] - height).min())
        if np.isfinite(height) and distance > limit:
            raise ReconstructionError(
                ErrorCode.BAD_ROI,
                f"support height {height:g} m is {distance:.4g} m from the height of a camera: is it {millimetres}",
            )
