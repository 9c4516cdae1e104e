"""What the runs of `benchmarks.context` have shown so far: tables, and a plot of the errors over the samples.

usage: python -m benchmarks.context_table RUNS [--samples N] [--measure depth_mm] [--plot FILE] [--cost DATA]

Prints, of the seeds that have been scored after so many samples (the most that any has), the mean of the network
without blocks (or of --base) for each case, and the paired differences from it of the other variants that all these
seeds have; the same of what a fault adds to the errors without one, which is less where context makes up for it; then
what the ways between views bring: blocks over one sequence of all views against the same blocks over each view alone,
both trained so, and with the ways cut at inference alone. Differences are taken object by object, after the mean over
the seeds, and stand with the interval in which their mean lies in 95 of 100 draws of objects. --cost prints weights,
operations and times of a forward pass.

examples:
  python -m benchmarks.context_table runs/context
      depth errors, millimetres
  python -m benchmarks.context_table runs/context --samples 7500 --measure f5
      F@5mm of the Gaussians' centres, a quarter of the way
  python -m benchmarks.context_table runs/context --base "12 blocks" --seeds 0
      what the others are worse or better than twelve blocks, of the first seed
  python -m benchmarks.context_table runs/context --plot docs/context.png --cost data/96
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from benchmarks.context import AT_INFERENCE
from benchmarks.context_conditions import CONDITIONS, observe
from benchmarks.context_data import held_out_items
from benchmarks.context_networks import VARIANTS
from benchmarks.context_scores import CLEAN, FAULTS, MEASURES, Scores, differences, network_forward, pooled
from benchmarks.context_training import Plan
from benchmarks.intervals import bootstrap
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.model.cost_volume import hull_intervals, plane_sweep_cost_volume

BASE, TOGETHER, APART = "no blocks", "12 blocks", "12 blocks, views apart"
PLOTTED = ("4 views", "2 views", "one view's pixels", "level rings")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", metavar="RUNS", type=Path, help="folder of `benchmarks.context`")
    parser.add_argument("--samples", type=int, help="after so many (the most that any seed has)")
    parser.add_argument("--seeds", type=int, nargs="+", metavar="N", help="of these (all that are scored)")
    parser.add_argument("--base", choices=VARIANTS, default=BASE, metavar="NAME", help="compare with it (%(default)s)")
    parser.add_argument("--measure", choices=MEASURES, default="depth_mm", help="(%(default)s)")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="write a plot of the errors over the samples")
    parser.add_argument("--cost", type=Path, metavar="DATA", help="time forward passes on an object of this folder")
    args = parser.parse_args(argv)

    marks = read_marks(args.runs, args.seeds)
    samples = args.samples or max(marks)
    if samples not in marks:
        raise ReconstructionError(
            ErrorCode.BAD_OPTION, f"no scores after {samples} samples; there are: {', '.join(map(str, sorted(marks)))}"
        )
    print(page(marks[samples], samples, args.measure, args.base))
    if args.cost is not None:
        print(f"\n{cost_table(args.runs, args.cost)}")
    if args.plot is not None:
        plot(marks, args.measure, args.plot)


def read_marks(runs: Path, seeds: Sequence[int] | None = None) -> dict[int, dict[int, Scores]]:
    """Samples -> seed -> scores, of ``seeds`` or of all. Raises BAD_OPTION where there are none."""
    found: dict[int, dict[int, Scores]] = {}
    for file in sorted(runs.glob("seed-*/scores-*.json")):
        seed, samples = (int(re.sub(r"\D", "", part)) for part in (file.parent.name, file.stem))
        if seeds is None or seed in seeds:
            found.setdefault(samples, {})[seed] = json.loads(file.read_text())
    if not found:
        raise ReconstructionError(
            ErrorCode.BAD_OPTION, f"{runs}: no scores yet; run python -m benchmarks.context {runs} --data DATA"
        )
    return found


def page(seeds: dict[int, Scores], samples: int, measure: str, base: str = BASE) -> str:
    """Markdown of one mark."""
    files = list(seeds.values())
    of_each = [{name for of_case in scores.values() for name in of_case} for scores in files]
    every = set.intersection(*of_each)
    trained = [name for name in VARIANTS if name in every and name != base]
    parts = [f"After {samples:,} samples; seeds: {', '.join(map(str, seeds))}.", ""]
    for name in VARIANTS:
        having = [str(seed) for seed, names in zip(seeds, of_each, strict=True) if name in names]
        if having and name not in every:
            parts += [f"Left out, as not all of these seeds have it (--seeds {' '.join(having)}): {name}.", ""]
    if base in every:
        parts += [differences(files, measure, base, trained)]
        parts += ["", "What a fault adds:", "", differences(files, measure, base, trained, CLEAN, FAULTS)]
    if {TOGETHER, APART} <= every:
        parts += ["", "Trained apart against trained together:", "", differences(files, measure, TOGETHER, [APART])]
        parts += ["", "What a fault adds:", "", differences(files, measure, TOGETHER, [APART], CLEAN, FAULTS)]
    for name in trained:
        if name + AT_INFERENCE in every:
            parts += ["", f"Cut at inference, {name}:", "", differences(files, measure, name, [name + AT_INFERENCE])]
    return "\n".join(parts)


def cost_table(runs: Path, data: Path) -> str:
    """Markdown: weights, tokens and operations of the blocks, and milliseconds of the processor for a forward pass on
    four views of an object, by one thread, all in turn; their values do not change the time, so weights are random."""
    values = json.loads((runs / "plan.json").read_text())
    plan = Plan(data=data, **values)
    base = plan.config("", VARIANTS[BASE], 0).model
    seen = observe(held_out_items(data / "held", 4)[3], 3, CONDITIONS["4 views"], base.size, base.grid)
    batch = seen.sample.inputs()
    rays = hull_intervals(batch, base)
    cost = plane_sweep_cost_volume(batch, rays, base.bins)
    calls: dict[str, Callable[[], object]] = {}
    weights: dict[str, float] = {}
    tokens: dict[str, int] = {}
    for name, variant in VARIANTS.items():
        network = variant.kind(variant.config(base)).eval()
        tokens[name] = int(F.max_pool2d(rays.valid.float(), variant.patch // base.stride).sum())
        weights[name] = sum(p.numel() for p in network.parameters()) / 1e6
        calls[name] = partial(network_forward(network, plan.precision == "bf16"), batch, rays, cost, False)
    torch.set_num_threads(1)  # the processor's time of one thread: other work on the machine is not in it
    times = processor_medians(calls, 9)
    lines = [
        "| variant | parameters | tokens | blocks, GFLOP | forward ms |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, variant in VARIANTS.items():
        flops = variant.gigaflops(base, tokens[name])
        lines.append(f"| {name} | {weights[name]:.2f} M | {tokens[name]} | {flops:.2f} | {1e3 * times[name]:.0f} |")
    return "\n".join(lines)


def processor_medians(calls: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median seconds of the processor for each call, all called in turn after one warm-up."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(repeats + 1):
        for name, call in calls.items():
            start = time.process_time()
            call()
            if turn:
                times[name].append(time.process_time() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def plot(marks: dict[int, dict[int, Scores]], measure: str, file: Path) -> None:
    """One panel for each case of `PLOTTED`: the mean of each variant over the samples, with its difference's interval
    from the network without blocks as a bar."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(PLOTTED), figsize=(4 * len(PLOTTED), 3.6), constrained_layout=True)
    for axis, case in zip(axes, PLOTTED, strict=True):
        for name in VARIANTS:
            rows = []
            for samples in sorted(marks):
                files = list(marks[samples].values())
                if all({name, BASE} <= set(scores.get(case, {})) for scores in files):
                    values = pooled(files, case, name, measure)
                    spread = bootstrap(values - pooled(files, case, BASE, measure))
                    rows.append((samples, bootstrap(values).mean, (spread.high - spread.low) / 2))
            if rows:
                x, y, bar = np.array(rows).T
                axis.errorbar(x, y, bar, label=name, marker="o", markersize=3, linewidth=1, capsize=2)
        axis.set_title(case)
        axis.set_xticks(sorted(marks), [f"{samples:,}" for samples in sorted(marks)])
        axis.set_xlabel("training samples")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel(measure)
    axes[0].legend(fontsize=8)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=90)
    plt.close(figure)


if __name__ == "__main__":
    main()
