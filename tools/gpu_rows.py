"""What the parts of a check of the GPU report, and how long calls take there."""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


@dataclass(frozen=True)
class Row:
    """One line of the table: a value and what it must be, or why there is none (``state`` ``skipped``)."""

    part: str
    what: str
    state: str
    value: str = ""
    bound: str = ""


def folder() -> Path:
    """Where all is written."""
    return Path(os.environ["OUT"])


def report(part: str, what: str, value: str, bound: str = "", holds: bool | None = None) -> None:
    """Add a row: measured, or where a bound must hold, ok or FAILED."""
    write(Row(part, what, "measured" if holds is None else "ok" if holds else "FAILED", value, bound))


def skip(part: str, what: str, why: str) -> None:
    """Add a row that says what was not run."""
    write(Row(part, what, "skipped", why))


def needs_gpu(part: str, *whats: str) -> bool:
    """Whether there is none; ``whats`` are then skipped by name."""
    if DEVICE.type == "cuda":
        return False
    for what in whats:
        skip(part, what, "torch sees no GPU")
    return True


def write(row: Row) -> None:
    with (folder() / "rows.jsonl").open("a") as file:
        file.write(json.dumps(asdict(row)) + "\n")


def milliseconds(call: Callable[[], object], repeats: int = 10, device: torch.device = DEVICE) -> float:
    """Median time of a call after two that warm up: by CUDA events on a GPU, else by the clock and of three at most."""
    times = []
    for turn in range((repeats if device.type == "cuda" else min(repeats, 3)) + 2):
        if device.type == "cuda":
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            call()
            end.record()
            end.synchronize()
            spent = start.elapsed_time(end)
        else:
            began = time.perf_counter()
            call()
            spent = 1e3 * (time.perf_counter() - began)
        if turn >= 2:
            times.append(spent)
    return statistics.median(times)


def peak_memory(part: str, what: str) -> None:
    """Row of the most memory that tensors took since the last."""
    if DEVICE.type == "cuda":
        report(part, f"{what}: peak memory", f"{torch.cuda.max_memory_allocated() / 2**20:.0f} MB")
        torch.cuda.reset_peak_memory_stats()
