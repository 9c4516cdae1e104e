"""Jobs in several processes: `in_processes` ends when one of them fails, `outcomes` goes on with the others."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, as_completed, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, TypeVar

from mvgamba_ros.errors import ErrorCode, ReconstructionError

Job = TypeVar("Job")
Result = TypeVar("Result")
PATIENCE_S = 10.0
"""How long a process that is to end may take to remove what it was writing. Set by hand: seconds are enough."""


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
    pool = _pool(min(workers, len(jobs)), _begin, prepare, given)
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


def outcomes(
    work: Callable[[Job], Result],
    jobs: Sequence[Job],
    workers: int,
    started: Callable[[int], None] = lambda index: None,
    prepare: Callable[..., None] | None = None,
    given: Sequence[Any] = (),
) -> Generator[tuple[int, Result | BaseException], None, None]:
    """The index of every job, as they are done, with ``work(job)`` or what it raised.

    Each process has a pool of its own, so that one that dies takes no other's job along: that job's outcome is
    BrokenProcessPool, and a new process takes its place. Processes are ended where the caller stops iterating, after
    `PATIENCE_S` by force.

    Args:
        work: A function of a module, as ``prepare``.
        jobs: What it is called with, begun in this order.
        workers: Processes at most.
        started: Called here with a job's index once it is handed to a process.
        prepare: Called once in each process before its first job, with ``given``.
        given: See ``prepare``.
    """
    before = set(multiprocessing.active_children())
    idle = [_pool(1, _begin_alone, prepare, given) for _ in range(min(workers, len(jobs)))]
    waiting = deque(enumerate(jobs))
    running: dict[Future[Result], tuple[int, ProcessPoolExecutor]] = {}
    try:
        while waiting or running:
            while waiting and idle:
                index, job = waiting.popleft()
                pool = idle.pop()
                running[pool.submit(work, job)] = index, pool
                started(index)
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                index, pool = running.pop(future)
                error = future.exception()
                if isinstance(error, BrokenProcessPool):
                    pool.shutdown(wait=False)
                    pool = _pool(1, _begin_alone, prepare, given)
                idle.append(pool)
                yield index, future.result() if error is None else error
    finally:
        pools = [*idle, *(pool for _, pool in running.values())]
        for pool in pools:
            pool.shutdown(wait=False, cancel_futures=True)
        _end(set(multiprocessing.active_children()) - before)
        for pool in pools:
            pool.shutdown(wait=True)


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def free_memory() -> int | None:
    """Bytes that processes could still take, by Linux's own estimate; None elsewhere."""
    info = Path("/proc/meminfo")
    found = re.search(r"MemAvailable:\s*(\d+) kB", info.read_text()) if info.exists() else None
    return None if found is None else int(found[1]) * 1024


def _pool(
    workers: int, begin: Callable[..., None], prepare: Callable[..., None] | None, given: Sequence[Any]
) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), begin, (prepare, tuple(given)))


def _begin(prepare: Callable[..., None] | None, given: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's goes to the parent as well, which ends its workers
    if prepare is not None:
        prepare(*given)


def _begin_alone(prepare: Callable[..., None] | None, given: tuple[Any, ...]) -> None:
    """For a pool of one process, where no other job waits that an exception of the one at hand would let in."""
    signal.signal(signal.SIGTERM, _leave)
    _begin(prepare, given)


def _leave(*_: object) -> None:
    sys.exit(1)  # an exception: what was being written is removed on the way out


def _end(processes: Collection[BaseProcess]) -> None:
    for process in processes:
        process.terminate()
    until = time.monotonic() + PATIENCE_S
    for process in processes:
        process.join(max(0.0, until - time.monotonic()))
        if process.is_alive():
            process.kill()
