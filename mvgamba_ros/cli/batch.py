"""Reconstruct many captures at once.

FOLDERS are captures, as `mvgamba reconstruct` takes them, folders that hold captures, or patterns ("scans/*", in
quotes) of either. Each becomes OUT/<name>, the folder that `mvgamba reconstruct CAPTURE -o OUT/<name>` writes with the
same options. OUT also gets gallery.html, a page with a thumbnail of each that leads to its report, and the table of all
as summary.json and summary.csv.

Start it again and it goes on: results of the same inputs and options are kept, the others are made, those that failed
too. A capture that fails costs the others nothing: its error is in the table. Ctrl-C ends all and keeps what is done.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mvgamba_ros.cli._words import GREEN, RED, YELLOW, Words, add_output
from mvgamba_ros.cli._workers import add_workers, anywhere, default_workers, died, on_workers
from mvgamba_ros.cli.reconstruct import add_task, task_from
from mvgamba_ros.errors import ErrorCode, ReconstructionError

if TYPE_CHECKING:
    from mvgamba_ros.batch.batch_summary import Row
    from mvgamba_ros.batch.capture_search import Capture
    from mvgamba_ros.cli._batch_job import BatchJob, JobResult
    from mvgamba_ros.cli.reconstruct import Task

EXAMPLES = """examples:
  mvgamba batch scans -o out
      every capture in the folder scans, on all cores
  mvgamba batch monday tuesday/mug "wednesday/box_*" -o out --masks --max-faces 2000
      captures of several folders, with options of `mvgamba reconstruct`
  mvgamba batch scans -o out --workers 2
      two at once, where memory is short (a worker takes about 1 GB) or others need the cores
  mvgamba batch scans -o /shared/out --cluster tcp://head:8786
      on the workers of a Dask cluster that see the same files: docs/batch.md
  mvgamba batch scans -o out --json | jq '.captures[] | select(.state == "failed") | {name, error_code, error}'
      for a program; -q prints nothing, the exit status and out/summary.json tell

Exit status: 0 every capture has its result (also of low quality), 1 one or more failed (the table names the causes) or
the batch did, 2 wrong usage, 130 interrupted.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare this subcommand's arguments on ``parser``."""
    parser.add_argument("folders", metavar="FOLDERS", nargs="+", help="captures, folders of captures, or patterns")
    parser.add_argument("-o", "--out", metavar="OUT", required=True, help="folder for all results; made if missing")
    text = "captures at once, a process each, with its share of the cores (default: one a core, as memory allows)"
    add_workers(parser, None, text)
    add_output(parser, "summary.json")
    add_task(parser)


def run(args: argparse.Namespace) -> int:
    """Run this subcommand with parsed ``args`` and return the exit status."""
    from mvgamba_ros.batch.batch_summary import FAILED, summary, write_summary
    from mvgamba_ros.batch.capture_search import GALLERY, SUMMARY, TABLE, find_captures_in
    from mvgamba_ros.io.atomic_writes import write_file
    from mvgamba_ros.io.lock import locked
    from mvgamba_ros.io.results import check_writable
    from mvgamba_ros.webpage.gallery_html import gallery_html

    task, words = task_from(args), Words(args)
    task = replace(task, options=anywhere(task.options))
    found = find_captures_in(args.folders, args.views, args.reader)
    out = check_writable(args.out).resolve()
    if out in [capture.path for capture in found.captures]:
        raise ReconstructionError(ErrorCode.BAD_OPTION, f"-o {args.out}: is one of the captures: choose another folder")
    for name in (GALLERY, SUMMARY, TABLE):
        if (out / name).is_dir():
            raise ReconstructionError(
                ErrorCode.CANNOT_WRITE, f"{out / name}: is a folder: move it, or choose another OUT"
            )
    began = time.perf_counter()
    with locked(out):
        rows, jobs = _planned(found.captures, task, out)
        words.line("captures", f"{len(found.captures)}: {len(rows)} kept from before, {len(jobs)} to do")
        for folder in found.beside:
            words.line("note", f"{folder}: left out, no capture of a known format", YELLOW)
        workers = args.workers or default_workers(len(jobs))

        def write() -> tuple[list[Row], dict[str, Any]]:
            table = _table(found.captures, rows)
            content = summary(table, time.perf_counter() - began, 0 if args.cluster else workers)
            write_summary(out, content, table)
            write_file(out / GALLERY, gallery_html(out, table, out.name))
            return table, content

        try:
            with _interrupted_by_sigterm():
                for capture, row in _made(jobs, workers, args.cluster, out, words):
                    rows[capture] = row
        except KeyboardInterrupt:
            write()
            words.line("stopped", f"{len(rows)} of {len(found.captures)} are done: start again to go on", YELLOW)
            raise
        table, content = write()
    _show(table, content, out, words)
    words.object({"out": str(out), **content})
    failed = [row.name for row in table if row.state == FAILED]
    if failed and args.quiet:
        print(f"mvgamba: {len(failed)} of {len(table)} failed: {out / TABLE} has the causes", file=sys.stderr)
    return int(bool(failed))


