"""The package as it is installed: by pip into a wheel, by colcon into a workspace. What is needed is really there."""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import rendered
from patience import PATIENCE, REPOSITORY, run_python

from mvgamba_ros.io.transforms_json import write_capture
from mvgamba_ros.kernels import native

PACKAGE = REPOSITORY / "mvgamba_ros"
LIBRARIES = {
    f"kernels/libmvgamba_kernels_{name}.so"
    for name in (["neon"] if native.instruction_set() == "neon" else ["sse2", "avx2", "avx512"])
}
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # its kernels are compiled


def parts(folder: Path) -> set[str]:
    """What a user's code needs of a package's folder: modules, weights and kernels, by their relative paths."""
    kinds = (".py", ".safetensors", ".so")
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.suffix in kinds}


def expected() -> set[str]:
    """Of this tree; its own kernels, if they are built, aside."""
    return {part for part in parts(PACKAGE) if not part.endswith(".so")} | LIBRARIES


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked wheel, built from a copy of the tree as `pip install .` builds it.

    Only its kernels are not optimised, which takes less than half as long.
    """
    folder = tmp_path_factory.mktemp("wheel")
    source, launcher = folder / "source", folder / "unoptimised"
    shutil.copytree(PACKAGE, source / "mvgamba_ros", ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    launcher.write_text('#!/bin/sh\nexec "$@" -O0\n')
    launcher.chmod(0o755)
    command = ["-m", "pip", "wheel", ".", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    env = os.environ | {"CMAKE_CXX_COMPILER_LAUNCHER": str(launcher)}
    run_python(*command, "--wheel-dir", str(folder), cwd=source, env=env)
    (wheel,) = folder.glob("mvgamba_ros-*.whl")
    with zipfile.ZipFile(wheel) as file:
        file.extractall(folder / "unpacked")
    return folder / "unpacked"


def test_a_wheel_holds_every_module_the_weights_and_a_library_of_kernels_for_each_processor(installed: Path) -> None:
    assert parts(installed / "mvgamba_ros") == expected()
    assert not [path for path in installed.rglob("*") if path.suffix in (".cpp", ".o", ".pyc")]


def test_every_entry_point_of_a_wheel_leads_to_something_in_it(installed: Path) -> None:
    (metadata,) = installed.glob("*.dist-info")
    points = configparser.ConfigParser(delimiters="=")
    points.optionxform = str  # type: ignore[assignment,method-assign]  # names keep their case
    points.read(metadata / "entry_points.txt")
    assert points["console_scripts"]["mvgamba"] == "mvgamba_ros.cli:main"
    targets = sorted({value for section in points.sections() for value in points[section].values()})
    code = "import sys, importlib.metadata as m\nfor target in sys.argv[1:]: m.EntryPoint('x', target, 'y').load()\n"
    code += f"import mvgamba_ros\nassert mvgamba_ros.__file__.startswith({str(installed)!r}), mvgamba_ros.__file__\n"
    run_python("-c", code, *targets, cwd=installed)


def test_the_command_of_a_wheel_reconstructs_with_its_own_weights_and_kernels(installed: Path, tmp_path: Path) -> None:
    write_capture(tmp_path / "capture", rendered.views(2))  # its kernels are slow
    arguments = [str(tmp_path / "capture"), "-o", str(tmp_path / "out"), "--masks", "--support-height", "0"]
    run_python("-m", "mvgamba_ros.cli", "reconstruct", *arguments, cwd=installed)
    assert (tmp_path / "out" / "mesh.ply").stat().st_size > 10_000


STAND_INS = {
    "ament_cmake": "macro(ament_package)\nendmacro()\nmacro(ament_export_dependencies)\nendmacro()\n",
    "ament_cmake_python": "macro(ament_get_python_install_dir out)\nset(${out} lib/python)\nendmacro()\n",
    "rosidl_default_generators": "macro(rosidl_generate_interfaces)\n"
    'file(WRITE "${CMAKE_BINARY_DIR}/interfaces.txt" "${ARGN}")\nendmacro()\n',
}
"""Of ament's and rosidl's commands, for what they do has its own tests: here it is about what this package installs."""


@pytest.fixture(scope="module")
def workspace(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What colcon's configure and install steps lay out for this tree; its kernels are those of the wheel."""
    folder = tmp_path_factory.mktemp("workspace")
    configure = ["cmake", "-S", str(REPOSITORY), "-B", str(folder / "build")]
    configure += [f"-DCMAKE_INSTALL_PREFIX={folder / 'install'}", f"-DCMAKE_PREFIX_PATH={folder / 'stand_ins'}"]
    configure += [f"-DMVGAMBA_KERNELS_DIR={installed / 'mvgamba_ros' / 'kernels'}"]
    used = ["action_msgs", "diagnostic_msgs", "geometry_msgs", "sensor_msgs", "shape_msgs", "std_msgs"]
    for name in (*STAND_INS, *used):
        (folder / "stand_ins" / name).mkdir(parents=True)
        (folder / "stand_ins" / name / f"{name}Config.cmake").write_text(STAND_INS.get(name, ""))
        configure += [f"-D{name}_DIR={folder / 'stand_ins' / name}"]
    for command in (configure, ["cmake", "--install", str(folder / "build")]):
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == 0, done.stderr
    return folder


