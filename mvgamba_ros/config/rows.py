"""An option declared once: one row makes the dataclass field, the node's parameter, the command's flag and its line in
the YAML file and in the README."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, TypeVar

import numpy as np

from mvgamba_ros.config.bounds import range_text
from mvgamba_ros.config.printing import field_docstrings
from mvgamba_ros.errors import ErrorCode, ReconstructionError

T = TypeVar("T")
Value = bool | int | float | str | list[float]


def option(
    default: T,
    text: str,
    *,
    low: float | None = None,
    high: float | None = None,
    unit: str = "",
    choices: tuple[str, ...] = (),
    extended_by: Callable[[], tuple[str, ...]] | None = None,
    refused: Mapping[str, str] | None = None,
    read_only: bool = False,
) -> T:
    """A dataclass field that is a row, to be written where a default stands: ``max_faces: int = option(5000, ...)``.

    Args:
        default: The default everywhere: bool, int, float, str or a list of floats.
        text: What it means, one sentence without a full stop.
        low: Least value of a number.
        high: Greatest value of a number; both or neither.
        unit: Of the number, e.g. "s".
        choices: The texts allowed; empty where any text is.
        extended_by: A function that returns ``choices`` and those that installed packages add.
        refused: Texts that somebody may expect among the choices, and the terms for which they are none.
        read_only: The node takes it at its start only.
    """
    metadata = {
        "text": text,
        "low": low,
        "high": high,
        "unit": unit,
        "choices": choices,
        "extended_by": extended_by,
        "refused": refused or {},
        "read_only": read_only,
    }
    if isinstance(default, list):
        made: Any = field(default_factory=lambda: list(default), metadata=metadata)
    else:
        made = field(default=default, metadata=metadata)
    result: T = made
    return result


@dataclass(frozen=True)
class Row:
    """One option; see `option` for the attributes."""

    name: str
    default: Value
    text: str
    low: float | None
    high: float | None
    unit: str
    choices: tuple[str, ...]
    extended_by: Callable[[], tuple[str, ...]] | None
    refused: Mapping[str, str]
    read_only: bool

    @property
    def allowed(self) -> tuple[str, ...]:
        """The texts allowed on this machine; empty where any text is."""
        return self.choices if self.extended_by is None else self.extended_by()

    @property
    def range(self) -> str:
        """The numbers allowed, in words, with their unit; empty where none are declared."""
        if self.low is None or self.high is None:
            return self.unit
        return f"{range_text(self.low, self.high)} {self.unit}".rstrip()


def rows(cls: Any) -> tuple[Row, ...]:
    """The rows of a dataclass, in their order; fields that are not declared by `option` are left out."""
    found = []
    for item in fields(cls):
        if "text" in item.metadata:
            default: Any = item.default if item.default_factory is MISSING else item.default_factory()
            found.append(Row(item.name, default, **item.metadata))
    return tuple(found)


def settings_rows(cls: Any, prefix: str) -> tuple[Row, ...]:
    """The rows of a dataclass of `bounded` numbers, ``prefix`` before their names: the text is the first sentence of
    the docstring under each field."""
    texts = field_docstrings(cls)
    return tuple(
        Row(
            name=prefix + item.name,
            default=getattr(cls, item.name),
            text=" ".join(texts[item.name].split()).split(". ")[0].rstrip("."),
            low=item.metadata["low"],
            high=item.metadata["high"],
            unit="",
            choices=(),
            extended_by=None,
            refused={},
            read_only=False,
        )
        for item in fields(cls)
    )


def check_types(settings: Any) -> None:
    """Checks that flags are flags and texts are texts; a number of numpy and a path become Python's own, as everything
    that is chosen is written to JSON in the end. Raises BAD_OPTION."""
    for row in rows(settings):
        value = getattr(settings, row.name)
        if isinstance(value, np.generic):
            value = value.item()
        elif isinstance(value, os.PathLike):
            value = os.fspath(value)
        for kind, words in ((bool, "True or False"), (str, "text")):
            if isinstance(row.default, kind) and not isinstance(value, kind):
                raise ReconstructionError(ErrorCode.BAD_OPTION, f"{row.name} {value!r} must be {words}")
        object.__setattr__(settings, row.name, value)


def check_choices(settings: Any) -> None:
    """Checks the texts of a dataclass instance that are chosen from several. Raises BAD_OPTION naming the choices."""
    for row in rows(settings):
        allowed, value = row.allowed, getattr(settings, row.name)
        if allowed and value not in allowed and value in row.refused:
            raise ReconstructionError(
                ErrorCode.BAD_OPTION,
                f"{row.name} {value} is not run by this package: {row.refused[value]}; use {', '.join(allowed)}, or "
                "register your own (docs/extend.md)",
            )
        if allowed and value not in allowed:
            raise ReconstructionError(ErrorCode.BAD_OPTION, f"{row.name} '{value}' is not one of {', '.join(allowed)}")
