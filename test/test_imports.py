"""The import arrows: each layer knows only those before it, and the core is light to import."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "mvgamba_ros"
BASE = {
    "types",
    "reconstruction",
    "errors",
    "packages",
    "process",
    "lean_imports",
    "parallel",
    "worker_processes",
    "config",
}
ROOMS: dict[str, set[str]] = {
    "registry": set(),
    "geometry": set(),
    "io": {"geometry", "registry"},
    "kernels": set(),
    "metrics": set(),
    "rendering": {"geometry", "kernels"},
    "options": {"registry"},
    "model": {"geometry", "io", "kernels", "rendering"},
    "checks": {"geometry", "options"},
    "segmentation": {"checks", "geometry", "io", "kernels", "options"},
    "surface": {"geometry", "metrics", "rendering"},
    "splats": {"geometry", "kernels", "metrics", "rendering", "surface"},
    "methods": {"geometry", "io", "kernels", "model", "options", "rendering", "splats", "surface"},
    "generate": {"geometry", "io", "kernels", "metrics", "registry", "rendering", "segmentation", "surface"},
    "texturing": {"geometry", "rendering", "surface"},
    "factories": {"geometry", "kernels", "methods", "options", "registry", "segmentation", "surface"},
    "pose_refinement": {"geometry"},
    "observation": {"factories", "geometry", "options", "pose_refinement", "segmentation"},
    "consensus": {"checks", "observation", "options", "pose_refinement"},
    "completion": {"factories", "generate", "geometry", "methods", "options", "rendering", "splats", "surface"},
    "pipeline": {
        "checks",
        "completion",
        "consensus",
        "factories",
        "geometry",
        "observation",
        "options",
        "rendering",
        "surface",
        "texturing",
    },
    "imagined": {"completion", "generate", "options", "pipeline"},
    "scene_objects": {"checks", "factories", "geometry", "options", "pipeline"},
    "preview": {"geometry", "rendering"},
    "grasps": {"geometry", "preview", "rendering"},
    "scene_picture": {"geometry", "preview", "rendering", "scene_objects"},
    "turntable": {"geometry", "preview", "rendering"},
    "batch": {"io", "options"},
    "webpage": {"batch", "geometry", "io", "preview", "rendering"},
    "viewer": {"geometry", "io", "options", "pipeline", "preview"},
    "warm_up": {"factories", "geometry", "options", "pipeline"},
    "evaluation": {"factories", "generate", "geometry", "io", "metrics", "options", "pipeline", "rendering"},
    "synthesis": {"geometry", "io", "registry"},
    "training": {"geometry", "io", "kernels", "methods", "metrics", "model", "rendering", "segmentation", "synthesis"},
    "sim": {"geometry", "metrics"},
}
"""What each room may import, beside `BASE` and itself."""
ROOMS["ros"] = set(ROOMS) - {"training", "evaluation", "synthesis"}
ROOMS["cli"] = set(ROOMS) - {"sim"}
ALLOWED = {room: others | BASE | {room} for room, others in ROOMS.items()} | dict.fromkeys(BASE, BASE)
MESSAGES = {"msg", "srv", "action"}


def imports(path: Path) -> set[str]:
    """Every dotted name that a file imports, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; write the full name"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


FILES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_imports_only_what_lies_below_it(path):
    part = path.relative_to(ROOT).parts[0].removesuffix(".py")
    assert part in ALLOWED, f"{part} has no place in the layers; give it one in this test and in the design"
    for name in imports(path):
        first, *rest = name.split(".")
        if first == "rclpy":
            assert part == "ros", f"{path} imports rclpy, only ros/ may"
        if first != "mvgamba_ros" or not rest:
            continue
        target = rest[0]
        if target in MESSAGES:
            assert part == "ros", f"{path} imports messages, only ros/ may"
        elif target != "__version__":
            assert target in ALLOWED[part], f"{path}: {part} may not import {target}"


def test_every_allowance_of_a_room_is_used():
    used: dict[str, set[str]] = {room: set() for room in ALLOWED}
    for path in FILES:
        targets = {name.split(".")[1] for name in imports(path) if name.startswith("mvgamba_ros.")}
        used[path.relative_to(ROOT).parts[0].removesuffix(".py")] |= targets
    unused = {room: sorted(others - used[room]) for room, others in ROOMS.items() if room not in ("ros", "cli")}
    assert not {room: others for room, others in unused.items() if others}


def test_every_room_has_a_rule_and_every_rule_a_room():
    present = {path.relative_to(ROOT).parts[0].removesuffix(".py") for path in FILES}
    assert present == set(ALLOWED)


def test_no_modules_import_each_other_in_a_circle():
    modules = {"mvgamba_ros." + ".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in FILES}
    graph = {
        name: {module for found in imports(path) for module in (found, found.rpartition(".")[0]) if module in modules}
        for name, path in modules.items()
    }
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_no_module_name_is_used_twice():
    stems = Counter(path.stem for path in FILES if not path.stem.startswith("__"))
    assert not [stem for stem, count in stems.items() if count > 1]


def test_importing_the_core_loads_neither_ros_nor_open3d_nor_cuda():
    code = (
        "import sys, mvgamba_ros.pipeline, mvgamba_ros.io.transforms_json, mvgamba_ros.io.results\n"
        "import mvgamba_ros.preview\n"
        "heavy = [m for m in ('rclpy', 'open3d', 'trimesh', 'skimage', 'matplotlib') if m in sys.modules]\n"
        "import torch\n"
        "assert not heavy, heavy\n"
        "assert not torch.cuda.is_initialized()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT.parent)
