"""A griffe extension for `make docs`: what our docstrings hold, as the API page shows it.

"Example:" is a section of code, as in Google's style guide, and the `option` rows of a dataclass are arguments of it.
"""

from __future__ import annotations

import ast
import re
from typing import Any

import griffe


class Docstrings(griffe.Extension):
    """See the module."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring:
            obj.docstring.value = re.sub(r"^( *)Example:$", r"\1Examples:", obj.docstring.value, flags=re.MULTILINE)

    def on_class_instance(self, *, node: Any, cls: griffe.Class, **kwargs: Any) -> None:
        if cls.docstring and isinstance(node, ast.ClassDef) and (rows := list(option_rows(node))):
            cls.docstring.value = cls.docstring.value.replace("Args:\n", "Args:\n" + "".join(rows), 1)

    def on_class_members(self, *, cls: griffe.Class, **kwargs: Any) -> None:
        """The default of an `option` is its first argument."""
        for field in cls.attributes.values():
            if isinstance(field.value, griffe.ExprCall) and str(field.value.function) == "option":
                field.value = field.value.arguments[0]


def option_rows(node: ast.ClassDef) -> list[str]:
    """A line of "Args:" for each field of a class that is an `option`: its text, choices, range and unit."""
    rows = []
    for field in node.body:
        if not (isinstance(field, ast.AnnAssign) and isinstance(field.value, ast.Call)):
            continue
        if getattr(field.value.func, "id", "") != "option" or not isinstance(field.target, ast.Name):
            continue
        text = ast.literal_eval(field.value.args[1])
        named = {keyword.arg: keyword.value for keyword in field.value.keywords}
        if "low" in named:
            text += f"; {ast.unparse(named['low'])} to {ast.unparse(named['high'])}"
        if "unit" in named:
            text += f" {ast.literal_eval(named['unit'])}"
        rows.append(f"    {field.target.id}: {text}.\n")
    return rows
