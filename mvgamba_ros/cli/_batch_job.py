"""One capture of a batch, in a process that does many: on this machine or a worker of a cluster."""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mvgamba_ros.batch.made_from import MADE_FROM, read_report
from mvgamba_ros.cli._words import Words
from mvgamba_ros.cli.reconstruct import Task, reconstruct_capture
from mvgamba_ros.errors import ErrorCode, ReconstructionError, cause


@dataclass(frozen=True)
class BatchJob:
    """A capture, the folder of its result, absolute both, how to make it, and the hash of what it is made from."""

    task: Task
    capture: Path
    out: Path
    made_from: str


@dataclass(frozen=True)
class JobResult:
    """The report that was written, or that of a scene; None where the capture failed, with the name of an `ErrorCode`
    and what failed; wall seconds either way."""

    report: dict[str, Any] | None
    seconds: float
    error_code: str = ""
    error: str = ""


def run_job(job: BatchJob) -> JobResult:
    """What `mvgamba reconstruct` does with a capture. Raises nothing that a capture or an extension may cause: in a
    batch, one that fails costs the others nothing."""
    began = time.perf_counter()
    quiet = Words(argparse.Namespace(quiet=True, json=False))
    try:
        reconstruct_capture(job.task, job.capture, job.out, quiet, {MADE_FROM: job.made_from})
        report = read_report(job.out)
    except ReconstructionError as error:
        return JobResult(None, time.perf_counter() - began, error.code.name, error.message)
    except Exception as error:
        message = f"{type(error).__name__}: {cause(error)}"
        return JobResult(None, time.perf_counter() - began, ErrorCode.INTERNAL.name, message)
    return JobResult(report, time.perf_counter() - began)