def test_a_workspace_gets_the_same_modules_weights_and_kernels(workspace: Path) -> None:
    assert parts(workspace / "install" / "lib" / "python" / "mvgamba_ros") == expected()


def test_every_interface_is_given_to_rosidl_with_the_packages_that_its_fields_come_from(workspace: Path) -> None:
    files, _, packages = (workspace / "build" / "interfaces.txt").read_text().partition(";DEPENDENCIES;")
    written = {f"{kind}/{path.name}" for kind in ("msg", "srv", "action") for path in (REPOSITORY / kind).iterdir()}
    assert set(files.split(";")[1:]) == written
    fields = [line.split()[0] for name in written for line in (REPOSITORY / name).read_text().splitlines() if line]
    assert {field.partition("/")[0] for field in fields if "/" in field} <= set(packages.split(";"))


@pytest.mark.parametrize(
    "program",
    ["bin/mvgamba", *(f"lib/mvgamba_ros/{name}" for name in ("demo", "reconstruct", "reconstructor", "simulated_arm"))],
)
def test_the_programs_of_a_workspace_start(workspace: Path, program: str) -> None:
    path = workspace / "install" / program
    assert os.access(path, os.X_OK)
    if "/mvgamba_ros/" in program:
        pytest.importorskip("rclpy")
        pytest.importorskip("mvgamba_ros.sim.engine")
    env = os.environ | {"PYTHONPATH": str(workspace / "install" / "lib" / "python")}
    wrong = {"reconstructor": "min_views:=99", "simulated_arm": "object:=teapot"}.get(path.name)
    arguments = ["--help"] if wrong is None else ["--ros-args", "-p", wrong]
    done = subprocess.run(
        [sys.executable, str(path), *arguments],
        env=env, cwd=workspace, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=PATIENCE,
    )  # fmt: skip
    if wrong is None:
        assert done.returncode == 0, done.stdout
    else:  # it ends by itself, naming what is wrong
        assert done.returncode == 1 and wrong.partition(":=")[2] in done.stdout, done.stdout


def test_the_nodes_of_the_launch_files_and_the_files_they_read_are_installed(workspace: Path) -> None:
    share, programs = (workspace / "install" / kind / "mvgamba_ros" for kind in ("share", "lib"))
    assert {path.name for path in (share / "launch").iterdir()} == {"demo.launch.py", "reconstruct.launch.py"}
    assert {path.name for path in (share / "config").iterdir()} >= {
        "fastdds.xml",
        "reconstruct.rviz",
        "reconstruct.yaml",
    }
    for launch in (share / "launch").iterdir():
        text = launch.read_text()
        for word in ("reconstructor", "simulated_arm", "view_rerun"):
            assert f'executable="{word}"' not in text or (programs / word).is_file()
