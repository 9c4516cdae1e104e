"""Runs the parts of a check of the GPU, each in a process of its own with a time of its own, and prints one table.

One part that fails, hangs or lacks a package hides none of the others. Called by gpu_check.sh; a part alone:
``python -m tools.gpu_check --part kernels``.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

PARTS = {
    "machine": ("gpu_parts", 60),
    "build": ("gpu_parts", 90),
    "kernels": ("gpu_parts", 110),
    "paper": ("gpu_parts", 80),
    "stages": ("gpu_whole", 60),
    "captures": ("gpu_whole", 110),
    "tests": ("gpu_whole", 120),
    "training": ("gpu_whole", 90),
    "graphs": ("gpu_ways", 90),
    "recipe": ("gpu_training", 600),
}
"""Module and most seconds of each part, in the order of their worth; the last takes what is left."""
SECONDS = 465.0
"""Of all together: eight minutes, less what starting and printing take."""
LEAST_SECONDS = 5.0
"""Below it a part is not begun."""
LOG = "log.txt"
"""What all parts print, in one file: of many files a lent machine sends back few."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all by default")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.part:
        return run_here(args.part)
    unknown = set(args.parts) - set(PARTS)
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}; choose of {', '.join(PARTS)}")
    out = Path(os.environ["OUT"])
    rows = out / "rows.jsonl"
    for old in (rows, out / LOG):
        old.unlink(missing_ok=True)
    deadline = time.monotonic() + float(os.environ.get("GPU_CHECK_SECONDS", SECONDS))
    for name in args.parts or PARTS:
        run_apart(name, min(float(PARTS[name][1]), deadline - time.monotonic()), out)
    found = [json.loads(line) for line in rows.read_text().splitlines()]
    table = as_table(found)
    (out / "table.md").write_text(table + "\n")
    print(table)
    return int(any(row["state"] == "FAILED" for row in found))


def run_here(name: str) -> int:
    """The part, in this process. A package that is missing is no failure: the part is skipped by its name."""
    from tools.gpu_rows import skip

    try:
        getattr(import_module(f"tools.{PARTS[name][0]}"), name)()
    except ModuleNotFoundError as error:
        skip(name, "the rest of it", str(error))
    return 0


def run_apart(name: str, seconds: float, out: Path) -> None:
    """The part, in a process that is ended after ``seconds`` with all that it started; a row says how it went."""
    from tools.gpu_rows import report, skip

    if seconds < LEAST_SECONDS:
        skip(name, "all of it", "no time is left")
        return
    began = time.monotonic()
    with (out / LOG).open("ab") as log:
        log.write(f"\n== {name}\n".encode())
        log.flush()
        command = [sys.executable, "-m", "tools.gpu_check", "--part", name]
        told = {**os.environ, "GPU_CHECK_PART_SECONDS": f"{seconds:.0f}"}
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True, env=told)
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            report(name, "the rest of it", f"ended after {seconds:.0f} s", "in time", False)
            return
    if status:
        last = (out / LOG).read_text(errors="replace").strip().splitlines()[-1:]
        report(name, "the rest of it", f"exit {status}: {''.join(last)}"[:200], "runs", False)
    else:
        report(name, "seconds", f"{time.monotonic() - began:.0f}")


def as_table(rows: list[dict[str, str]]) -> str:
    """The rows as a Markdown table, and how many there are of each state."""
    lines = ["| part | what | value | bound | state |", "|---|---|---|---|---|"]
    for row in rows:
        lines.append(
            "| " + " | ".join(row[k].replace("|", "/") for k in ("part", "what", "value", "bound", "state")) + " |"
        )
    states = [row["state"] for row in rows]
    counts = ", ".join(f"{states.count(state)} {state}" for state in ("ok", "FAILED", "measured", "skipped"))
    return "\n".join([*lines, "", counts])


if __name__ == "__main__":
    sys.exit(main())
