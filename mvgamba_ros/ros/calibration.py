"""The service ``~/calibration``: the hand-eye calibration by all reconstructions so far, and what to publish."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import Any

import numpy as np
from geometry_msgs.msg import TransformStamped

from mvgamba_ros.config.pose_refinement_config import PosePriorConfig
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.se3 import inverse
from mvgamba_ros.pose_refinement.hand_eye import HandEyeEstimate
from mvgamba_ros.pose_refinement.twists import logarithm
from mvgamba_ros.reconstruction import Reconstruction
from mvgamba_ros.ros.conversions.geometry import matrix_to_pose, matrix_to_transform
from mvgamba_ros.ros.view_buffer import Mount
from mvgamba_ros.types import F64

SAME_MOUNT = 1e-4
"""Within which a frame hangs on its parent as before, see `Mount.hangs_as`: less than a calibration can tell."""


class Calibration:
    """Adds up what reconstructions from captured views show of the hand-eye calibration of one camera. Results come
    from the worker's thread, requests from the executor's."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._mounts: Sequence[Mount] = ()
        self._fixed: Sequence[Mount] = ()
        self._estimate = HandEyeEstimate()

    def add(self, result: Reconstruction, mounts: Sequence[Sequence[Mount]]) -> None:
        """Takes a result of views whose cameras were mounted so, each from the optical frame upwards; one whose views
        contradict each other shows nothing. A camera mounted otherwise than before starts anew: another one, or a new
        calibration."""
        known = [chain for chain in mounts if chain]
        if result.poses is None or result.quality.low or not known or not result.poses.hand_eye_information.any():
            return
        fixed = fixed_mounts(known)
        with self._lock:
            both = fixed_mounts([fixed, self._fixed])
            if not self._mounts or len(both) < min(len(fixed), len(self._fixed)):
                self._estimate, both = HandEyeEstimate(), fixed
            self._mounts, self._fixed, self._estimate = known[-1], both, self._estimate + result.poses

    def answer(self, response: Any, reset: bool, config: PosePriorConfig) -> Any:
        """Fills the response of srv/Calibration; then forgets, if ``reset``. Raises NO_ESTIMATE before the first
        reconstruction that showed something."""
        with self._lock:
            mounts, fixed, estimate = self._mounts, self._fixed, self._estimate
            if reset:
                self._mounts, self._estimate = (), HandEyeEstimate()
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
        if fixed:
            response.transform = _transform(corrected_mount(up_to_mount(fixed), correction))
            frames = " > ".join([fixed[-1].parent, *(mount.frame for mount in reversed(fixed))])
            response.message += (
                f"Of the frames that do not move against the camera ({frames}) "
                f"'{response.transform.child_frame_id}' is taken for the one that was calibrated. To publish its right "
                f"transform in place of the present one: {_command(response)}"
            )
        else:
            response.message += (
                f"TF moves '{mounts[0].frame}' against its parent '{mounts[0].parent}', so there is no static "
                "transform to replace: apply the correction where the camera's pose is made"
            )
        return response


def fixed_mounts(chains: Sequence[Sequence[Mount]]) -> Sequence[Mount]:
    """Of chains from the optical frame upwards: the part that is the same in all. The last one hangs on the arm's last
    moving frame, or on the target's where the camera does not move."""
    for length, joints in enumerate(zip(*chains, strict=False)):
        if not all(joint.hangs_as(joints[0], SAME_MOUNT) for joint in joints):
            return chains[0][:length]
    return min(chains, key=len)


def up_to_mount(fixed: Sequence[Mount]) -> Sequence[Mount]:
    """The ``fixed`` mounts from the optical frame up to the one that a user calibrates: the topmost frame whose name
    begins with the same word as the optical frame's, as drivers name theirs (``wrist_cam_link`` ...
    ``wrist_cam_color_optical_frame``); above it lie the robot's own (``tool0``, ``flange``)."""
    word = fixed[0].frame.split("_")[0]
    own = [index for index, mount in enumerate(fixed) if mount.frame.split("_")[0] == word]
    return fixed[: own[-1] + 1]


def corrected_mount(fixed: Sequence[Mount], correction: F64) -> Mount:
    """The last of the ``fixed`` mounts as it is by the ``correction`` (4, 4) of the optical frame, which hangs on it by
    the others."""
    *below, mount = fixed
    T_frame_camera = np.eye(4)
    for joint in below:
        T_frame_camera = joint.T_parent_frame @ T_frame_camera
    T = mount.T_parent_frame @ T_frame_camera @ correction @ inverse(T_frame_camera)
    return Mount(mount.parent, mount.frame, T)


def _transform(mount: Mount) -> TransformStamped:
    transform = TransformStamped(child_frame_id=mount.frame, transform=matrix_to_transform(mount.T_parent_frame))
    transform.header.frame_id = mount.parent
    return transform


def _command(response: Any) -> str:
    """The shell command that publishes the response's transform."""
    t, q = response.transform.transform.translation, response.transform.transform.rotation
    return (
        f"ros2 run tf2_ros static_transform_publisher --x {t.x:.6f} --y {t.y:.6f} --z {t.z:.6f} --qx {q.x:.8f} "
        f"--qy {q.y:.8f} --qz {q.z:.8f} --qw {q.w:.8f} --frame-id {response.transform.header.frame_id} "
        f"--child-frame-id {response.transform.child_frame_id}"
    )
