"""The arm as RViz draws it: the URDF of the same arm in the robosuite wheel. Its links are those on TF, by name and
place; the hand, which MuJoCo's model has turned, hangs on them by the URDF's fixed joints."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree import ElementTree

import numpy as np
from transforms3d.euler import euler2mat

from mvgamba_ros.geometry.se3 import rigid
from mvgamba_ros.sim.objects import assets
from mvgamba_ros.types import F64


def robot_description() -> str:
    """URDF, its meshes named by the paths of their files. Raises MISSING_PACKAGE where robosuite is not installed."""
    folder = assets() / "bullet_data" / "panda_description"
    text = (folder / "urdf" / "panda_arm_hand.urdf").read_text(encoding="utf-8")
    return text.replace("package://panda_description", folder.as_uri())


def fixed_links(description: str) -> Iterator[tuple[str, str, F64]]:
    """Parent, child and ``T_parent_child`` (4, 4) of the fixed joints of a URDF."""
    for joint in ElementTree.fromstring(description).iter("joint"):
        parent, child, origin = (joint.find(name) for name in ("parent", "child", "origin"))
        if joint.get("type") != "fixed" or parent is None or child is None or origin is None:
            continue
        xyz, rpy = (np.array(origin.get(name, "0 0 0").split(), float) for name in ("xyz", "rpy"))
        yield parent.get("link", ""), child.get("link", ""), rigid(euler2mat(*rpy, axes="sxyz"), xyz)
