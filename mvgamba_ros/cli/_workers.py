"""Jobs of a command on several processes of this machine, or on the workers of a cluster."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from mvgamba_ros.cli._flags import positive
from mvgamba_ros.options import Options

Job = TypeVar("Job")
Result = TypeVar("Result")
WORKER_BYTES = 1 << 30
"""Memory of a worker, for how many there are by default: twice what four views of 640 x 480 take at their peak."""


def add_workers(parser: argparse.ArgumentParser, default: int | None, text: str) -> None:
    """``--workers`` and ``--cluster``."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--workers", metavar="N", type=positive, default=default, help=text)
    where.add_argument(
        "--cluster", metavar="ADDRESS", default="", help="of a Dask scheduler, e.g. tcp://head:8786: docs/batch.md"
    )


def default_workers(jobs: int) -> int:
    """Processes for so many jobs: one a core, as many as fit into the memory that is free, one at least."""
    from mvgamba_ros.worker_processes import cores, free_memory

    free = free_memory()
    fitting = jobs if free is None else free // WORKER_BYTES
    return max(1, min(jobs, cores(), fitting))


def anywhere(options: Options) -> Options:
    """``options`` with the absolute paths of weights: a worker may run in another folder."""
    names = ("checkpoint", "sam_checkpoint", "generator_weights")
    given = {name: Path(getattr(options, name)) for name in names if getattr(options, name)}
    moved: dict[str, Any] = {name: str(path.absolute()) for name, path in given.items() if path.exists()}
    return replace(options, **moved)


def on_workers(
    work: Callable[[Job], Result],
    jobs: Sequence[Job],
    workers: int,
    cluster: str,
    folder: Path,
    started: Callable[[int], None] = lambda index: None,
) -> Generator[tuple[int, Result | BaseException], None, None]:
    """As `mvgamba_ros.worker_processes.outcomes`, each process with its share of the cores, or, with the address of a
    ``cluster``, as `mvgamba_ros.batch.dask_cluster.on_cluster`, where nothing tells what is ``started``."""
    from mvgamba_ros.batch.dask_cluster import on_cluster
    from mvgamba_ros.worker_processes import cores, outcomes

    if cluster:
        return on_cluster(cluster, work, jobs, folder, prepare_worker, (1,))
    return outcomes(work, jobs, workers, started, prepare_worker, (max(1, cores() // workers),))


def prepare_worker(threads: int) -> None:
    """Once in a process, before its first job: it takes ``threads`` of the machine's cores, as torch, OpenMP, OpenCV
    and BLAS count them. OMP_NUM_THREADS, where it is set, goes first."""
    threads = int(os.environ.setdefault("OMP_NUM_THREADS", str(threads)).partition(",")[0])
    from mvgamba_ros.process import prepare_process, spare_plotting

    prepare_process()
    spare_plotting()
    import cv2
    import torch

    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)


def died(error: BaseException) -> str:
    """What to say of a job whose outcome is ``error``, which is none of its own."""
    from concurrent.futures.process import BrokenProcessPool

    from mvgamba_ros.errors import cause

    gone = isinstance(error, BrokenProcessPool)
    why = "its process died, by a signal or in a library" if gone else f"{type(error).__name__}: {cause(error)}"
    return f"{why}: where memory was short, take fewer workers; `mvgamba reconstruct` shows what it prints"
