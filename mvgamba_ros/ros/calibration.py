"""The service ``~/calibration``: the hand-eye calibration by all reconstructions so far, and what to publish."""

from __future__ import annotations

from typing import Any

import numpy as np
from geometry_msgs.msg import TransformStamped, Vector3

from mvgamba_ros.config.pose_refinement_config import PosePriorConfig
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.pose_refinement.hand_eye import HandEyeEstimate
from mvgamba_ros.pose_refinement.twists import logarithm
from mvgamba_ros.reconstruction import Reconstruction
from mvgamba_ros.ros.conversions.geometry import matrix_to_pose
from mvgamba_ros.ros.transforms import TransformSource


class Calibration:
    """Adds up what reconstructions from captured views show of the hand-eye calibration of one optical frame."""

    def __init__(self, transforms: TransformSource) -> None:
        self._transforms = transforms
        self._frame = ""
        self._estimate = HandEyeEstimate()

    def add(self, result: Reconstruction, frame: str) -> None:
        """Takes a result of views from the optical ``frame``; one whose views contradict each other shows nothing. A
        new frame starts anew: it is another camera's."""
        if result.poses is None or result.quality.low or not frame:
            return
        if frame != self._frame:
            self._frame, self._estimate = frame, HandEyeEstimate()
        self._estimate = self._estimate + result.poses

    def answer(self, response: Any, stamp: int, reset: bool, config: PosePriorConfig) -> Any:
        """Fills the response of srv/Calibration; then forgets, if ``reset``.

        Raises NO_ESTIMATE before the first reconstruction, TRANSFORM_UNAVAILABLE where TF has no parent of the frame.
        """
        estimate, frame = self._estimate, self._frame
        if not estimate.captures:
            raise ReconstructionError(
                ErrorCode.NO_ESTIMATE,
                "no reconstruction has shown the hand-eye calibration yet: capture views, with refine_poses auto, and "
                "reconstruct an object on a textured table",
            )
        correction, response.sigma_mm, response.sigma_deg = estimate.solve(config)
        parent = self._transforms.parent(frame)
        T_parent_frame = self._transforms.lookup(parent, frame, stamp) @ correction
        pose = matrix_to_pose(T_parent_frame)
        response.reconstructions = estimate.captures
        response.correction = matrix_to_pose(correction)
        position, q = pose.position, pose.orientation
        response.transform = TransformStamped(child_frame_id=frame)
        response.transform.header.frame_id = parent
        response.transform.transform.translation = Vector3(x=position.x, y=position.y, z=position.z)
        response.transform.transform.rotation = q
        twist = logarithm(correction)
        response.message = (
            f"your hand-eye calibration is {1e3 * np.linalg.norm(twist[3:]):.1f} mm and "
            f"{np.degrees(np.linalg.norm(twist[:3])):.2f} degrees off (standard deviation {response.sigma_mm:.1f} mm, "
            f"{response.sigma_deg:.2f} degrees), by {estimate.captures} reconstruction(s). To publish the corrected "
            f"transform in place of the present one: ros2 run tf2_ros static_transform_publisher --x {position.x:.6f} "
            f"--y {position.y:.6f} --z {position.z:.6f} --qx {q.x:.8f} --qy {q.y:.8f} --qz {q.z:.8f} --qw {q.w:.8f} "
            f"--frame-id {parent} --child-frame-id {frame}"
        )
        if reset:
            self._estimate = HandEyeEstimate()
        return response
