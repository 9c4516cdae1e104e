"""A posed view from the messages that belong to it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2

from mvgamba_ros.config.views_config import ViewsConfig
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.plausibility import check_depth, check_lens
from mvgamba_ros.ros.conversions.geometry import camera_info_to_camera
from mvgamba_ros.ros.conversions.images import (
    compressed_to_depth,
    compressed_to_rgb,
    image_size,
    image_to_depth,
    image_to_mask,
    image_to_rgb,
)
from mvgamba_ros.ros.request_limits import check_pixels
from mvgamba_ros.types import F32, F64, U8, Camera, View

if TYPE_CHECKING:
    from sensor_msgs.msg import CameraInfo, CompressedImage, Image


def make_view(
    image: Image | CompressedImage,
    camera_info: CameraInfo,
    T_world_camera: F64,
    depth: Image | CompressedImage | None = None,
    mask: Image | None = None,
    rectified: bool = False,
    name: str = "",
    config: ViewsConfig = ViewsConfig(),
    most_megapixels: float = math.inf,
) -> View:
    """The `View` of one image and what belongs to it, all sizes checked against each other and ``most_megapixels``,
    first by headers and then as decoded, values by ``config``."""
    prefix = f"{name} " if name else ""
    size = image_size(image, f"{prefix}image")
    check_pixels(*size, most_megapixels, f"{prefix}image")
    camera = camera_info_to_camera(camera_info, rectified, f"{prefix}camera_info")
    if size[0] and size[1] and sorted(size) != sorted((camera.width, camera.height)):  # EXIF may turn the picture
        raise _other_size(prefix, camera, *size)
    rgb = to_rgb(image, f"{prefix}image")
    height, width = rgb.shape[:2]
    if (camera.width, camera.height) != (width, height):
        raise _other_size(prefix, camera, width, height)
    check_lens(camera, f"{prefix}camera_info", config)
    for what, message, code in (("depth", depth, ErrorCode.BAD_DEPTH), ("mask", mask, ErrorCode.BAD_MASK)):
        if message is not None and (other := image_size(message, f"{prefix}{what}")) != (width, height):
            raise ReconstructionError(
                code,
                f"{prefix}{what} has {other[0]} x {other[1]} px, the image {width} x {height}: "
                f"publish {what} registered to the image",
            )
    measured = None if depth is None else to_depth(depth, f"{prefix}depth")
    if measured is not None:
        check_depth(measured, f"{prefix}depth", config)
    return View(
        image=rgb,
        camera=camera,
        T_world_camera=T_world_camera,
        depth=measured,
        mask=None if mask is None else image_to_mask(mask, f"{prefix}mask"),
        name=name,
    )


def _other_size(prefix: str, camera: Camera, width: int, height: int) -> ReconstructionError:
    return ReconstructionError(
        ErrorCode.BAD_CAMERA_INFO,
        f"{prefix}camera_info is for {camera.width} x {camera.height} px (after binning and ROI), the image has "
        f"{width} x {height}: remap camera_info to this image's own, or calibrate at this size",
    )


def to_rgb(image: Image | CompressedImage, what: str) -> U8:
    """(H, W, 3) RGB of either kind of image, see `conversions.images`."""
    return compressed_to_rgb(image, what) if hasattr(image, "format") else image_to_rgb(image, what)


def to_depth(image: Image | CompressedImage, what: str) -> F32:
    """(H, W) metres of either kind of depth image, see `conversions.images`."""
    return compressed_to_depth(image, what) if hasattr(image, "format") else image_to_depth(image, what)


def sharpness(image: U8) -> float:
    """Variance of the Laplacian of the grey image (H, W, 3): falls as the image blurs, rises with texture."""
    return float(cv2.Laplacian(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.CV_64F).var())
