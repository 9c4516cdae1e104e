"""Progress on stderr: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

from mvgamba_ros.types import Counted

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress


class ProgressLine:
    """A bar that redraws itself on a terminal, with the time spent and the time left; what is printed meanwhile goes
    above it. Elsewhere one plain line per stage. Colours as `NO_COLOR` and TERM let rich (no-color.org)."""

    def __init__(self, shown: bool = True) -> None:
        self._shown = shown
        self._began = time.perf_counter()
        self._stage = ""
        self._terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._bar: RichProgress | None = None

    def __call__(self, stage: str, fraction: float) -> None:
        if not self._shown:
            return
        if self._terminal:
            self._draw(stage, fraction)
        elif stage != self._stage:
            print(f"{fraction:4.0%} {stage} ({self._times(fraction)})", file=sys.stderr, flush=True)
        self._stage = stage

    def close(self) -> None:
        """Leaves the bar as it is, and stops drawing."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def log(self, line: str) -> None:
        """A line for stdout; one that says how far the work is moves the bar of a terminal instead."""
        if isinstance(line, Counted) and self._terminal:
            self(line, line.fraction)
        else:
            print(line, flush=True)

    def _times(self, fraction: float) -> str:
        seconds = time.perf_counter() - self._began
        left = f", {seconds * (1.0 / fraction - 1.0):.0f} s left" if 0.02 < fraction < 1.0 else ""
        return f"{seconds:.1f} s{left}"

    def _draw(self, stage: str, fraction: float) -> None:
        if self._bar is None:
            self._bar = _bar()
            self._bar.add_task("", total=1.0, stage="")
            self._bar.start()
        task = self._bar.tasks[0]
        if fraction < task.completed:  # other work
            self._bar.reset(task.id)
        self._bar.update(task.id, completed=fraction, stage=stage)


def _bar() -> RichProgress:
    """rich's, which is imported here: a command that draws nothing does not wait for it."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.table import Column

    return Progress(
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[stage]}", markup=False, table_column=Column(no_wrap=True)),
        console=Console(stderr=True),
        redirect_stdout=sys.stdout.isatty(),  # else lines for a pipe would go to stderr
    )
