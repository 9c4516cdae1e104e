"""Progress as one line on stderr."""

from __future__ import annotations

import sys
import time


class ProgressLine:
    """A bar that redraws itself on a terminal; elsewhere one plain line per stage."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._stage = ""
        self._terminal = sys.stderr.isatty()

    def __call__(self, stage: str, fraction: float) -> None:
        seconds = time.perf_counter() - self._began
        if self._terminal:
            bar = "#" * round(24 * fraction)
            print(f"\r{bar:24s} {fraction:4.0%} {stage:10s} {seconds:5.1f} s", end="", file=sys.stderr, flush=True)
        elif stage != self._stage:
            print(f"{fraction:4.0%} {stage} ({seconds:.1f} s)", file=sys.stderr, flush=True)
        self._stage = stage

    def close(self) -> None:
        if self._terminal and self._stage:
            print(file=sys.stderr)
