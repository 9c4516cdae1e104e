"""What every file keeps to: short modules, docstrings on what is public, the field's words in names."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PACKAGE = sorted((REPOSITORY / "mvgamba_ros").rglob("*.py"))
MOST_LINES = 300
PERSONAL = {"look", "looks", "told", "asked", "heard", "says"}
"""Words for what a person does; `OF_THE_FIELD` aside, the field has others."""
OF_THE_FIELD = {"look_at"}


def within(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


@pytest.mark.parametrize("folder", ["mvgamba_ros", "benchmarks", "test", "examples"])
def test_no_module_is_longer_than_one_reads_at_a_time(folder: str) -> None:
    lengths = {within(p): len(p.read_text(encoding="utf-8").splitlines()) for p in (REPOSITORY / folder).rglob("*.py")}
    assert {name: count for name, count in lengths.items() if count > MOST_LINES} == {}


def identifiers(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and name of everything that is named in a module."""
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
                yield line, name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield line, name
            case ast.keyword(arg=str(name)):
                yield line, name
            case ast.alias(name=name, asname=given):
                yield from ((line, part) for part in [*name.split("."), *([given] if given else [])])


def words(identifier: str) -> set[str]:
    """Those of a name in snake_case, UPPER_CASE or CamelCase, in small letters."""
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", identifier)}


def test_words_are_found_in_names_of_every_case() -> None:
    assert words("first_look2") == {"first", "look", "2"}
    assert words("FirstLook") == {"first", "look"}
    assert words("_MOST_LOOKS") == {"most", "looks"}
    assert words("RGBLookup") == {"rgb", "lookup"}
    named = ast.parse("import a.look as told\ndef asked(heard, *, k=1): x.says = f(look=1)\nclass FirstLook: ...")
    found = {word for _, name in identifiers(named) for word in words(name)} & PERSONAL
    assert found == PERSONAL - {"looks"}


@pytest.mark.parametrize("path", PACKAGE, ids=within)
def test_names_are_of_the_field(path: Path) -> None:
    named = identifiers(ast.parse(path.read_text(encoding="utf-8")))
    assert [(line, name) for line, name in named if name not in OF_THE_FIELD and words(name) & PERSONAL] == []
    assert not words(path.stem) & PERSONAL


def undocumented(path: Path) -> list[str]:
    """The module, its public classes and its public functions that have no docstring; overloads need none."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    missing = [] if ast.get_docstring(tree) else ["the module"]
    for node in tree.body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef) or node.name.startswith("_"):
            continue
        if not any("overload" in ast.unparse(decorator) for decorator in node.decorator_list):
            missing += [] if ast.get_docstring(node) else [node.name]
    return missing


@pytest.mark.parametrize("path", PACKAGE, ids=within)
def test_what_is_public_has_a_docstring(path: Path) -> None:
    assert undocumented(path) == []
