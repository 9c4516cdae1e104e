"""How much faster a batch is on more workers: measured on one and two processes here, simulated beyond.

usage: python -m benchmarks.batch_scaling CAPTURES... [-o PICTURE] [--times FILE] [OPTIONS OF mvgamba batch]

`mvgamba batch` runs over the captures twice: on one process that has all cores, and on two with half of them each. What
more workers would bring follows from the second run's times by list scheduling: each worker takes the next capture as
soon as it is free, and needs the time to start once. Nothing else is modelled: all captures on one file system, cores
that do not slow each other, no network. The machine's load before each run is printed: on a busy one the ratio says
little.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.machine import processor

WORKERS = (1, 2, 4, 8, 16, 32, 64, 128)
REPEATS = 25
"""How often the measured captures stand in the larger simulated batch."""


@dataclass(frozen=True)
class Measured:
    """A batch: ``workers``, wall ``seconds`` of the whole and of each capture (``tasks``), load average before it."""

    workers: int
    seconds: float
    tasks: list[float]
    load: float


def measure(captures: Sequence[str], workers: int, options: Sequence[str]) -> Measured:
    """One run of `mvgamba batch` into a new folder. Raises CalledProcessError where a capture failed."""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "mvgamba_ros.cli", "batch", *captures, "-o", out, "-q", *options]
        began = time.perf_counter()
        subprocess.run([*command, "--workers", str(workers)], env=environment, check=True)
        seconds = time.perf_counter() - began
        rows = json.loads((Path(out) / "summary.json").read_text())["captures"]
    return Measured(workers, seconds, [row["seconds"] for row in rows], load)


def makespan(tasks: Sequence[float], workers: int, start: float = 0.0) -> float:
    """When the last of ``workers`` is done: each begins after ``start`` and takes the next of ``tasks`` when free."""
    free = [start] * min(workers, len(tasks))
    for task in tasks:
        heapq.heapreplace(free, free[0] + task)
    return max(free)


def starting(run: Measured) -> float:
    """What of a run its tasks do not account for: processes that start, files that are compared, the table."""
    return max(0.0, run.seconds - makespan(run.tasks, run.workers))


def draw(run: Measured, title: str, path: Path) -> None:
    """Speed-up over one worker, of the captures that were measured and of `REPEATS` times as many."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    start = starting(run)
    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    axes.plot(WORKERS, WORKERS, "--", color="tab:gray", label="ideal")
    for tasks, marker in ((run.tasks, "o"), (run.tasks * REPEATS, "s")):
        alone = makespan(tasks, 1, start)
        ratios = [alone / makespan(tasks, workers, start) for workers in WORKERS]
        axes.plot(WORKERS, ratios, f"{marker}-", label=f"{len(tasks)} captures, simulated")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_xlabel("workers of one core")
    axes.set_ylabel("times as fast as one")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8)
    axes.set_title(title, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main(argv: Sequence[str] | None = None) -> None:
    """Measures, prints the ratio and the simulated times, draws."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("captures", nargs="+")
    parser.add_argument("-o", "--out", type=Path, help="picture")
    parser.add_argument("--times", type=Path, help="write the measured times as JSON")
    args, options = parser.parse_known_args(argv)
    one, two = (measure(args.captures, workers, options) for workers in (1, 2))
    for run in (one, two):
        each = sum(run.tasks) / len(run.tasks)
        print(
            f"{run.workers} workers: {run.seconds:.1f} s for {len(run.tasks)} captures, {each:.1f} s each, load before "
            f"{run.load:.1f}"
        )
    print(f"two processes are {one.seconds / two.seconds:.2f} times as fast as one that has all cores")
    start = starting(two)
    print(f"simulated from the times of two, {start:.1f} s to start:")
    for workers in WORKERS:
        once, often = (makespan(tasks, workers, start) for tasks in (two.tasks, two.tasks * REPEATS))
        print(f"  {workers:4d} workers: {once:8.1f} s, {REPEATS} times as many captures {often:8.1f} s")
    if args.times:
        args.times.write_text(json.dumps([asdict(run) for run in (one, two)], indent=1) + "\n")
    if args.out:
        each = sum(two.tasks) / len(two.tasks)
        draw(
            two, f"{processor()}; {each:.1f} s a capture, {start:.1f} s to start, load before {two.load:.1f}", args.out
        )


if __name__ == "__main__":
    main()
