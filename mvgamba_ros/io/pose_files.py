"""Poses as files write them: rounded, without their last row, in homogeneous coordinates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mvgamba_ros.errors import ReconstructionError
from mvgamba_ros.geometry.se3 import check_rigid
from mvgamba_ros.io.transforms_intrinsics import bad_capture
from mvgamba_ros.types import F64

ROUNDED = 2e-3
"""How far R^T R of a pose in a text file may be off the identity: three decimals are up to 1.8e-3 off, and turn the
camera by 0.05 degrees at most."""


def read_pose(path: Path, values: Any, what: str) -> F64:
    """A rigid (4, 4) pose from 4x4 or 3x4 numbers, or 16 or 12 in rows.

    A last row 0 0 0 w divides the whole, as in homogeneous coordinates. Raises BAD_CAPTURE, with ``what``, for
    anything else, and as `check_rigid`.
    """
    try:
        T = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise bad_capture(path, f'{what} needs a "transform_matrix" of 4x4 numbers') from error
    if T.shape in ((16,), (12,)):
        T = T.reshape(-1, 4)
    if T.shape == (3, 4):
        T = np.vstack([T, [0.0, 0.0, 0.0, 1.0]])
    if T.shape == (4, 4) and np.isfinite(T).all() and T[3, 3] > 0.0 and not T[3, :3].any():
        T = T / T[3, 3]
    try:
        return check_rigid(T, f"{what}: transform_matrix", ROUNDED)
    except ReconstructionError as error:
        raise bad_capture(path, error.message) from error
