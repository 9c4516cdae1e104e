"""What the pages give a user to copy for ROS exists: parameters, launch arguments, requests and programs."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml

import mvgamba_ros.srv
from mvgamba_ros.config import ReconstructionConfig
from mvgamba_ros.ros import parameters as declared

REPOSITORY = Path(__file__).parents[1]
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks of a page in one language."""
    return re.findall(rf"^```{language}\b[^\n]*\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)


def commands(start: str) -> Iterable[tuple[str, str]]:
    """Each command of the pages' shell blocks that starts so, on one line, with the name of its page."""
    for page in PAGES:
        for block in blocks(page, "sh"):
            for line in re.findall(rf"{start}(?:[^\n\"#]|\"[^\"]*\")*", block.replace("\\\n", " ")):
                yield page.name, line


def test_parameter_files_of_the_pages_hold_what_the_node_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(declared, "missing_package", lambda _: "")  # an extra that a page names may be missing here
    defaults = {row.name: row.default for row in declared.ROWS}
    files = [yaml.safe_load(block) for page in PAGES for block in blocks(page, "yaml") if "ros__parameters" in block]
    assert len(files) > 3
    for sections in files:
        for name, section in sections.items():
            given = section["ros__parameters"]
            assert name == "/**" or name.endswith("/reconstructor"), name
            assert set(given) <= set(defaults), given
            declared.parameters_from(defaults | given, ReconstructionConfig())
            assert all(type(value) is type(defaults[key]) for key, value in given.items()), given


def arguments_of(launch_file: str) -> set[str]:
    for node in ast.parse((REPOSITORY / "launch" / launch_file).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "ARGUMENTS":
            assert isinstance(node.value, ast.Dict)
            return {ast.literal_eval(key) for key in node.value.keys if key}
    raise AssertionError(f"{launch_file} has no ARGUMENTS")


def test_launch_lines_of_the_pages_give_arguments_that_there_are() -> None:
    lines = list(commands(r"ros2 launch mvgamba_ros"))
    assert len(lines) > 5
    for page, line in lines:
        name, *given = line.removeprefix("ros2 launch mvgamba_ros").split()
        words = {word.partition(":=")[0] for word in given if ":=" in word}
        assert words <= arguments_of(name), f"{page}: {line}"


def test_programs_that_the_pages_run_are_installed() -> None:
    programs = {path.name for path in (REPOSITORY / "scripts").iterdir()} - {"mvgamba"}
    found = [(page, line.split()[3]) for page, line in commands(r"ros2 run mvgamba_ros")]
    assert found and {name for _, name in found} <= programs, found


def check_fields(message: Any, values: dict[str, Any], where: str) -> None:
    known = message.get_fields_and_field_types()
    for key, value in values.items():
        assert key in known, f"{where}: {key} is none of {sorted(known)}"
        if isinstance(value, dict):
            check_fields(getattr(message, key), value, where)


def test_requests_of_the_pages_have_the_fields_of_their_services() -> None:
    calls = [(page, line) for page, line in commands(r"ros2 service call") if "mvgamba_ros/srv/" in line]
    assert len(calls) > 5
    for page, line in calls:
        _, kind, request = re.split(r"(?<=/srv/)(\w+)", line, maxsplit=1)
        values = yaml.safe_load(request.strip().strip('"') or "{}")
        check_fields(getattr(mvgamba_ros.srv, kind).Request(), values, f"{page}: {line}")
