"""What the package needs is declared in every place that installs it, and looked for when a process starts."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from packaging.requirements import Requirement

from mvgamba_ros import packages
from mvgamba_ros.errors import ErrorCode, ReconstructionError

tomllib = pytest.importorskip("tomllib" if sys.version_info >= (3, 11) else "tomli")  # which pytest brings there
REPOSITORY = Path(__file__).parents[1]
PACKAGE = REPOSITORY / "mvgamba_ros"
PACKAGE_XML = (REPOSITORY / "package.xml").read_text(encoding="utf-8")
ROSDEP = {
    "cv2": "python3-opencv",
    "manifold3d": None,
    "numpy": "python3-numpy",
    "omegaconf": None,
    "open3d": "python3-open3d-pip",
    "PIL": "python3-pil",
    "rich": None,
    "safetensors": None,
    "scipy": "python3-scipy",
    "skimage": "python3-skimage",
    "threadpoolctl": None,
    "torch": "python3-torch",
    "transforms3d": "python3-transforms3d",
    "trimesh": "python3-trimesh-pip",
    "xatlas": None,
    "yaml": "python3-yaml",
}
"""The key of rosdep (ros/rosdistro, rosdep/python.yaml) of each module; None where it has none."""
OPTIONAL = {
    "accelerate": "train",
    "diffusers": "generate",
    "triton": "",  # comes with torch for CUDA; another scan runs where it does not
    "distributed": "cluster",
    "diff_gaussian_rasterization": "",  # tried where a GPU is there, as is gsplat
    "gsplat": "gpu",
    "huggingface_hub": "",  # which diffusers brings
    "lpips": "lpips",
    "moveit_msgs": "",  # the collision object, where MoveIt is
    "mujoco": "sim",
    "OpenEXR": "exr",
    "pillow_heif": "heic",
    "rembg": "",  # one way of several to cut a photo's object out
    "rerun": "rerun",
    "rosbags": "bags",
    "segment_anything": "sam",
    "transformers": "generate",
    "xatlas": "",  # needed where it has a wheel
    "shtab": "completion",
    "viser": "viewer",
    "typing_extensions": "",  # read by the type checker alone
    "tf2_ros": "",  # declared as tf2_ros_py; without it the node listens to /tf itself
}
"""Modules that only some need, and the extra of pyproject.toml that brings each."""
ROS_TOOLS = {"ament_index_python", "launch", "launch_ros"}


def imported() -> dict[str, set[str]]:
    """Every module of another distribution that the package or a launch file imports -> the files that do."""
    found: dict[str, set[str]] = {}
    for file in [*PACKAGE.rglob("*.py"), *(REPOSITORY / "launch").glob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for top in {name.partition(".")[0] for name in names} - set(sys.stdlib_module_names) - {"mvgamba_ros"}:
                found.setdefault(top, set()).add(str(file.relative_to(REPOSITORY)))
    return found


def declared() -> set[str]:
    root = ElementTree.fromstring(PACKAGE_XML)
    return {str(element.text) for element in root if element.tag in ("depend", "exec_depend")}


def test_every_import_is_of_a_package_that_is_declared():
    known = set(packages.LEAST) | set(OPTIONAL) | set(packages.ROS) | ROS_TOOLS
    assert {name: files for name, files in imported().items() if name not in known} == {}
    assert known <= set(imported())  # nothing is asked for in vain
    assert (set(packages.ROS) | ROS_TOOLS | {"tf2_ros_py"}) <= declared()


def test_package_xml_has_the_rosdep_key_of_every_package_and_names_those_that_have_none():
    assert set(ROSDEP) == set(packages.LEAST) | set(packages.FAST_ATLAS)
    assert {key for key in declared() if key.startswith("python3-")} == {key for key in ROSDEP.values() if key}
    comments = " ".join(re.findall(r"<!--(.*?)-->", PACKAGE_XML, re.DOTALL))
    for module, key in ROSDEP.items():
        assert key is not None or (packages.LEAST | packages.FAST_ATLAS)[module][0] in comments, module


def test_pip_and_the_start_check_want_the_same_versions():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    required = [Requirement(text) for text in project["dependencies"]]
    here = {r.name: str(r.specifier) for r in required if r.marker is None or r.marker.evaluate()}
    assert here == {name: f">={least}" for name, least in packages.LEAST.values()}
    assert {extra for extra in OPTIONAL.values() if extra} <= set(project["optional-dependencies"])


def test_each_extra_brings_the_module_it_stands_for():
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for module, extra in OPTIONAL.items():
        brought = {Requirement(text).name.replace("-", "_") for text in extras.get(extra, [])}
        assert not extra or {module, f"{module}_sdk"} & brought


def test_this_environment_has_all_and_nothing_is_imported_to_find_out():
    code = (
        "import sys\nfrom mvgamba_ros.packages import check_packages\ncheck_packages()\n"
        "assert not {'numpy', 'torch', 'cv2', 'scipy'} & set(sys.modules), 'loaded'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=REPOSITORY)


def hide(folder: Path, *modules: str, **versions: str) -> dict[str, str]:
    """An environment in which some modules cannot be found and some distributions are of another version."""
    (folder / "sitecustomize.py").write_text(
        "import sys\n"
        "class Hidden:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.partition('.')[0] in {modules!r}:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Hidden())\n"
        "import importlib.util as u\n"
        "plain = u.find_spec\n"
        f"u.find_spec = lambda name, *a: None if name in {modules!r} else plain(name, *a)\n"
    )
    for name, version in versions.items():
        record = folder / f"{name}-{version}.dist-info"
        record.mkdir()
        (record / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), str(REPOSITORY)])}


def start(module: str, environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env=environment, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize("module", ["mvgamba_ros.cli", "mvgamba_ros.ros"])
def test_what_is_missing_or_too_old_is_named_in_one_line_with_its_remedy(module, tmp_path):
    environment = hide(tmp_path, "manifold3d", "threadpoolctl", torch="1.13.1")
    done = start(module, environment, "config") if module.endswith("cli") else start(module, environment)
    assert done.returncode == 1 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    program = {"mvgamba_ros.cli": "mvgamba", "mvgamba_ros.ros": "reconstructor"}[module]
    assert line.startswith(f"{program}: MISSING_PACKAGE: ")
    assert "manifold3d>=3.2 (not installed)" in line and "torch>=2.1 (1.13.1 is installed)" in line
    assert line.endswith("pip install 'manifold3d>=3.2' 'threadpoolctl>=3.1' 'torch>=2.1'")


def test_a_node_without_ros_names_the_line_that_sources_it(tmp_path):
    done = start("mvgamba_ros.ros", hide(tmp_path, "rclpy", "std_srvs"))
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "MISSING_PACKAGE" in line and "finds no rclpy, std_srvs of ROS 2" in line and "setup.bash" in line


def test_a_clone_prints_what_pip_has_yet_to_install(tmp_path):
    done = start("mvgamba_ros.packages", hide(tmp_path, "safetensors"))
    assert done.stdout.split() == ["safetensors>=0.4"]


def test_a_module_without_a_record_is_asked_itself_and_one_without_a_version_passes(tmp_path, monkeypatch):
    """Debian's python3-opencv has no metadata, and several distributions bring cv2."""
    (tmp_path / "unrecorded.py").write_text("__version__ = '4.5.1'\n")
    (tmp_path / "unnumbered.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(packages, "LEAST", {"unrecorded": ("unrecorded", "4.6"), "unnumbered": ("unnumbered", "1")})
    assert packages.missing() == {"unrecorded>=4.6": "4.5.1 is installed"}
    with pytest.raises(ReconstructionError, match=r"unrecorded>=4\.6 \(4\.5\.1 is installed\)") as caught:
        packages.check_packages()
    assert caught.value.code is ErrorCode.MISSING_PACKAGE


@pytest.mark.parametrize(
    ("found", "least", "enough"),
    [
        ("2.6.0+dfsg", "2.3", True),
        ("4.0.0", "4", True),
        ("4", "4.0.0", True),
        ("1.9", "1.26", False),
        ("6", "6.0.1", False),
    ],
)
def test_versions_are_compared_by_their_numbers(found, least, enough, tmp_path, monkeypatch):
    (tmp_path / "numbered.py").write_text(f"__version__ = {found!r}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "numbered", raising=False)
    monkeypatch.setattr(packages, "LEAST", {"numbered": ("numbered", least)})
    assert (packages.missing() == {}) is enough


def test_the_image_is_built_from_files_that_are_there_and_reach_it():
    ignored = (REPOSITORY / ".dockerignore").read_text().splitlines()
    sent = {line[1:] for line in ignored if line.startswith("!")}
    assert all((REPOSITORY / name).exists() for name in sent)
    copies = re.findall(r"(?m)^COPY (.*) \S+$", (REPOSITORY / "Dockerfile").read_text())
    sources = [source for line in copies for source in line.split()]
    assert len(sources) >= 5
    for source in sources:
        assert (REPOSITORY / source).exists()
        assert source == "." or source.partition("/")[0] in sent, source
    built = (REPOSITORY / "CMakeLists.txt").read_text()
    assert set(re.findall(r"(?m)install\(DIRECTORY (\w+) (\w+) DESTINATION", built)[0]) <= sent
    assert {"msg", "srv", "action", "scripts", "mvgamba_ros", "package.xml", "CMakeLists.txt"} <= sent


def test_the_workflows_are_yaml_and_build_every_distribution_that_the_documents_name():
    import yaml

    flows = {path.stem: yaml.safe_load(path.read_text()) for path in (REPOSITORY / ".github/workflows").glob("*.yml")}
    assert flows["ros"]["jobs"]["colcon"]["strategy"]["matrix"]["distribution"] == ["jazzy", "kilted", "lyrical"]
    wheels = {path.stem.removeprefix("requirements-ros-") for path in REPOSITORY.glob("requirements-ros-*.txt")}
    assert set(flows["test"]["jobs"]["test"]["strategy"]["matrix"]["ros"]) == wheels
    page = (REPOSITORY / "docs/install.md").read_text()
    assert all(name in page for name in ("Jazzy", "Kilted", "Lyrical"))
