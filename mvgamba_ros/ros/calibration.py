"""The service ``~/calibration``: the hand-eye calibration by all reconstructions so far, and what to publish."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import Any

import numpy as np
from geometry_msgs.msg import TransformStamped, Vector3

from mvgamba_ros.config.pose_refinement_config import PosePriorConfig
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.pose_refinement.hand_eye import HandEyeEstimate
from mvgamba_ros.pose_refinement.twists import logarithm
from mvgamba_ros.reconstruction import Reconstruction
from mvgamba_ros.ros.conversions.geometry import matrix_to_pose
from mvgamba_ros.ros.transforms import speeds
from mvgamba_ros.ros.view_buffer import Mount
from mvgamba_ros.types import F64

SAME_MOUNT = 1e-4
"""Metres and radians within which a camera hangs on its parent as before."""


class Calibration:
    """Adds up what reconstructions from captured views show of the hand-eye calibration of one camera. Results come
    from the worker's thread, requests from the executor's."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._mounts: Sequence[Mount] = ()
        self._estimate = HandEyeEstimate()

    def add(self, result: Reconstruction, mounts: Sequence[Mount | None]) -> None:
        """Takes a result of views whose cameras were mounted so; one whose views contradict each other shows nothing. A
        camera mounted otherwise than before starts anew: another one, or a new calibration."""
        known = [mount for mount in mounts if mount is not None]
        if result.poses is None or result.quality.low or not known or not result.poses.hand_eye_information.any():
            return
        with self._lock:
            if not self._mounts or (_fixed(known) and not _same(known[-1], self._mounts[-1])):
                self._estimate = HandEyeEstimate()
            self._mounts, self._estimate = known, self._estimate + result.poses

    def answer(self, response: Any, reset: bool, config: PosePriorConfig) -> Any:
        """Fills the response of srv/Calibration; then forgets, if ``reset``. Raises NO_ESTIMATE before the first
        reconstruction that showed something."""
        with self._lock:
            mounts, estimate = self._mounts, self._estimate
            if reset:
                self._estimate = HandEyeEstimate()
        if not estimate.captures:
            raise ReconstructionError(
                ErrorCode.NO_ESTIMATE,
                "no reconstruction has shown the hand-eye calibration yet: capture views, with refine_poses auto, and "
                "reconstruct an object on a textured table",
            )
        correction, response.sigma_mm, response.sigma_deg = estimate.solve(config)
        response.reconstructions = estimate.captures
        response.correction = matrix_to_pose(correction)
        twist = logarithm(correction)
        response.message = (
            f"your hand-eye calibration is {1e3 * np.linalg.norm(twist[3:]):.1f} mm and "
            f"{np.degrees(np.linalg.norm(twist[:3])):.2f} degrees off (standard deviation {response.sigma_mm:.1f} mm, "
            f"{response.sigma_deg:.2f} degrees), by {estimate.captures} reconstruction(s). "
        )
        mount = mounts[-1]
        if _fixed(mounts):
            response.transform = _transform(mount, correction)
            response.message += f"To publish the right transform in place of the present one: {_command(response)}"
        else:
            response.message += (
                f"TF moves '{mount.frame}' against its parent '{mount.parent}', so there is no static transform to "
                "replace: apply the correction where the camera's pose is made"
            )
        return response


def _transform(mount: Mount, correction: F64) -> TransformStamped:
    """The mount as it is by the ``correction`` (4, 4)."""
    pose = matrix_to_pose(mount.T_parent_frame @ correction)
    transform = TransformStamped(child_frame_id=mount.frame)
    transform.header.frame_id = mount.parent
    transform.transform.translation = Vector3(x=pose.position.x, y=pose.position.y, z=pose.position.z)
    transform.transform.rotation = pose.orientation
    return transform


def _command(response: Any) -> str:
    """The shell command that publishes the response's transform."""
    t, q = response.transform.transform.translation, response.transform.transform.rotation
    return (
        f"ros2 run tf2_ros static_transform_publisher --x {t.x:.6f} --y {t.y:.6f} --z {t.z:.6f} --qx {q.x:.8f} "
        f"--qy {q.y:.8f} --qz {q.z:.8f} --qw {q.w:.8f} --frame-id {response.transform.header.frame_id} "
        f"--child-frame-id {response.transform.child_frame_id}"
    )


def _fixed(mounts: Sequence[Mount]) -> bool:
    return all(_same(mount, mounts[0]) for mount in mounts)


def _same(a: Mount, b: Mount) -> bool:
    metres, radians = speeds(a.T_parent_frame, b.T_parent_frame, 1.0)
    return (a.parent, a.frame) == (b.parent, b.frame) and metres < SAME_MOUNT and radians < SAME_MOUNT
