"""What the package says of itself in several places is the same in all of them."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from mvgamba_ros.errors import ErrorCode

REPOSITORY = Path(__file__).parents[1]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", ["srv/Reconstruct.srv", "action/ReconstructObject.action"])
def test_the_interfaces_declare_the_error_codes_of_the_core(path):
    text = (REPOSITORY / path).read_text()
    declared = {name: int(value) for name, value in re.findall(r"^uint16 ([A-Z_]+) = (\d+)$", text, re.MULTILINE)}
    assert declared == {code.name: int(code) for code in ErrorCode}


@pytest.mark.parametrize(
    ("service", "action"),
    [("Reconstruct.srv", "ReconstructObject.action"), ("ReconstructScene.srv", "ReconstructScene.action")],
)
def test_service_and_action_take_the_same_request_and_give_the_same_answer(service, action):
    service = (REPOSITORY / "srv" / service).read_text().split("\n---\n")
    action = (REPOSITORY / "action" / action).read_text().split("\n---\n")

    def fields(part: str) -> list[str]:
        return [line.split("#")[0].strip() for line in part.splitlines() if line.split("#")[0].strip()]

    assert [fields(part) for part in service] == [fields(part) for part in action[:2]]


def declarations(path: Path) -> list[tuple[str, str, str]]:
    """Type, name and comment of each field of an interface file, its constants aside."""
    lines = [line.partition("#") for line in path.read_text().splitlines()]
    return [(*line.split()[:2], said.strip()) for line, _, said in lines if line.strip(" -") and "=" not in line]


INTERFACES = {
    path.stem if kind == "msg" else path.name: path
    for kind in ("msg", "srv", "action")
    for path in (REPOSITORY / kind).iterdir()
}
"""Messages by the name of their type, the others by that of their file."""


def test_every_interface_is_linked_in_the_readme_or_part_of_one_that_is():
    linked = {name for name, path in INTERFACES.items() if f"({path.relative_to(REPOSITORY)})" in README}
    assert linked
    reached, more = set(), linked
    while more:
        reached |= more
        more = {t.partition("[")[0] for name in more for t, _, _ in declarations(INTERFACES[name])} & set(INTERFACES)
        more -= reached
    assert reached == set(INTERFACES)


@pytest.mark.parametrize("name", INTERFACES)
def test_the_file_of_an_interface_says_what_it_is_and_what_each_field_means(name):
    """Where a field has no comment of its own, its type's file or the file's head has it."""
    path = INTERFACES[name]
    head = path.read_text().splitlines()[0]
    assert head.startswith("# ") and len(head) > 20
    explained = "Pixels" in head or len(declarations(path)) == 2  # pixel coordinates; a name and its one value
    for type_, field, comment in declarations(path):
        known = field == "success" or type_.partition("[")[0] in INTERFACES
        assert comment or explained or known, f"{path.name}: {field}"


@pytest.mark.ros
@pytest.mark.parametrize("name", INTERFACES)
def test_the_built_messages_have_the_fields_of_the_files(name):
    """Otherwise the tree has changed since `make setup` built them."""
    pytest.importorskip("rclpy")
    import importlib

    path = INTERFACES[name]
    built = getattr(importlib.import_module(f"mvgamba_ros.{path.parent.name}"), path.stem)
    parts = {"msg": [built], "srv": ["Request", "Response"], "action": ["Goal", "Result", "Feedback"]}[path.parent.name]
    found = [
        f
        for part in parts
        for f in (getattr(built, part) if isinstance(part, str) else part).get_fields_and_field_types()
    ]
    assert found == [field for _, field, _ in declarations(path)]


def test_every_link_of_the_documents_leads_to_a_file():
    documents = [*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").glob("*.md")]
    assert len(documents) > 5
    for document in documents:
        for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_parameters_declared_and_in_yaml_and_in_the_readme_are_the_same():
    from mvgamba_ros.ros.parameters import as_markdown, as_yaml

    assert (REPOSITORY / "config" / "reconstruct.yaml").read_text() == as_yaml()
    assert as_markdown() in README, "paste the output of: python -m mvgamba_ros.ros.parameters markdown"


def test_the_yaml_is_what_ros_would_read_and_every_value_passes_its_own_check():
    import yaml

    from mvgamba_ros.config import ReconstructionConfig
    from mvgamba_ros.ros.parameters import ROWS, parameters_from

    given = yaml.safe_load((REPOSITORY / "config" / "reconstruct.yaml").read_text())["/**"]["ros__parameters"]
    defaults = {row.name: row.default for row in ROWS}
    parameters_from(defaults | given, ReconstructionConfig())
    for parameter in ROWS:
        if parameter.low is not None and parameter.high is not None:
            assert parameter.low <= given[parameter.name] <= parameter.high
        if parameter.name in given:
            assert type(given[parameter.name]) is type(parameter.default)


def test_every_required_version_is_pinned():
    files = sorted(REPOSITORY.glob("requirements*.txt"))
    assert len(files) == 4
    for path in files:
        for line in path.read_text().splitlines():
            if line and not line.startswith("#"):
                assert "==" in line, f"{path.name}: {line}"


def test_package_xml_makes_this_a_package_of_interfaces():
    root = ElementTree.parse(REPOSITORY / "package.xml").getroot()
    assert "rosidl_interface_packages" in {element.text for element in root}


def test_the_versions_agree():
    import mvgamba_ros

    root = ElementTree.parse(REPOSITORY / "package.xml").getroot()
    assert root.findtext("version") == mvgamba_ros.__version__
    assert f"## {mvgamba_ros.__version__}" in (REPOSITORY / "CHANGELOG.md").read_text()


def test_the_interface_folders_exist_only_where_they_are_built():
    for name in ("msg", "srv", "action"):
        assert not (REPOSITORY / "mvgamba_ros" / name).exists()


@pytest.mark.parametrize("name", ["reconstruct.launch.py", "demo.launch.py"])
def test_launch_files_document_each_argument(name):
    path = REPOSITORY / "launch" / name
    tree = ast.parse(path.read_text())
    (arguments,) = [
        n for n in tree.body if isinstance(n, ast.Assign) and getattr(n.targets[0], "id", "") == "ARGUMENTS"
    ]
    assert isinstance(arguments.value, ast.Dict)
    for key, value in zip(arguments.value.keys, arguments.value.values, strict=True):
        assert isinstance(value, ast.Tuple) and len(value.elts) == 2, ast.dump(key) if key else ""
        description = value.elts[1]
        assert isinstance(description, ast.Constant) and len(str(description.value)) > 10


def test_the_set_up_names_the_exact_line_when_no_python_fits(tmp_path):
    done = subprocess.run(
        [str(REPOSITORY / "tools" / "find_python.sh"), "/no/such/python"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "sudo apt-get install python3 python3-dev python3-venv" in done.stderr
    found = subprocess.run(
        [str(REPOSITORY / "tools" / "find_python.sh"), sys.executable], capture_output=True, text=True, check=True
    )
    assert Path(found.stdout.strip()).is_file()


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_pip_and_make_take_the_open3d_that_there_is_for_a_machine(machine):
    from packaging.requirements import Requirement

    project = re.findall(r'"(open3d[^"]*)"', (REPOSITORY / "pyproject.toml").read_text())
    pinned = [line for line in (REPOSITORY / "requirements.txt").read_text().splitlines() if line.startswith("open3d")]
    environment = {"platform_machine": machine, "sys_platform": "linux"}
    for lines in (project, pinned):
        wanted = [r.name for r in map(Requirement, lines) if r.marker is None or r.marker.evaluate(environment)]
        assert wanted == ["open3d-cpu" if machine == "x86_64" else "open3d"]  # open3d-cpu is for x86-64 only


def copied(folder: Path) -> Path:
    """A clone's Makefile and what it starts, in a folder of a given name."""
    folder.mkdir(parents=True)
    for path in [REPOSITORY / "Makefile", *REPOSITORY.glob("requirements*.txt")]:
        shutil.copy(path, folder)
    for name in ("tools", "locks"):
        shutil.copytree(REPOSITORY / name, folder / name)
    return folder


