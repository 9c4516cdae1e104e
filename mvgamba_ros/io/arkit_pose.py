"""Poses of Apple's ARKit, as phones' scanning apps export them.

ARKit's world has y up and its cameras OpenGL's axes (x right, y up, z back):
https://developer.apple.com/documentation/arkit/arcamera/transform.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mvgamba_ros.geometry.se3 import OPENCV_FROM_OPENGL
from mvgamba_ros.io.pose_files import read_pose
from mvgamba_ros.types import F64

Z_UP_FROM_Y_UP: F64 = np.array([[0.0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
"""Turns a world with y up to one with z up, x to y."""


def arkit_pose(path: Path, values: Any, what: str) -> F64:
    """``T_world_camera`` (4, 4) in a world with z up, from ARKit's camera to world of 4x4 or 3x4 numbers. Raises
    BAD_CAPTURE."""
    return Z_UP_FROM_Y_UP @ read_pose(path, values, what) @ OPENCV_FROM_OPENGL
