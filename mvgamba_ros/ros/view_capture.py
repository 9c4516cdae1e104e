"""From the newest messages to a posed view worth keeping: fresh, still, sharp, of a known pose."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.ros.camera_frames import other_frames
from mvgamba_ros.ros.conversions.images import image_size
from mvgamba_ros.ros.conversions.posed_view import make_view, sharpness, to_rgb
from mvgamba_ros.ros.conversions.stamps import NANOSECONDS, stamp_of
from mvgamba_ros.ros.inputs import Inputs
from mvgamba_ros.ros.parameters import Parameters
from mvgamba_ros.ros.picture_motion import FROZEN_SHARE, MOVED_SHARE, moved_share
from mvgamba_ros.ros.transforms import TransformSource, speeds
from mvgamba_ros.ros.view_buffer import CapturedView, Mount
from mvgamba_ros.types import F64, View

SAME_FRAME = 1e-3
"""Two poses closer than this, metres and radians, are one."""
CLEARLY_MOVED = 0.03
"""A camera that moved further than this, metres, sees another picture, from 2 m too: 9 pixels of 640 there."""


class Capture:
    """Checks the newest images and makes views of them. ``now`` returns the time of the node's clock, nanoseconds;
    ``succeeded`` is called with each good view."""

    def __init__(
        self,
        inputs: Inputs,
        transforms: TransformSource,
        settings: Callable[[], Parameters],
        now: Callable[[], int],
        succeeded: Callable[[], None] = lambda: None,
    ) -> None:
        self._inputs, self._transforms, self._settings, self._now = inputs, transforms, settings, now
        self._succeeded = succeeded
        self._last: CapturedView | None = None

    def forget(self) -> None:
        """Forgets the last view, with which the next is compared, as where time jumped."""
        self._last = None

    def newest_good_view(self) -> CapturedView:
        """The newest image that passes every test: one before it serves while the newest waits for its transform or is
        blurred. Where none passes, raises what is wrong with the newest."""
        parameters = self._settings()
        images = list(self._inputs["image"].messages)
        if not images:
            raise ReconstructionError(
                ErrorCode.NO_IMAGE, "no image yet: " + self._inputs.explain_silence("image", parameters.silent_after_s)
            )
        first: ReconstructionError | None = None
        for index in reversed(range(len(images))):
            try:
                captured = self._check(images[index], images[index - 1] if index else None, parameters)
                self._last = captured  # a jump, met in the thread of the transforms, may forget it at once
                self._succeeded()
                return captured
            except ReconstructionError as error:
                first = first or error
                if error.code in (ErrorCode.STALE_IMAGE, ErrorCode.CAMERA_MOVING):
                    break  # an image from before is older still, or from where the camera no longer is
        assert first is not None
        try:
            raise first
        finally:
            del first  # else the error and this frame, with its images, would keep each other

    def still_pose(self) -> F64:
        """``T_world_camera`` of the newest image whose transform is known, by its header alone. Raises NO_IMAGE,
        TRANSFORM_UNAVAILABLE, and CAMERA_MOVING where the camera did not stand then."""
        parameters = self._settings()
        error = ReconstructionError(
            ErrorCode.NO_IMAGE, "no image yet: " + self._inputs.explain_silence("image", parameters.silent_after_s)
        )
        for image in reversed(list(self._inputs["image"].messages)):
            try:
                return self._pose_of_a_still_camera(image.header.frame_id, stamp_of(image), parameters)
            except ReconstructionError as failed:
                error = failed
                if error.code is not ErrorCode.TRANSFORM_UNAVAILABLE:
                    break
        raise error

    def _check(self, image: Any, before: Any | None, parameters: Parameters) -> CapturedView:
        """The view of one image; raises the first test that it fails. ``before``: the image before it, if there is."""
        stamp = stamp_of(image)
        camera_info = self._inputs["camera_info"].nearest(stamp)
        if camera_info is None:
            raise ReconstructionError(
                ErrorCode.NO_CAMERA_INFO,
                "no camera_info yet: " + self._inputs.explain_silence("camera_info", parameters.silent_after_s),
            )
        age = (self._now() - stamp) / NANOSECONDS
        if age > parameters.max_image_age_s:
            raise ReconstructionError(
                ErrorCode.STALE_IMAGE,
                f"the newest image is {age:.2f} s old, more than max_image_age_s ({parameters.max_image_age_s:g} s): "
                "is the camera running, and are its stamps on this machine's clock (use_sim_time)?",
            )
        if age < -parameters.max_image_age_s:
            raise ReconstructionError(
                ErrorCode.STALE_IMAGE,
                f"the newest image is stamped {-age:.2f} s ahead of the node's clock, more than max_image_age_s "
                f"({parameters.max_image_age_s:g} s), so its age is not known: do both machines keep one time, and "
                "does /clock come (use_sim_time)?",
            )
        T_world_camera = self._pose_of_a_still_camera(image.header.frame_id, stamp, parameters)
        belonging: dict[str, Any] = {
            "camera_info": camera_info,
            "depth": self._companion("depth", stamp, parameters, ErrorCode.BAD_DEPTH),
            "mask": self._companion("mask", stamp, parameters, ErrorCode.BAD_MASK),
        }
        self._check_frames(image, belonging, stamp, parameters)
        view = make_view(
            image,
            T_world_camera=T_world_camera,
            **belonging,
            rectified=parameters.image_is_rectified,
            config=parameters.options.config.views,
            most_megapixels=parameters.max_view_megapixels,
        )
        sharp = sharpness(view.image)
        if sharp < parameters.min_sharpness:
            raise ReconstructionError(
                ErrorCode.BLURRED_IMAGE,
                f"sharpness {sharp:.1f} is below min_sharpness ({parameters.min_sharpness:g}): focus the camera, add "
                "light, let the arm settle, or lower min_sharpness for a scene without texture",
            )
        self._check_punctual(view, before, image.header.frame_id, parameters)
        frame = parameters.camera_frame or image.header.frame_id
        return CapturedView(view, stamp, self._mounts(frame, stamp, parameters))

    def _mounts(self, frame: str, stamp: int, parameters: Parameters) -> tuple[Mount, ...]:
        """How the camera hangs on the robot, frame by frame up to the target's, as far as TF knows it."""
        found = []
        for parent in self._transforms.ancestors(frame):
            if frame == parameters.target_frame:
                break
            try:
                found.append(Mount(parent, frame, self._transforms.lookup(parent, frame, stamp)))
            except ReconstructionError:
                break
            frame = parent
        return tuple(found)

    def _check_punctual(self, view: View, before: Any | None, frame_id: str, parameters: Parameters) -> None:
        """Raises STALE_IMAGE where the picture is that of the last view though the camera moved since, CAMERA_MOVING
        where it differs from the one before though the camera stood: the pictures are older than their stamps."""
        T, last = view.T_world_camera, self._last
        if last is not None and last.view.image.shape == view.image.shape:
            distance = float(np.linalg.norm(T[:3, 3] - last.view.T_world_camera[:3, 3]))
            if distance > CLEARLY_MOVED and moved_share(last.view.image, view.image) < FROZEN_SHARE:
                raise ReconstructionError(
                    ErrorCode.STALE_IMAGE,
                    f"the picture is that of the view before, though by TF the camera has moved {1e3 * distance:.0f} "
                    "mm since: the image stream is frozen, or later than its stamps; restart the driver, or let it "
                    "stamp the exposure",
                )
        if before is None:
            return
        try:
            T_before = self._transforms.lookup(
                parameters.target_frame, parameters.camera_frame or frame_id, stamp_of(before)
            )
            if max(speeds(T_before, T, 1.0)) > SAME_FRAME or image_size(before) != (
                view.camera.width,
                view.camera.height,
            ):
                return
            picture = to_rgb(before, "image")
        except ReconstructionError:
            return  # nothing to compare with
        share = moved_share(picture, view.image)
        if share > MOVED_SHARE:
            raise ReconstructionError(
                ErrorCode.CAMERA_MOVING,
                f"{share:.0%} of the picture moved since the one before, though the camera stood by TF: images come "
                "later than their stamps, or the scene moves; wait longer after the arm stops, or let the driver stamp "
                "the exposure",
            )

    def _check_frames(self, image: Any, belonging: Mapping[str, Any], stamp: int, parameters: Parameters) -> None:
        """Raises the error of the first message that another camera made. Depth and mask may be in a frame of another
        name that TF puts in the same place."""

        def topic(name: str) -> str:
            return str(getattr(self._inputs[name], "topic", name))

        for name, error in other_frames(image, belonging, topic, {parameters.camera_frame.lstrip("/")}).items():
            if name == "camera_info":
                raise error
            own, other = parameters.camera_frame or image.header.frame_id, belonging[name].header.frame_id
            try:
                T = self._transforms.lookup(own.lstrip("/"), other.lstrip("/"), stamp)
            except ReconstructionError:
                raise error from None
            if max(speeds(np.eye(4), T, 1.0)) > SAME_FRAME:
                raise error

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
