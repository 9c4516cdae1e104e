"""What is done to a running node, what must happen, and what did: python -m benchmarks.faults

Real processes over real DDS. Prints the table of docs/reliability.md and writes it to --out; ends with status 1 where
something else happened than must. --only WORD runs the groups whose name has it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.machine import processor

sys.path.insert(0, str(Path(__file__).parents[1] / "test"))


@dataclass
class Case:
    """One fault. ``did`` is filled while it is tried."""

    kind: str
    must: str
    did: str = ""
    failed: bool = False
    seconds: float = 0.0

    @property
    def row(self) -> str:
        did = " ".join(self.did.split()).replace("|", "/")
        return f"| {self.kind} | {self.must} | {'**NOT**: ' if self.failed else ''}{did} | {self.seconds:.1f} |"


Group = Callable[["Report", Path], None]
"""Tries some faults; the folder is for its files and removed afterwards."""


class Report:
    """The cases so far."""

    def __init__(self) -> None:
        self.cases: list[Case] = []

    @contextmanager
    def case(self, kind: str, must: str) -> Iterator[Case]:
        """Tries a fault; what it raises is a failure and does not end the run."""
        case, began = Case(kind, must), time.monotonic()
        try:
            yield case
        except Exception as error:
            case.failed, case.did = True, f"{case.did} {type(error).__name__}: {str(error)[:300]}"
        case.seconds = time.monotonic() - began
        self.cases.append(case)
        print(case.row, flush=True)

    def run(self, group: Group) -> None:
        """All of a group; what ends it early is a failure of its own."""
        try:
            with tempfile.TemporaryDirectory() as folder:
                group(self, Path(folder))
        except Exception as error:
            with self.case(f"group {group.__name__}", "comes to its end"):
                raise error

    @property
    def table(self) -> str:
        head = "| what is done | what must happen | what did | s |\n|---|---|---|---|\n"
        return head + "\n".join(case.row for case in self.cases) + "\n"


def main() -> int:
    from benchmarks.faults_of_load import bursts, clocks, limits
    from benchmarks.faults_of_processes import ends, resources, starts
    from benchmarks.faults_of_streams import broken_streams, compressed_streams, folders
    from benchmarks.faults_of_views import views

    groups: list[Group] = [
        starts,
        ends,
        resources,
        folders,
        views,
        broken_streams,
        compressed_streams,
        bursts,
        limits,
        clocks,
    ]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help=", ".join(group.__name__ for group in groups))
    parser.add_argument("--out", type=Path, default=Path("build/faults.md"))
    arguments = parser.parse_args()
    report, began = Report(), time.monotonic()
    for group in groups:
        if arguments.only in group.__name__:
            report.run(group)
    failed = [case for case in report.cases if case.failed]
    ran = f"{len(report.cases)} kinds in {time.monotonic() - began:.0f} s on {psutil.cpu_count()} x {processor()}"
    print(f"\n{ran}, {len(failed)} not as they must\n")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(f"{report.table}\n{ran}.\n", encoding="utf-8")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