def _planned(captures: Sequence[Capture], task: Task, out: Path) -> tuple[dict[Capture, Row], dict[Capture, BatchJob]]:
    """The rows of results that stand, and the jobs for the others."""
    from mvgamba_ros.batch.batch_summary import KEPT, row_of
    from mvgamba_ros.batch.made_from import made_from, standing
    from mvgamba_ros.cli._batch_job import BatchJob

    regions = [[*box.T_world_box.ravel().tolist(), *box.size.tolist()] for box in task.regions or ()]
    chosen = {name: getattr(task, name) for name in ("views", "reader", "page", "several", "depth")}
    rows, jobs = {}, {}
    for capture in captures:
        folder = out / capture.name
        selection = {**chosen, "regions": regions, "all": task.regions is None}
        wanted = made_from(capture.path, task.options, selection, out)
        try:
            report = standing(folder, wanted)
            row = None if report is None else row_of(capture, report, KEPT)
        except (AttributeError, KeyError, TypeError, ValueError):  # a report that somebody edited
            row = None
        if row is None:
            jobs[capture] = BatchJob(task, capture.path, folder, wanted)
        else:
            rows[capture] = row
    return rows, jobs


def _made(
    jobs: dict[Capture, BatchJob], workers: int, cluster: str, out: Path, words: Words
) -> Generator[tuple[Capture, Row], None, None]:
    """Each capture of ``jobs`` with its row, as they are done, with a bar on a terminal and lines elsewhere."""
    from mvgamba_ros.batch.batch_summary import FAILED
    from mvgamba_ros.cli._batch_job import run_job
    from mvgamba_ros.cli._progress import ProgressLine

    if not jobs:
        return
    captures, running, done = list(jobs), dict[int, str](), 0
    terminal = sys.stderr.isatty()
    with closing(ProgressLine(shown=words.progress and terminal)) as progress:

        def show() -> None:
            progress(f"{done}/{len(jobs)} {', '.join(running.values())}", done / len(jobs))

        def started(index: int) -> None:
            running[index] = captures[index].name
            show()

        todo = list(jobs.values())
        results = on_workers(run_job, todo, workers, cluster, out, started)
        show()
        with closing(results):
            for index, outcome in results:
                row = _row(captures[index], outcome, out)
                running.pop(index, None)
                done += 1
                show()
                if not terminal or row.state == FAILED:
                    state, seconds, *cells = row.cells()
                    text = "  ".join(filter(None, [f"{seconds} s", *cells]))
                    words.line(state, f"{done}/{len(jobs)}  {row.name}  {text}", RED if row.state == FAILED else "")
                yield captures[index], row


def _row(capture: Capture, outcome: JobResult | BaseException, out: Path) -> Row:
    from mvgamba_ros.batch.batch_summary import DONE, failed_row, row_of
    from mvgamba_ros.batch.made_from import read_report

    if not isinstance(outcome, BaseException) and outcome.report is not None:
        return row_of(capture, outcome.report, DONE, outcome.seconds)
    if not isinstance(outcome, BaseException):
        row = failed_row(capture, outcome.error_code, outcome.error, outcome.seconds)
    elif isinstance(outcome, ReconstructionError):
        row = failed_row(capture, outcome.code.name, outcome.message)
    else:
        row = failed_row(capture, ErrorCode.INTERNAL.name, died(outcome))
    if read_report(out / capture.name) is not None:
        row = replace(row, notes=(f"{capture.name} in the output folder is of other inputs or options",))
    return row


def _table(captures: Sequence[Capture], rows: dict[Capture, Row]) -> list[Row]:
    from mvgamba_ros.batch.batch_summary import Row

    return [rows.get(capture, Row(capture.name, str(capture.path))) for capture in captures]


def _show(table: Sequence[Row], content: dict[str, Any], out: Path, words: Words) -> None:
    from mvgamba_ros.batch.batch_summary import COLUMNS, DONE, FAILED, KEPT

    colors = [RED if row.state == FAILED else YELLOW if row.quality == "low" else "" for row in table]
    words.table(["capture", *COLUMNS.values()], [(row.name, *row.cells()) for row in table], colors)
    counts = f"{content[DONE]} done, {content[KEPT]} kept, {content[FAILED]} failed, {content['low']} of low quality"
    words.line("batch", f"{counts}, {content['seconds']:.1f} s", RED if content[FAILED] else GREEN)
    words.line("wrote", f"{out}: gallery.html, summary.json, summary.csv, a folder for each capture")


@contextmanager
def _interrupted_by_sigterm() -> Iterator[None]:
    """What a supervisor ends a process with is a Ctrl-C, so that no worker is left behind."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
