"""Progress as one line on stderr."""

from __future__ import annotations

import sys
import time


class ProgressLine:
    """A bar that redraws itself on a terminal; elsewhere one plain line per stage. With the rate, and the time left at
    that rate, once there is enough to tell it from."""

    def __init__(self, shown: bool = True) -> None:
        self._shown = shown
        self._began = time.perf_counter()
        self._stage = ""
        self._terminal = sys.stderr.isatty()

    def __call__(self, stage: str, fraction: float) -> None:
        if not self._shown:
            return
        seconds = time.perf_counter() - self._began
        left = f", {seconds * (1.0 / fraction - 1.0):.0f} s left" if 0.02 < fraction < 1.0 else ""
        rate = f", {100.0 * fraction / seconds:.2g} %/s" if left else ""
        if self._terminal:
            bar = "#" * round(24 * fraction)
            print(
                f"\r{bar:24s} {fraction:4.0%} {stage:10s} {seconds:5.1f} s{rate}{left}    ",
                end="",
                file=sys.stderr,
                flush=True,
            )
        elif stage != self._stage:
            print(f"{fraction:4.0%} {stage} ({seconds:.1f} s{rate}{left})", file=sys.stderr, flush=True)
        self._stage = stage

    def clear(self) -> None:
        """Takes the bar off a terminal's line, for another line to be printed there."""
        if self._terminal and self._stage:
            print("\r\033[K", end="", file=sys.stderr, flush=True)

    def close(self) -> None:
        if self._terminal and self._stage:
            print(file=sys.stderr)
