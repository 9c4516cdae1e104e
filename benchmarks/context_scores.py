"""Scores of networks on objects under conditions, object by object, kept in one file, and tables of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.context_conditions import Condition, observe
from benchmarks.context_data import Item
from benchmarks.intervals import bootstrap
from mvgamba_ros.io.atomic_writes import write_file
from mvgamba_ros.model.cost_volume import Intervals, hull_intervals, plane_sweep_cost_volume
from mvgamba_ros.model.raygamba import RayGamba
from mvgamba_ros.model.raygamba_config import RayGambaConfig
from mvgamba_ros.model.raygamba_output import RayGambaOutput
from mvgamba_ros.rendering.crops import CropBatch
from mvgamba_ros.training.sample_batches import Sample
from mvgamba_ros.training.validate import shape_scores

Scores = dict[str, dict[str, dict[str, list[float]]]]
"""Case -> network -> measure -> its value for each object, NaN where an object has none."""
Forward = Callable[[CropBatch, Intervals, Tensor, bool], RayGambaOutput]
"""A network on a batch, its intervals and its cost volume; the last argument: the views in the order they came."""
MEASURES = ("depth_mm", "front_mm", "back_mm", "faulty_mm", "others_mm", "chamfer_mm", "f5")
"""Mean absolute error of both depths, of the first hit, of the last exit; of both on the faulty view (without a fault:
the one that faults strike) and on the other views; chamfer distance and F@5mm of the Gaussians' centres."""


FAULTS = ("one view's pixels", "one view's mask", "one view's pose", "all poses")
"""Cases with a fault, of the views of `CLEAN`."""
CLEAN = "4 views"


@dataclass(frozen=True)
class Case:
    """Objects under one condition."""

    name: str
    items: Sequence[Item]
    condition: Condition


def network_forward(network: RayGamba, half: bool) -> Forward:
    """``half``: products in bfloat16."""
    ranked = network.config
    unranked = replace(ranked, rank_views=False)

    def forward(batch: CropBatch, rays: Intervals, cost: Tensor, as_they_came: bool) -> RayGambaOutput:
        network.config = unranked if as_they_came else ranked
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=half):
            return network(batch, rays, cost)

    return forward


def score_cases(
    cases: Sequence[Case],
    networks: Mapping[str, Forward],
    config: RayGambaConfig,
    file: Path,
    stop: Callable[[], bool] = lambda: False,
    log: Callable[[str], None] = print,
) -> Scores:
    """Scores of ``networks`` on ``cases``, kept in ``file`` after each case: a case that is there with all of them is
    not run again. Every network gets the same crops, intervals and cost volumes. Ends early where ``stop`` says so."""
    scores: Scores = json.loads(file.read_text()) if file.exists() else {}
    for case in cases:
        if set(networks) <= set(scores.get(case.name, {})):
            continue
        if stop():
            break
        rows: dict[str, list[dict[str, float]]] = {name: [] for name in networks}
        for index, item in enumerate(case.items):
            seen = observe(item, index, case.condition, config.size, config.grid)
            batch = seen.sample.inputs()
            rays = hull_intervals(batch, config)
            cost = plane_sweep_cost_volume(batch, rays, config.bins)
            for name, forward in networks.items():
                output = forward(batch, rays, cost, case.condition.shuffled)
                rows[name].append(scores_of(output, seen.sample, seen.faulty))
        found = {name: {m: [row[m] for row in rows[name]] for m in MEASURES} for name in networks}
        scores[case.name] = {**scores.get(case.name, {}), **found}
        file.parent.mkdir(parents=True, exist_ok=True)
        write_file(file, json.dumps(scores).encode())
        log(f"scored {case.name}: " + ", ".join(f"{n} {np.nanmean(s['depth_mm']):.2f} mm" for n, s in found.items()))
    return scores


def scores_of(output: RayGambaOutput, sample: Sample, faulty: int) -> dict[str, float]:
    """`MEASURES` of one object; ``faulty``: the place of the faulty view."""
    truth = torch.stack([sample.front, sample.back], -1)
    known = output.rays.valid[..., None] & torch.isfinite(truth)
    errors = output.errors(truth.nan_to_num(0))[0] * float(sample.half[0]) * 1e3
    known = known[0]

    def mean(pick: Tensor) -> float:
        return float(errors[pick].mean()) if bool(pick.any()) else float("nan")

    of_faulty = torch.zeros_like(known)
    of_faulty[faulty] = True
    return {
        "depth_mm": mean(known),
        "front_mm": mean(known & torch.tensor([True, False])),
        "back_mm": mean(known & torch.tensor([False, True])),
        "faulty_mm": mean(known & of_faulty),
        "others_mm": mean(known & ~of_faulty),
        **shape_scores(output, sample),
    }


def pooled(files: Sequence[Scores], case: str, network: str, measure: str) -> NDArray[np.float64]:
    """(objects,) of one measure, the mean over ``files`` (seeds) for each object."""
    return np.mean([np.asarray(scores[case][network][measure], np.float64) for scores in files], 0)


def differences(
    files: Sequence[Scores], measure: str, base: str, others: Sequence[str], beyond: str = "", cases: Sequence[str] = ()
) -> str:
    """Markdown: of each case that all ``files`` have, the mean of ``base`` and the paired differences of ``others``
    from it, each with its interval; cases without a value or one of the networks are left out. ``beyond``: a case
    whose values are taken off object by object, so that what is left is what the others of ``cases`` cost."""
    lines = ["| " + " | ".join([measure, base, *others]) + " |", "|---|" + "---:|" * (1 + len(others))]
    names = {base, *others}
    for case in cases or files[0]:
        if not all(names <= set(scores.get(one, {})) for scores in files for one in (case, beyond or case)):
            continue
        values = {name: pooled(files, case, name, measure) for name in names}
        if beyond:
            values = {name: value - pooled(files, beyond, name, measure) for name, value in values.items()}
        if not np.isfinite(values[base]).any():
            continue
        cells = [case, f"{bootstrap(values[base]).mean:{'+' if beyond else ''}.3f}"]
        for name in others:
            found = bootstrap(values[name] - values[base])
            cells.append(f"{found.mean:+.3f} ({found.low:+.3f} to {found.high:+.3f})")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
