"""What the documentation links to and names: used by the test that it exists, and by the site to lead to lines."""

from __future__ import annotations

import ast
import re
from functools import lru_cache
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
LINK = re.compile(r"!?\[(?P<text>(?:[^\[\]]|\[[^\]]*\])*)\]\((?P<target>[^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")
FENCE = re.compile(r"^(```|~~~).*?^\1 *$", re.MULTILINE | re.DOTALL)
PATH = re.compile(r"[\w.-]+(/[\w.-]+)*/?")
FILES = (
    ".py",
    ".md",
    ".cpp",
    ".h",
    ".yaml",
    ".xml",
    ".srv",
    ".msg",
    ".action",
    ".toml",
    ".sh",
    ".svg",
    ".png",
    ".rviz",
)
"""Endings of what a name in backticks may be a file by."""
NAME = re.compile(r"`(?P<name>[A-Za-z_][\w.]*)(\(\))?`")


def without_code(text: str) -> str:
    """``text`` without its fenced blocks."""
    return FENCE.sub("", text)


def links(text: str) -> list[tuple[str, str]]:
    """(text, target) of every link and picture of a page, code blocks left out."""
    return [(m["text"], m["target"]) for m in LINK.finditer(without_code(text))]


def paths_in_backticks(text: str) -> list[str]:
    """Names in backticks that are a file or folder of this repository by their form: `a/b.py`, `config/x.yaml`."""
    plain = LINK.sub("", without_code(text))
    return [name for name in CODE.findall(plain) if PATH.fullmatch(name) and name.endswith(FILES)]


@lru_cache
def definitions(path: Path) -> dict[str, int]:
    """Line of every class, function, method, field and constant of a Python file, by its dotted name in the module."""
    found: dict[str, int] = {}

    def visit(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                found.setdefault(prefix + node.name, node.lineno)
                if isinstance(node, ast.ClassDef):
                    visit(node.body, f"{prefix}{node.name}.")
            elif isinstance(node, (ast.Assign, ast.AnnAssign)):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                for target in targets:
                    for name in ast.walk(target):
                        if isinstance(name, ast.Name):
                            found.setdefault(prefix + name.id, node.lineno)

    visit(ast.parse(path.read_text(encoding="utf-8")).body, "")
    return found
