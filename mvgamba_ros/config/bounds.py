"""The range of a setting, declared with it and checked wherever it is set."""

from __future__ import annotations

import math
from dataclasses import field, fields
from typing import Any, TypeVar

from mvgamba_ros.errors import ErrorCode, ReconstructionError

T = TypeVar("T")


def bounded(default: T, low: float, high: float) -> T:
    """A dataclass field whose number, or tuple of numbers, lies in [``low``, ``high``]; see `check_bounds`."""
    made: Any = field(default=default, metadata={"low": low, "high": high})
    result: T = made
    return result


def check_bounds(settings: Any, prefix: str = "") -> None:
    """Checks the numbers of a dataclass instance against their ranges; whole where the default is whole.

    A field that declares no range and has a positive default must be 0 or more and finite: a width, a weight or a count
    means nothing below zero. One whose default is 0 or negative takes any number.

    Args:
        settings: The instance.
        prefix: Goes before the names in messages, e.g. "surface.".

    Raises:
        ReconstructionError: BAD_OPTION, which names field, value and range.
    """
    for row in fields(settings):
        low, high = row.metadata.get("low"), row.metadata.get("high")
        if low is None or high is None:
            if not isinstance(row.default, (int, float)) or isinstance(row.default, bool) or not row.default > 0:
                continue
            low, high = 0, math.inf
        value, whole = getattr(settings, row.name), isinstance(row.default, int)
        if not all(
            _is_within(number, low, high, whole) for number in (value if isinstance(value, tuple) else (value,))
        ):
            kind = "whole number" if whole else "number"
            raise ReconstructionError(
                ErrorCode.BAD_OPTION, f"{prefix}{row.name} {value!r} must be a {kind}, {range_text(low, high)}"
            )


def _is_within(value: Any, low: float, high: float, whole: bool) -> bool:
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        return False
    return low <= value <= high and abs(value) != math.inf  # a NaN is in no range


def range_text(low: float, high: float) -> str:
    """E.g. "16 to 1000000", "0 or more"."""
    return f"{number_text(low)} or more" if math.isinf(high) else f"{number_text(low)} to {number_text(high)}"


def number_text(value: float) -> str:
    """Without an exponent where it is whole: 1000000, 0.01."""
    return str(int(value)) if float(value).is_integer() else f"{value:g}"