def planned(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """What make would do in a folder."""
    command = ["make", "--dry-run", "setup", *words]
    fresh = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(command, cwd=folder, env=fresh, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", ["with space", "josé", "a'b", "a:b", "a$b"])
def test_a_path_that_ros_cannot_be_built_below_is_refused_before_anything_is_fetched(name, tmp_path):
    done = planned(copied(tmp_path / name))
    assert done.returncode == 2 and done.stdout == ""
    assert f"cannot work below {tmp_path / name}: move the clone" in done.stderr


def test_each_ros_distribution_has_its_own_environment_and_lock(tmp_path):
    folder = copied(tmp_path / "clone")
    kilted, jazzy, other = (planned(folder, *words) for words in ([], ["ROS=jazzy"], ["ROS=foxy"]))
    assert "locks/ros-kilted.txt" in kilted.stdout and ".venv-jazzy" not in kilted.stdout
    assert "locks/ros-jazzy.txt" in jazzy.stdout and " .venv/" not in jazzy.stdout
    assert other.returncode == 2 and "ROS=foxy: choose jazzy kilted" in other.stderr


@pytest.mark.parametrize(("free_kb", "most"), [(900_000, 1), (2_100_000, 2), (10**12, 10**6)])
def test_no_more_compilers_run_than_cores_and_memory_allow(free_kb, most, tmp_path):
    (tmp_path / "meminfo").write_text(f"MemTotal: {free_kb * 2} kB\nMemAvailable: {free_kb} kB\n")
    cores = len(os.sched_getaffinity(0))
    plain = {key: value for key, value in os.environ.items() if key != "CMAKE_BUILD_PARALLEL_LEVEL"}
    command = [str(REPOSITORY / "tools" / "jobs.sh"), str(tmp_path / "meminfo")]
    assert int(subprocess.check_output(command, env=plain)) == min(cores, most)
    assert int(subprocess.check_output(command, env=plain | {"CMAKE_BUILD_PARALLEL_LEVEL": "7"})) == 7


def test_the_kernels_are_built_before_the_interfaces():
    plan = planned(REPOSITORY, "--always-make").stdout
    assert 0 < plan.index("--editable .") < plan.index("tools/build_interfaces.sh")


def build_with_log(log: Path, script: str) -> subprocess.CompletedProcess[str]:
    command = [str(REPOSITORY / "tools" / "build_with_log.sh"), "parts", str(log), "sh", "-c", script]
    return subprocess.run(command, capture_output=True, text=True)


def test_a_long_build_tells_where_its_log_is_and_each_tenth_of_each_of_its_parts(tmp_path):
    log = tmp_path / "log"
    done = build_with_log(
        log, "for p in 0 3 11 19 64 100 0 12 100; do printf '  [%3d%%] Built\\nof [50%%]\\n' $p; done"
    )
    assert done.returncode == 0
    head, *told = done.stdout.splitlines()
    assert "parts" in head and "some minutes" in head and str(log) in head
    assert told == [f"  parts: {percent} %" for percent in (10, 60, 100, 10, 100)]
    assert log.read_text().count("Built") == 9


def test_a_long_build_that_fails_shows_all_it_said_and_fails(tmp_path):
    done = build_with_log(tmp_path / "log", "echo '[ 20%] Building'; echo 'error: no such type' >&2; exit 3")
    assert done.returncode == 1
    assert "error: no such type" in done.stdout and "[ 20%] Building" in done.stdout


def test_no_build_asks_for_as_many_compilers_as_there_are_files():
    files = ["Makefile", "setup.py", *(f"tools/{p.name}" for p in (REPOSITORY / "tools").glob("*.sh"))]
    for name in files:
        text = (REPOSITORY / name).read_text()
        assert not re.search(r'--parallel(?! *"?[$\d])', text), name


@pytest.mark.parametrize("name", ["mvgamba", "reconstructor", "simulated_arm"])
def test_programs_run_with_the_python_of_the_environment_that_is_active(name):
    """CMake installs them as they are, so that a virtual environment over ROS is found."""
    path = REPOSITORY / "scripts" / name
    assert path.read_text().startswith("#!/usr/bin/env python3\n") and os.access(path, os.X_OK)


def test_ros_reads_package_xml_without_a_warning():
    package = pytest.importorskip("catkin_pkg.package")
    warnings: list[str] = []
    package.parse_package(REPOSITORY / "package.xml", warnings=warnings).validate(warnings=warnings)
    assert warnings == []


@pytest.mark.parametrize("name", ["launch_testing", "launch_ros"])
def test_the_tests_run_beside_a_plugin_of_launch_testing_that_pytest_refuses(name, tmp_path):
    """A sourced ROS 2 has it on the path."""
    (tmp_path / "old_hooks.py").write_text("def pytest_pycollect_makemodule(path, parent): return None\n")
    record = tmp_path / "old_hooks-1.dist-info"
    record.mkdir()
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: old_hooks\nVersion: 1\n")
    (record / "entry_points.txt").write_text(f"[pytest11]\n{name} = old_hooks\n")
    command = [sys.executable, "-m", "pytest", "--noconftest", "-q", "test/test_code_rules.py", "-k", "words_are_found"]
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        command, cwd=REPOSITORY, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout + done.stderr
