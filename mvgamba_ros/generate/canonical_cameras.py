"""The cameras of the canonical frame: on a circle around the object, as multi-view diffusion was trained with."""

from __future__ import annotations

import math

import numpy as np

from mvgamba_ros.geometry.se3 import OPENCV_FROM_OPENGL, look_at
from mvgamba_ros.types import F32, F64, Camera

RADIUS = 1.5
"""Of the circle, in half sides of the cube: LGM's and MVGamba's, for an object within [-1, 1]."""
FIELD_OF_VIEW = math.radians(49.1)
"""Of the square pictures, of Objaverse's renderings that MVDream and LGM trained on."""
AZIMUTHS = (0.0, math.pi / 2, math.pi, 3 * math.pi / 2)
"""Of the four views: from the front (+x), then counter-clockwise seen from above. LGM and MVGamba take them so."""
PAINTED = (3, 0, 1, 2)
"""The views in the order that MVDream paints them in: it begins a quarter turn before the front."""


def orbit_pose(azimuth: float, radius: float = RADIUS) -> F64:
    """``T_canonical_camera`` (4, 4) of an OpenCV camera at elevation 0 that aims at the origin, z up in its picture."""
    return look_at(radius * np.array([math.cos(azimuth), math.sin(azimuth), 0.0]), np.zeros(3))


def square_camera(size: int) -> Camera:
    """The pinhole of `FIELD_OF_VIEW` with a picture of ``size`` pixels a side."""
    focal = size / 2 / math.tan(FIELD_OF_VIEW / 2)
    return Camera(np.array([[focal, 0.0, size / 2], [0.0, focal, size / 2], [0.0, 0.0, 1.0]]), size, size)


def painted_cameras() -> F32:
    """(4, 16) what the networks are given of the cameras, in the order of `PAINTED`: the poses, row by row, of OpenGL
    cameras at distance 1."""
    poses = [orbit_pose(AZIMUTHS[view], radius=1.0) @ OPENCV_FROM_OPENGL for view in PAINTED]
    return np.stack([pose.ravel() for pose in poses]).astype(np.float32)
