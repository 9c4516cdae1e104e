"""Metric 3D shape of an unknown object from a handful of posed camera views.

>>> from mvgamba_ros import Options, read_capture, reconstruct
>>> result = reconstruct(read_capture("capture"), Options(max_faces=2000))
>>> len(result.mesh.faces) <= 2000
True

Importing the package loads nothing: each public name is imported from its module when it is first used.
"""

from importlib import import_module
from pathlib import Path
from pkgutil import extend_path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mvgamba_ros.config.grasp_config import Gripper
    from mvgamba_ros.errors import ErrorCode, ReconstructionError
    from mvgamba_ros.grasps.grasp import Grasp
    from mvgamba_ros.grasps.planner import plan_grasps
    from mvgamba_ros.io.capture_readers import read_capture
    from mvgamba_ros.options import Options
    from mvgamba_ros.pipeline import reconstruct
    from mvgamba_ros.reconstruction import PoseCorrection, Quality, Reconstruction
    from mvgamba_ros.scene_objects import SceneObject, reconstruct_scene
    from mvgamba_ros.types import Box, Camera, Gaussians, Mesh, PointCloud, Prompts, View

# The built msg/, srv/ and action/ modules join this package. Any other folder of its name on the import path stays out:
# beside a clone that is the clone itself, whose config/ and msg/ hold no modules.
_own, *_others = extend_path(__path__, __name__)
__path__ = [_own, *(folder for folder in _others if Path(folder, "msg", "__init__.py").is_file())]
__version__ = "0.1.0"

__all__ = [
    "Box",
    "Camera",
    "ErrorCode",
    "Gaussians",
    "Grasp",
    "Gripper",
    "Mesh",
    "Options",
    "PointCloud",
    "PoseCorrection",
    "Prompts",
    "Quality",
    "Reconstruction",
    "ReconstructionError",
    "SceneObject",
    "View",
    "plan_grasps",
    "read_capture",
    "reconstruct",
    "reconstruct_scene",
]

_HOMES = {
    "ErrorCode": "errors",
    "Grasp": "grasps.grasp",
    "Gripper": "config.grasp_config",
    "Options": "options",
    "PoseCorrection": "reconstruction",
    "Quality": "reconstruction",
    "Reconstruction": "reconstruction",
    "ReconstructionError": "errors",
    "SceneObject": "scene_objects",
    "plan_grasps": "grasps.planner",
    "read_capture": "io.capture_readers",
    "reconstruct": "pipeline",
    "reconstruct_scene": "scene_objects",
}
"""The modules of the public names; those that are not here are of `types`."""

if not TYPE_CHECKING:  # a type checker would take every name for one of the package's

    def __getattr__(name):
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{_HOMES.get(name, 'types')}"), name)
        globals()[name] = value
        return value

    def __dir__():
        return sorted({*globals(), *__all__})
