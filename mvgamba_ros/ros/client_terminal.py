"""What the client reads from a command line, and shows of its work."""

from __future__ import annotations

import argparse
import json
import math
import sys
from typing import Any


def whole(text: str) -> int:
    """For argparse: a whole number, 1 or more."""
    if not text.isdecimal() or not 1 <= int(text) < 2**32:
        raise argparse.ArgumentTypeError(f"{text}: give a whole number, 1 or more")
    return int(text)


def seconds(text: str) -> float:
    """For argparse: a finite number, 0 or more."""
    return _number(text, 0.0, "seconds, 0 or more")


def metres(text: str) -> float:
    """For argparse: a finite number."""
    return _number(text, -sys.float_info.max, "metres")


def _number(text: str, low: float, what: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not low <= number < math.inf:
        raise argparse.ArgumentTypeError(f"{text}: give {what}")
    return number


class StageLine:
    """Stages on stderr: one line that is drawn anew on a terminal, a line each elsewhere."""

    def __init__(self) -> None:
        self._stage, self._terminal = "", sys.stderr.isatty()

    def __call__(self, stage: str, fraction: float) -> None:
        if self._terminal:
            print(f"\r{fraction:4.0%} {stage:16}", end="", file=sys.stderr, flush=True)
        elif stage != self._stage:
            print(f"{fraction:4.0%} {stage}", file=sys.stderr, flush=True)
        self._stage = stage

    def close(self) -> None:
        if self._terminal and self._stage:
            print(file=sys.stderr)


def show(content: dict[str, Any]) -> None:
    """One JSON object, one line."""
    print(json.dumps(content), flush=True)
