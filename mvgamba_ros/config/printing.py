"""Settings as commented YAML: each value under the text that stands under its field in the source."""

from __future__ import annotations

import ast
import inspect
import textwrap
from dataclasses import fields, is_dataclass
from typing import Any

import yaml

WIDTH = 110
"""Columns of a line of comment."""


def settings_to_yaml(settings: Any, indent: int = 0) -> str:
    """A dataclass instance as YAML that `mvgamba_ros.config.loading.load_config` reads back to an equal one.

    A section is preceded by its class's docstring, a setting by the docstring under its field.
    """
    pad, texts, parts = " " * indent, field_docstrings(type(settings)), []
    for item in fields(settings):
        value = getattr(settings, item.name)
        text = texts.get(item.name) or (inspect.getdoc(type(value)) or "" if is_dataclass(value) else "")
        lines = textwrap.wrap(" ".join(text.split()), WIDTH - indent)
        comment = "".join(f"{pad}# {line}\n" for line in lines)
        if not is_dataclass(value):
            parts.append(f"{comment}{pad}{_scalar(item.name)}: {_scalar(value)}\n")
        elif fields(value):
            parts.append(f"{comment}{pad}{item.name}:\n{settings_to_yaml(value, indent + 2)}")
    return ("\n" if indent == 0 else "").join(parts)


def field_docstrings(cls: Any) -> dict[str, str]:
    """The string that follows each field in the source of a dataclass, by the field's name."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(definition, ast.ClassDef)
    found = {}
    for statement, following in zip(definition.body, definition.body[1:], strict=False):
        if (
            isinstance(statement, ast.AnnAssign)
            and isinstance(statement.target, ast.Name)
            and isinstance(following, ast.Expr)
            and isinstance(following.value, ast.Constant)
            and isinstance(following.value.value, str)
        ):
            found[statement.target.id] = following.value.value
    return found


def _scalar(value: Any) -> str:
    """One line of YAML."""
    plain = yaml.safe_dump(_plain(value), default_flow_style=True, width=10**6, sort_keys=False)
    return plain.removesuffix("...\n").strip()


def _plain(value: Any) -> Any:
    """YAML's own types."""
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, dict):
        return {key: _plain(v) for key, v in value.items()}
    return {item.name: _plain(getattr(value, item.name)) for item in fields(value)} if is_dataclass(value) else value
