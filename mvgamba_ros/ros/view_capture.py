"""From the newest messages to a posed view worth keeping: fresh, still, sharp, of a known pose."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.ros.conversions.geometry import camera_info_to_camera
from mvgamba_ros.ros.conversions.images import compressed_to_rgb, image_to_depth, image_to_mask, image_to_rgb
from mvgamba_ros.ros.conversions.stamps import NANOSECONDS, stamp_of
from mvgamba_ros.ros.inputs import Inputs
from mvgamba_ros.ros.parameters import Parameters
from mvgamba_ros.ros.transforms import TransformSource, speeds
from mvgamba_ros.ros.view_buffer import CapturedView
from mvgamba_ros.types import F64, U8, View


def make_view(
    image: Image | CompressedImage,
    camera_info: CameraInfo,
    T_world_camera: F64,
    depth: Image | None = None,
    mask: Image | None = None,
    rectified: bool = False,
    name: str = "",
) -> View:
    """The `View` of one image and what belongs to it, all sizes checked against each other."""
    prefix = f"{name} " if name else ""
    compressed = isinstance(image, CompressedImage)
    rgb = compressed_to_rgb(image, f"{prefix}image") if compressed else image_to_rgb(image, f"{prefix}image")
    camera = camera_info_to_camera(camera_info, rectified, f"{prefix}camera_info")
    height, width = rgb.shape[:2]
    if (camera.width, camera.height) != (width, height):
        raise ReconstructionError(
            ErrorCode.BAD_CAMERA_INFO,
            f"{prefix}camera_info is for {camera.width} x {camera.height} px (after binning and ROI), the image has "
            f"{width} x {height}: remap camera_info to this image's own, or calibrate at this size",
        )
    for what, message, code in (("depth", depth, ErrorCode.BAD_DEPTH), ("mask", mask, ErrorCode.BAD_MASK)):
        if message is not None and (message.width, message.height) != (width, height):
            raise ReconstructionError(
                code,
                f"{prefix}{what} has {message.width} x {message.height} px, the image {width} x {height}: "
                f"publish {what} registered to the image",
            )
    return View(
        image=rgb,
        camera=camera,
        T_world_camera=T_world_camera,
        depth=None if depth is None else image_to_depth(depth, f"{prefix}depth"),
        mask=None if mask is None else image_to_mask(mask, f"{prefix}mask"),
        name=name,
    )


def sharpness(image: U8) -> float:
    """Variance of the Laplacian of the grey image (H, W, 3): falls as the image blurs, rises with texture."""
    return float(cv2.Laplacian(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.CV_64F).var())


class Capture:
    """Checks the newest images and makes views of them. ``now`` returns the time of the node's clock, nanoseconds."""

    def __init__(
        self,
        inputs: Inputs,
        transforms: TransformSource,
        parameters: Callable[[], Parameters],
        now: Callable[[], int],
    ) -> None:
        self._inputs, self._transforms, self._parameters, self._now = inputs, transforms, parameters, now

    def newest_good_view(self) -> CapturedView:
        """The newest image that passes every test: one before it serves while the newest waits for its transform or is
        blurred. Where none passes, raises what is wrong with the newest."""
        parameters = self._parameters()
        images = list(self._inputs["image"].messages)
        if not images:
            raise ReconstructionError(
                ErrorCode.NO_IMAGE, "no image yet: " + self._inputs.explain_silence("image", parameters.silent_after_s)
            )
        if not self._inputs["camera_info"].messages:
            raise ReconstructionError(
                ErrorCode.NO_CAMERA_INFO,
                "no camera_info yet: " + self._inputs.explain_silence("camera_info", parameters.silent_after_s),
            )
        first: ReconstructionError | None = None
        for image in reversed(images):
            try:
                return self._check(image, parameters)
            except ReconstructionError as error:
                first = first or error
                if error.code in (ErrorCode.STALE_IMAGE, ErrorCode.CAMERA_MOVING):
                    break  # an image from before is older still, or from where the camera no longer is
        assert first is not None
        raise first

    def _check(self, image: Any, parameters: Parameters) -> CapturedView:
        """The view of one image; raises the first test that it fails."""
        stamp = stamp_of(image)
        age = (self._now() - stamp) / NANOSECONDS
        if age > parameters.max_image_age_s:
            raise ReconstructionError(
                ErrorCode.STALE_IMAGE,
                f"the newest image is {age:.2f} s old, more than max_image_age_s ({parameters.max_image_age_s:g} s): "
                "is the camera running, and are its stamps on this machine's clock (use_sim_time)?",
            )
        T_world_camera = self._pose_of_a_still_camera(image.header.frame_id, stamp, parameters)
        view = make_view(
            image,
            self._inputs["camera_info"].nearest(stamp),
            T_world_camera,
            depth=self._companion("depth", stamp, parameters, ErrorCode.BAD_DEPTH),
            mask=self._companion("mask", stamp, parameters, ErrorCode.BAD_MASK),
            rectified=parameters.image_is_rectified,
        )
        sharp = sharpness(view.image)
        if sharp < parameters.min_sharpness:
            raise ReconstructionError(
                ErrorCode.BLURRED_IMAGE,
                f"sharpness {sharp:.1f} is below min_sharpness ({parameters.min_sharpness:g}): focus the camera, add "
                "light, let the arm settle, or lower min_sharpness for a scene without texture",
            )
        return CapturedView(view, stamp)

    def _pose_of_a_still_camera(self, frame_id: str, stamp: int, parameters: Parameters) -> F64:
        frame = parameters.camera_frame or frame_id
        if not frame:
            raise ReconstructionError(
                ErrorCode.TRANSFORM_UNAVAILABLE,
                "the image's header has no frame_id: set it in the driver, or set camera_frame",
            )
        T = self._transforms.lookup(parameters.target_frame, frame, stamp)
        before = stamp - int(parameters.motion_window_s * NANOSECONDS)
        T_before = self._transforms.lookup(parameters.target_frame, frame, before)
        speed, turn_rate = speeds(T_before, T, parameters.motion_window_s)
        if speed > parameters.max_camera_speed_m_s or turn_rate > parameters.max_camera_turn_rate_rad_s:
            raise ReconstructionError(
                ErrorCode.CAMERA_MOVING,
                f"the camera moved at {speed:.3f} m/s and {turn_rate:.3f} rad/s in the "
                f"{parameters.motion_window_s:g} s before the image (allowed: {parameters.max_camera_speed_m_s:g} and "
                f"{parameters.max_camera_turn_rate_rad_s:g}): wait until the arm is still",
            )
        return T

    def _companion(self, name: str, stamp: int, parameters: Parameters, code: ErrorCode) -> Any | None:
        """The depth or mask of the image at ``stamp``; None where that input is not in use."""
        if name not in self._inputs.by_name:
            return None
        message = self._inputs[name].nearest(stamp)
        if message is None:
            silent = self._inputs.explain_silence(name, parameters.silent_after_s)
            raise ReconstructionError(code, f"no {name} yet: {silent}")
        apart = abs(stamp_of(message) - stamp) / NANOSECONDS
        if apart > parameters.sync_tolerance_s:
            raise ReconstructionError(
                code,
                f"the nearest {name} is {apart:.3f} s from the image, more than sync_tolerance_s "
                f"({parameters.sync_tolerance_s:g} s): publish both with one stamp",
            )
        return message


def poses_of(captured: tuple[CapturedView, ...]) -> F64:
    """``T_world_camera`` (V, 4, 4)."""
    return np.array([c.view.T_world_camera for c in captured]).reshape(-1, 4, 4)
