"""Jobs in several processes, one core each, that end when one of them fails, dies or is interrupted."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, TypeVar

from mvgamba_ros.errors import ErrorCode, ReconstructionError

Job = TypeVar("Job")
Result = TypeVar("Result")


def in_processes(
    work: Callable[[Job], Result],
    jobs: Sequence[Job],
    workers: int,
    folder: Path,
    prepare: Callable[..., None] | None = None,
    given: Sequence[Any] = (),
) -> Iterator[Result]:
    """``work(job)`` of every job, as they are done.

    Args:
        work: A function of a module, as ``prepare``.
        jobs: What it is called with, in this order.
        workers: Processes at most.
        folder: What the jobs fill, for messages.
        prepare: Called once in each process before its first job, with ``given``.
        given: See ``prepare``.

    Raises:
        ReconstructionError: CANNOT_WRITE where a process died, or its error cannot be carried over; what ``work``
            raises is raised as it is. Other processes are ended then, and where the caller stops iterating.
    """
    before = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(
        min(workers, len(jobs)), multiprocessing.get_context("spawn"), _begin, (prepare, tuple(given))
    )
    try:
        futures = [pool.submit(work, job) for job in jobs]
        for future in as_completed(futures):
            yield future.result()
    except BrokenProcessPool as error:
        raise ReconstructionError(
            ErrorCode.CANNOT_WRITE,
            f"{folder}: a process that fills it died; what is done is kept: start again, with fewer workers where "
            "memory was short",
        ) from error
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in set(multiprocessing.active_children()) - before:
            process.terminate()
        pool.shutdown(wait=True)


def _begin(prepare: Callable[..., None] | None, given: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's goes to the parent as well, which ends its workers
    if prepare is not None:
        prepare(*given)
