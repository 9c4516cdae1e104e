"""MuJoCo, set before its import to render: without a display, in software if need be.

MuJoCo reads ``MUJOCO_GL`` once, when it is imported, so every module of the simulation takes it from here. A value
that the user has set is left as it is. Raises ImportError, with the remedy, where MuJoCo or OpenGL is missing.
"""

from __future__ import annotations

import ctypes.util
import os

if "MUJOCO_GL" not in os.environ:
    if ctypes.util.find_library("OSMesa"):
        os.environ["MUJOCO_GL"] = "osmesa"
    elif ctypes.util.find_library("EGL"):
        os.environ["MUJOCO_GL"] = "egl"
    else:
        raise ImportError(
            "the simulated camera needs an OpenGL without a display: apt-get install -y libegl1 libgl1-mesa-dri"
        )

try:
    import mujoco
except ImportError as error:
    raise ImportError(f"the simulated arm needs MuJoCo ({error}): pip install mujoco==3.17.0 pillow") from error

__all__ = ["mujoco"]
