"""The Python packages that the core needs, and whether an environment has them.

`LEAST` holds the lower bounds; pyproject.toml states the same (a test compares them), and pip reads them there. colcon
and Debian's packages read neither, so node and command look when they start. Needs nothing but Python:
``python3 -m mvgamba_ros.packages`` in a clone prints what pip has yet to install.
"""

from __future__ import annotations

import re
import shlex
import sys
import sysconfig
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from mvgamba_ros.errors import ErrorCode, ReconstructionError

FAST_ATLAS = {"xatlas": ("xatlas", "0.0.11")}
"""Lays out textures, where a wheel is; elsewhere Open3D does, in ten times the time."""

LEAST = {
    "cv2": ("opencv-python-headless", "4.6"),
    "manifold3d": ("manifold3d", "3.2"),
    "numpy": ("numpy", "1.26"),
    "omegaconf": ("omegaconf", "2.4"),
    "open3d": ("open3d-cpu" if sysconfig.get_platform() == "linux-x86_64" else "open3d", "0.19"),
    "PIL": ("pillow", "10.1"),
    "rich": ("rich", "13"),
    "safetensors": ("safetensors", "0.4"),
    "scipy": ("scipy", "1.11"),
    "skimage": ("scikit-image", "0.22"),
    "threadpoolctl": ("threadpoolctl", "3.1"),
    "torch": ("torch", "2.1"),
    "transforms3d": ("transforms3d", "0.4.1"),
    "trimesh": ("trimesh", "4"),
    "yaml": ("PyYAML", "6"),
    **(FAST_ATLAS if sysconfig.get_platform() == "linux-x86_64" and sys.version_info < (3, 14) else {}),
}
"""Each imported module, the distribution that pip installs for it, and the oldest version that it was tried with."""

OTHER_NAMES = {
    "cv2": ("opencv-python", "opencv-contrib-python", "opencv-contrib-python-headless", "opencv"),
    "open3d": ("open3d", "open3d-cpu"),
}
"""Distributions that bring the same module. Debian's python3-opencv names none, and then the module itself is asked."""

ROS = (
    "diagnostic_msgs",
    "geometry_msgs",
    "rcl_interfaces",
    "rclpy",
    "sensor_msgs",
    "shape_msgs",
    "std_msgs",
    "std_srvs",
    "tf2_msgs",
    "visualization_msgs",
)
"""Modules of ROS 2 that the node imports."""


def check_packages() -> None:
    """Looks for every package of `LEAST`; a few milliseconds, and imports none whose version is on record.

    Raises MISSING_PACKAGE, one line for all that is missing or too old, with what is needed and how to get it.
    """
    faults = missing()
    if faults:
        wanted = " ".join(shlex.quote(requirement) for requirement in faults)
        found = ", ".join(f"{requirement} ({found})" for requirement, found in faults.items())
        raise ReconstructionError(
            ErrorCode.MISSING_PACKAGE, f"{sys.executable} lacks {found}: {_venv()}pip install {wanted}"
        )


def check_ros() -> None:
    """Looks for the modules of ROS 2 and of this package's own messages. Raises MISSING_PACKAGE where one is absent."""
    absent = [name for name in ROS if find_spec(name) is None]
    if absent:
        raise ReconstructionError(
            ErrorCode.MISSING_PACKAGE,
            f"{sys.executable} finds no {', '.join(absent)} of ROS 2: run  . /opt/ros/jazzy/setup.bash  first (or of"
            " your distribution), or in a clone `make setup` and . .venv/bin/activate",
        )
    absent = [name for name in ("msg", "srv", "action") if find_spec(f"mvgamba_ros.{name}") is None]
    if absent:
        raise ReconstructionError(
            ErrorCode.MISSING_PACKAGE,
            f"the interfaces of mvgamba_ros are not on the path ({', '.join(absent)}): source the workspace's "
            "install/setup.bash after `colcon build`, or in a clone run `make setup`",
        )


def missing() -> dict[str, str]:
    """Requirements, as pip takes them, that this environment does not meet -> what it has instead."""
    faults = {}
    for module, (name, least) in LEAST.items():
        if find_spec(module) is None:
            faults[f"{name}>={least}"] = "not installed"
        elif (found := installed(module, name)) and _numbers(found) < _numbers(least):
            faults[f"{name}>={least}"] = f"{found} is installed"
    return faults


def installed(module: str, name: str) -> str:
    """The version of ``module``, which is there, by the record of distribution ``name`` or of one of its `OTHER_NAMES`;
    by its own ``__version__`` where no record is there or several differ. Empty where nothing tells."""
    recorded = set()
    for distribution in {name, *OTHER_NAMES.get(module, ())}:
        try:
            recorded.add(version(distribution))
        except PackageNotFoundError:
            continue
    if len(recorded) == 1:
        return recorded.pop()
    return str(getattr(import_module(module), "__version__", ""))


def _numbers(text: str) -> tuple[int, ...]:
    """(2, 6, 0) of "2.6.0+dfsg"; without the zeros at the end, so that 4 and 4.0 are equal."""
    leading = re.match(r"\d+(\.\d+)*", text)
    numbers = [int(part) for part in leading.group().split(".")] if leading else []
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)


def _venv() -> str:
    """What goes before ``pip install`` where the system's own Python keeps pip out (PEP 668)."""
    kept = Path(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED").exists()
    if sys.prefix != sys.base_prefix or not kept:
        return ""
    return "python3 -m venv --system-site-packages ~/mvgamba && . ~/mvgamba/bin/activate && "


if __name__ == "__main__":
    print(*missing(), sep="\n")
