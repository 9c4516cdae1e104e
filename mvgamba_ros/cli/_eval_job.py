"""One capture of an evaluation, in a process that does many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mvgamba_ros.errors import ReconstructionError
from mvgamba_ros.evaluation import captures
from mvgamba_ros.evaluation.picture import comparison_picture
from mvgamba_ros.io.atomic_writes import write_file
from mvgamba_ros.io.image_files import encode_png
from mvgamba_ros.options import Options


@dataclass(frozen=True)
class EvalJob:
    """A capture, the arguments of `captures.read_case`, the numbers of views to see, and the folder for pictures."""

    folder: Path
    options: Options
    truth_roi: bool
    reader: str
    whole: int
    counts: Sequence[int]
    out: Path
    depth: bool


@dataclass
class EvalResult:
    """A capture's ``name``, the region it was sought in (plain JSON values), and by number of views its scores, or why
    there are none."""

    name: str
    roi: Any
    scores: dict[int, dict[str, float]] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)


def run_eval(job: EvalJob) -> EvalResult:
    """Scores a capture and writes its pictures. Raises what reading it raises."""
    case = captures.read_case(job.folder, job.options, job.truth_roi, job.reader, job.whole, job.depth)
    result = EvalResult(case.name, case.options.to_dict()["options"]["prompts"]["roi"])
    for count in job.counts:
        try:
            outcome = captures.evaluate(case, count)
        except ReconstructionError as error:  # one that can't be done must not cost the others' figures
            result.failed[count] = f"{error.code.name}: {error.message}"
            continue
        result.scores[count] = outcome.scores
        write_file(job.out / f"{case.name}_{count}.png", encode_png(comparison_picture(case, outcome)))
    return result
