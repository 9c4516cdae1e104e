"""Jobs on the workers of a Dask cluster that runs already, found by its scheduler's address."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from mvgamba_ros import __version__
from mvgamba_ros.errors import ErrorCode, ReconstructionError, cause

Job = TypeVar("Job")
Result = TypeVar("Result")
CONNECT_S = 15.0
"""How long the scheduler may take to answer. Set by hand: half of Dask's own, since nothing else can be done."""
START = "start it with: dask worker {address} --nworkers auto --nthreads 1"
_prepared: set[tuple[Any, ...]] = set()
"""What this process, a worker's, was prepared by."""


def on_cluster(
    address: str,
    work: Callable[[Job], Result],
    jobs: Sequence[Job],
    folder: Path,
    prepare: Callable[..., None] | None = None,
    given: Sequence[Any] = (),
) -> Generator[tuple[int, Result | BaseException], None, None]:
    """The index of every job, as they are done, with ``work(job)`` or what it raised: as
    `mvgamba_ros.worker_processes.outcomes`, with the jobs sent to the workers.

    A worker runs one job at a time, has this version of the package, and sees the same files: that is checked of all
    that are there before the first job, and by each job. A job whose worker dies is tried elsewhere as often as the
    scheduler's ``distributed.scheduler.allowed-failures`` says. Where the caller stops iterating, jobs that have not
    begun are taken back; the others end by themselves.

    Args:
        address: Of the scheduler, "tcp://host:8786".
        work: A function of this package, as ``prepare``.
        jobs: What it is called with.
        folder: Absolute, in which workers must see what is written here.
        prepare: Called once in each worker's process before its first job, with ``given``.
        given: See ``prepare``.

    Raises:
        ReconstructionError: MISSING_PACKAGE without dask; BAD_OPTION where nothing answers at ``address``, or a worker
            there cannot do the work.
    """
    try:
        from distributed import Client, as_completed
    except ImportError as error:
        raise ReconstructionError(
            ErrorCode.MISSING_PACKAGE, f"--cluster needs the package dask: pip install 'mvgamba_ros[cluster]' ({error})"
        ) from error
    try:
        client = Client(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise ReconstructionError(
            ErrorCode.BAD_OPTION,
            f"--cluster {address}: no Dask scheduler answers there ({cause(error)}): give its address, e.g. "
            "tcp://head:8786, which `dask scheduler` prints when it starts",
        ) from error
    futures: dict[Any, int] = {}
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".mvgamba-probe-") as probe:
            terms = address, Path(probe.name), __version__
            for worker, why in client.run(_unfit, *terms, on_error="return").items():
                if why:
                    text = why if isinstance(why, str) else f"cannot run mvgamba_ros ({cause(why)}): install it there"
                    raise ReconstructionError(ErrorCode.BAD_OPTION, f"--cluster: worker {worker} {text}")
            for index, job in enumerate(jobs):
                futures[client.submit(_do, terms, work, job, prepare, tuple(given), pure=False)] = index
            for future in as_completed(list(futures), loop=client.loop):
                try:
                    outcome = future.result()
                except Exception as error:  # of the job, of a worker that died, of a scheduler that has gone
                    outcome = error
                yield futures[future], outcome
    finally:
        with suppress(OSError, TimeoutError):  # of a scheduler that has gone
            client.cancel(list(futures))
        client.close()


def _do(
    terms: tuple[str, Path, str],
    work: Callable[[Job], Result],
    job: Job,
    prepare: Callable[..., None] | None,
    given: tuple[Any, ...],
) -> Result:
    why = _unfit(*terms)  # a worker that came later, too
    if why:
        raise ReconstructionError(ErrorCode.BAD_OPTION, f"--cluster: a worker {why}")
    if prepare is not None and (prepare, given) not in _prepared:
        prepare(*given)
        _prepared.add((prepare, given))
    return work(job)


def _unfit(address: str, probe: Path, version: str, dask_worker: Any = None) -> str:
    """Why this worker cannot do the work; empty where it can. ``dask_worker``: given by Dask's ``Client.run``."""
    from distributed import get_worker

    threads = (dask_worker or get_worker()).state.nthreads
    if threads != 1:
        return f"runs {threads} tasks at once in one process, which must be one: {START.format(address=address)}"
    if __version__ != version:
        return f"has mvgamba_ros {__version__}, this machine {version}: install the same"
    if not probe.exists():
        return f"does not see what is written to {probe.parent} here: take a folder that all machines share"
    return ""
