"""What a command says on its standard output: lines for a person, one JSON object for a program, or nothing."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

GREEN, RED, YELLOW = "32", "31", "33"
STYLES = {GREEN: "green", RED: "red", YELLOW: "yellow"}
"""What rich calls them."""
NARROWEST = 3
"""Characters of a terminal's width for each column of a table, at least: one, and rich's padding."""


def add_output(parser: argparse.ArgumentParser, holds: str = "report.json") -> None:
    """``-q`` and ``--json``, which prints what the file ``holds`` has."""
    one_of = parser.add_mutually_exclusive_group()
    one_of.add_argument("-q", "--quiet", action="store_true", help="print nothing, unless it fails")
    one_of.add_argument("--json", action="store_true", help=f"print one JSON object, what {holds} holds, and no lines")


def drop_output() -> None:
    """Lets standard output lead nowhere, so that what is left in its buffer does not fail when the process ends."""
    number = os.open(os.devnull, os.O_WRONLY)
    os.dup2(number, sys.stdout.fileno())
    os.close(number)


class Words:
    """Lines of a label and a text, in colour on a terminal (unless NO_COLOR is set, see no-color.org)."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._lines, self._json = not (args.quiet or args.json), bool(args.json)
        self._colors = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    @property
    def progress(self) -> bool:
        """Whether a bar is wanted, too."""
        return self._lines

    def line(self, label: str, text: str, color: str = "") -> None:
        """A line for a person."""
        if self._lines:
            shown = f"\033[{color}m{label:8s}\033[0m" if color and self._colors else f"{label:8s}"
            self._print(f"{shown} {text}")

    def plain(self, text: str) -> None:
        """A line without a label, as of a table."""
        if self._lines:
            self._print(text)

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]], colors: Sequence[str] = ()) -> None:
        """A table, drawn on a terminal, in plain columns elsewhere. ``colors``: of each row, or empty for none."""
        if not self._lines:
            return
        if sys.stdout.isatty() and self._draw(head, rows, colors):
            return
        widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
        for row in (head, *rows):
            self.plain("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())

    def _draw(self, head: Sequence[str], rows: Sequence[Sequence[str]], colors: Sequence[str]) -> bool:
        """False, with nothing drawn, on a terminal that is too narrow: rich leaves out what does not fit."""
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        console = Console(no_color=not self._colors)
        if console.width < NARROWEST * len(head):
            return False
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in head:
            table.add_column(Text(name), overflow="fold", min_width=1)
        for number, row in enumerate(rows):
            style = STYLES.get(colors[number], "") if colors else ""
            table.add_row(*(Text(cell, style=style) for cell in row))
        console.print(table)
        return True

    def object(self, content: Mapping[str, Any]) -> None:
        """The one object for a program."""
        if self._json:
            self._print(json.dumps(content))

    def _print(self, text: str) -> None:
        try:
            print(text, flush=True)
        except OSError:  # a pipe that nobody reads any more, a log on a full disk: the work goes on without words
            self._lines = self._json = False
            drop_output()
