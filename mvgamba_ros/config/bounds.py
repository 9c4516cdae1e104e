"""The range of a setting, declared with it and checked wherever it is set."""

from __future__ import annotations

import math
from dataclasses import field, fields, is_dataclass
from typing import Any, TypeVar

from mvgamba_ros.errors import ErrorCode, ReconstructionError, shown

T = TypeVar("T")


def bounded(default: T, low: float, high: float, length: tuple[int, int] | None = None) -> T:
    """A dataclass field whose number, or tuple of numbers, lies in [``low``, ``high``]; see `check_bounds`.

    Args:
        default: A number, or a tuple of numbers.
        low: Least value.
        high: Greatest value.
        length: Least and greatest length of a tuple; without it, the default's.
    """
    if isinstance(default, tuple) and length is None:
        length = len(default), len(default)
    made: Any = field(default=default, metadata={"low": low, "high": high, "length": length})
    result: T = made
    return result


def check_bounds(settings: Any, prefix: str = "") -> None:
    """Checks the numbers of a dataclass instance, and of the sections in it, against their ranges; whole where the
    default is whole.

    A field that declares no range and has a positive default must be 0 or more and finite: a width, a weight or a count
    means nothing below zero. One whose default is 0 or negative takes any number.

    Args:
        settings: The instance.
        prefix: Goes before the names in messages, e.g. "surface.".

    Raises:
        ReconstructionError: BAD_OPTION, which names field, value and range.
    """
    for row in fields(settings):
        value, name = getattr(settings, row.name), f"{prefix}{row.name}"
        if isinstance(row.default_factory, type) and is_dataclass(row.default_factory):
            if not isinstance(value, row.default_factory):
                raise _bad(f"{name} {shown(value)} must be a {row.default_factory.__name__}")
            check_bounds(value, f"{name}.")
            continue
        low, high = row.metadata.get("low"), row.metadata.get("high")
        if low is None or high is None:
            if not isinstance(row.default, (int, float)) or isinstance(row.default, bool) or not row.default > 0:
                continue
            low, high = 0, math.inf
        default: Any = row.default
        several = isinstance(default, tuple)
        least, most = row.metadata.get("length") or (1, 1)
        numbers = value if several else (value,)
        whole = all(isinstance(number, int) for number in (default if several else (default,)))
        if (
            not isinstance(numbers, tuple)
            or not least <= len(numbers) <= most
            or not all(_is_within(number, low, high, whole) for number in numbers)
        ):
            kind = "whole number" if whole else "number"
            count = f"{least}" if least == most else f"{least} to {most}"
            what = f"{count} {kind}s, each" if several else f"a {kind},"
            raise _bad(f"{name} {shown(value)} must be {what} {range_text(low, high)}")


def _bad(message: str) -> ReconstructionError:
    return ReconstructionError(ErrorCode.BAD_OPTION, message)


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
