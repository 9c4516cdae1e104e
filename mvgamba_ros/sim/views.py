"""View planning: camera poses around a point that this arm can reach, one after the other."""

from __future__ import annotations

import numpy as np
from transforms3d.axangles import axangle2mat

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.se3 import look_at, rigid
from mvgamba_ros.sim.kinematics import Kinematics
from mvgamba_ros.types import F64

ELEVATIONS = (35.0, 55.0, 42.0, 62.0)  # degrees, taken in turn
DISTANCES = (0.34, 0.30, 0.38)  # metres, the first that can be reached
ROLLS = (0.0, 45.0, -45.0, 90.0, -90.0, 180.0)  # degrees about the optical axis, upright first
AZIMUTH_SLACK = (0.0, 15.0, -15.0)  # degrees


def plan_views(kinematics: Kinematics, target: F64, count: int, start: F64) -> list[F64]:
    """``count`` camera poses ``T_base_camera`` (4, 4), OpenCV optical, that aim at ``target`` (3,) metres from all
    around, at elevations of 30 to 65 degrees, each to be reached from the one before without a collision, the first
    from the joints ``start`` (7,).

    Raises BAD_OPTION where fewer than ``count`` can be reached.
    """
    poses: list[F64] = []
    q = start
    for i in range(count):
        # start behind the object and turn once around it
        azimuth = 180.0 + 360.0 * (i + 0.5) / count
        for pose in _candidates(target, azimuth, ELEVATIONS[i % len(ELEVATIONS)]):
            goal = kinematics.inverse(pose, q, tries=3)
            if goal is not None and kinematics.path(q, goal) is not None:
                poses.append(pose)
                q = goal
                break
        else:
            raise ReconstructionError(
                ErrorCode.BAD_OPTION,
                f"view {i + 1} of {count}: the camera cannot aim at ({', '.join(f'{x:.2f}' for x in target)}) m from "
                f"azimuth {azimuth % 360:.0f} degrees; choose another number of views or move the object",
            )
    return poses


def _candidates(target: F64, azimuth: float, elevation: float) -> list[F64]:
    """Poses for one view, the most wanted first."""
    return [
        orbit(target, azimuth + slack, elevation + lift, distance, roll)
        for slack in AZIMUTH_SLACK
        for lift in (0.0, 10.0)
        if elevation + lift <= 65.0
        for distance in DISTANCES
        for roll in ROLLS
    ]


def orbit(target: F64, azimuth: float, elevation: float, distance: float, roll: float = 0.0) -> F64:
    """A camera at ``distance`` metres from ``target``, seen from there at ``azimuth`` about z and ``elevation``, aimed
    at it, turned by ``roll`` about its own axis; angles in degrees."""
    a, e, r = np.deg2rad([azimuth, elevation, roll])
    direction = np.array([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)])
    T = look_at(np.asarray(target) + distance * direction, np.asarray(target))
    return T @ rigid(axangle2mat([0.0, 0.0, 1.0], r), np.zeros(3))
