"""Times of calls that are compared with each other."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial

import torch

Calls = dict[str, Callable[[], object]]


def turns(calls: Calls, repeats: int, clock: Callable[[], float] = time.perf_counter) -> dict[str, list[float]]:
    """Seconds by ``clock`` of each call, all called in turn, ``repeats`` times after one warm-up."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(repeats + 1):
        for name, call in calls.items():
            start = clock()
            call()
            if turn:
                times[name].append(clock() - start)
    return times


def medians(calls: Calls, repeats: int) -> dict[str, float]:
    """Median seconds of each call, all called in turn after one warm-up."""
    return {name: statistics.median(values) for name, values in turns(calls, repeats).items()}


def beside_reference(setting: str, calls: dict[str, Callable[[str], object]], theirs: str, repeats: int) -> None:
    """Prints a table of each of ``calls`` by its native backend and by its reference."""
    print(f"\n| {setting} | ours ms | {theirs} ms | ratio |")
    print("|---|---|---|---|")
    for name, call in calls.items():
        with torch.no_grad():
            t = medians({backend: partial(call, backend) for backend in ("cpu", "reference")}, 10 * repeats)
        ratio = t["reference"] / t["cpu"]
        print(f"| {name} | {1e3 * t['cpu']:.2f} | {1e3 * t['reference']:.2f} | {ratio:.1f}x |", flush=True)
