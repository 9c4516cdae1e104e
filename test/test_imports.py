"""The import arrows: each layer knows only those before it, and the core is light to import."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "mvgamba_ros"
CORE = [
    ("types", "errors", "process", "parallel"),
    ("options",),
    ("geometry",),
    ("kernels",),
    ("model",),
    ("segmentation",),
    ("surface",),
    ("methods",),
    ("checks",),
    ("pipeline",),
    ("preview", "warm_up"),
]
"""From the bottom up; parts of one row may import each other."""
CORE_NAMES = {name for row in CORE for name in row}
ALLOWED: dict[str, set[str]] = {
    part: {name for row in CORE[: level + 1] for name in row} for level, parts in enumerate(CORE) for part in parts
}
"""What each part may import."""
ALLOWED["io"] = {"types", "errors", "geometry", "io"}
ALLOWED["generate"] = CORE_NAMES | {"io", "generate"}
ALLOWED["training"] = CORE_NAMES | {"io", "training", "evaluation"}
ALLOWED["evaluation"] = CORE_NAMES | {"io", "training", "evaluation"}
ALLOWED["sim"] = CORE_NAMES | {"io", "sim"}
ALLOWED["ros"] = CORE_NAMES | {"io", "sim", "ros"}
ALLOWED["cli"] = set(ALLOWED) - {"ros", "sim"} | {"cli"}
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


def test_importing_the_core_loads_neither_ros_nor_open3d_nor_cuda():
    code = (
        "import sys, mvgamba_ros.pipeline, mvgamba_ros.io.capture, mvgamba_ros.io.results, mvgamba_ros.preview\n"
        "heavy = [m for m in ('rclpy', 'open3d', 'trimesh', 'skimage', 'matplotlib') if m in sys.modules]\n"
        "import torch\n"
        "assert not heavy, heavy\n"
        "assert not torch.cuda.is_initialized()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT.parent)


def test_the_commands_help_needs_no_torch():
    code = (
        "import sys\n"
        "from mvgamba_ros.cli import build_parser\n"
        "build_parser().format_help()\n"
        "assert 'torch' not in sys.modules, 'torch is loaded to print help'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT.parent)
