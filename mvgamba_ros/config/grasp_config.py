"""What a parallel gripper is, and how grasps for it are searched and ranked."""

from __future__ import annotations

from dataclasses import dataclass

from mvgamba_ros.config.bounds import bounded


@dataclass(frozen=True)
class Gripper:
    """Two fingers that close on each other in front of a palm, each part a box.

    The grasp frame lies midway between the centres of the two pads: z is the approach, out of the palm; y is the axis
    that the fingers close along; x completes the frame, along the fingers' width. It is the Panda's `panda_hand_tcp`.

    Args:
        max_opening: Distance between the pads of the open gripper, metres.
        finger_length: From the palm to the finger tip, metres.
        finger_width: Of a finger along x, metres.
        finger_thickness: Of a finger along y, behind its pad, metres.
        pad_length: Of the part at the tip that is meant to touch, along z, metres.
        palm_width: Of the palm along y, metres.
        palm_depth: Of the palm along x, metres.
        palm_height: Of the palm along z, metres.
        friction: Coefficient between pad and object.

    Example:
        >>> from mvgamba_ros import Gripper
        >>> wide = Gripper(max_opening=0.14, finger_length=0.09)
        >>> wide.palm_width  # the Panda's, as it was not given
        0.204
    """

    max_opening: float = bounded(0.08, 0.005, 0.5)
    """Distance between the pads of the open gripper, metres. Default: the Panda's hand, as all of these."""

    finger_length: float = bounded(0.047, 0.005, 0.5)
    """From the palm to the finger tip along z, metres: no part of the object reaches deeper between the fingers."""

    finger_width: float = bounded(0.02, 0.002, 0.2)
    """Width of a finger along x, metres."""

    finger_thickness: float = bounded(0.0152, 0.001, 0.2)
    """Thickness of a finger along y, behind its pad, metres: the room that an open finger needs beside the object."""

    pad_length: float = bounded(0.0185, 0.002, 0.2)
    """Length of the part at the tip that is meant to touch, along z, metres. The grasp frame's origin is half of it
    behind the tip."""

    palm_width: float = bounded(0.204, 0.01, 1.0)
    """Size of the palm along y, metres, with whatever is mounted beside it."""

    palm_depth: float = bounded(0.063, 0.01, 1.0)
    """Size of the palm along x, metres, with a camera on it if there is one."""

    palm_height: float = bounded(0.066, 0.01, 1.0)
    """Size of the palm along z, metres, from the flange to where the fingers begin."""

    friction: float = bounded(0.5, 0.05, 3.0)
    """Coefficient of friction between pad and object. Default: rubber on painted card or plastic that may be
    dusty; dry rubber on clean plastic has 0.8 and more."""


GRIPPERS = {
    "panda": Gripper(),
    "robotiq_2f85": Gripper(
        max_opening=0.085,
        finger_length=0.055,
        finger_width=0.022,
        finger_thickness=0.016,
        pad_length=0.0375,
        palm_width=0.15,
        palm_depth=0.075,
        palm_height=0.094,
    ),
}
"""By the name that a command takes. Sizes of the Panda's hand are those of the collision boxes of its description; of
the 2F-85, those of its data sheet, the palm with the open linkage in it."""


@dataclass(frozen=True)
class GraspConfig:
    """How grasps are searched and ranked."""

    samples: int = bounded(1500, 10, 100_000)
    """Points on the surface from which contact pairs start. Chosen by hand: a 20 cm object has one in 6 mm, less than a
    finger's width."""

    approaches: int = bounded(12, 1, 360)
    """Directions that the gripper comes from around each pair's axis. Chosen by hand: one in 30 degrees."""

    screened: int = bounded(1500, 10, 100_000)
    """Poses that are closed on the mesh as it is. Chosen by time: 0.1 s on one core."""

    tried: int = bounded(64, 1, 10_000)
    """Best poses of those, apart from each other, that are tried on perturbed shapes. Chosen by time, likewise."""

    shapes: int = bounded(8, 1, 1000)
    """Perturbed shapes that each pose is tried on. Chosen by time: each takes 30 ms to build."""

    poses: int = bounded(3, 1, 1000)
    """Perturbed gripper poses on each of them. 8 x 3 trials tell shares that differ by 0.2 apart."""

    position_sigma: float = bounded(0.002, 0.0, 0.1)
    """Standard deviation of the gripper's position along each axis, metres: what hand-eye calibration and the arm
    leave. Chosen by hand, that of a calibrated wrist camera."""

    rotation_sigma: float = bounded(1.0, 0.0, 45.0)
    """Standard deviation of the gripper's rotation about each axis, degrees. Chosen by hand, likewise."""

    error_reach: float = bounded(0.03, 0.001, 1.0)
    """Distance, metres, over which the surface's error stays alike. Chosen by hand: errors of hulls and of inferred
    depth are bulges and dents of some centimetres."""

    clearance: float = bounded(0.002, 0.0, 0.1)
    """Room, metres, that each open finger has beside the object beyond the contacts' expected error, the palm before
    it, and everything above the support plane. Chosen by hand: the gripper's `position_sigma`."""

    compliance: float = bounded(0.001, 0.0001, 0.02)
    """How far a pad gives way, metres: surface that near to the first touch touches, too. Chosen by hand, that of a
    rubber pad of some millimetres."""

    approach: float = bounded(0.08, 0.0, 1.0)
    """The way, metres, that the gripper comes straight along z, which must be free."""

    lever: float = bounded(0.05, 0.001, 10.0)
    """Distance, metres, of the centre of mass from between the pads at which the firmness is halved. Chosen by hand:
    two pads of 2 cm that press with 40 N hold 0.5 kg there."""

    separation: float = bounded(0.01, 0.0, 1.0)
    """Two grasps that are nearer than this, metres, and turned by less than 20 degrees, are one: the better one stays.
    Chosen by hand, half a finger's width."""
