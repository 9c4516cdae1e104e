"""What each choice in the network is worth: every variant trained on the same small budget, then measured.

usage: python -m benchmarks.ablation RUNS [--samples 2000] [--seeds 0] [--only NAME ...] [--set KEY=VALUE ...]

Each variant is the stage crops-128 of config/raygamba-s.recipe.yaml, from random weights, with some settings changed
(--list shows them), trained on --samples objects and validated on held-out ones, once for every seed. The schedule
shrinks with the budget: rendering losses join at the same share of it. RUNS/<variant>-<seed>/ holds each run; stop and
start this as you like: finished runs are kept, one that was stopped goes on. At the end, and after every run, prints
the table and writes it to --table (RUNS/ablation.md).

examples:
  python -m benchmarks.ablation runs/ablation
      needs data/train and data/val, as the recipe renders them (docs/data.md)
  python -m benchmarks.ablation runs/ablation --seeds 0 1 2 --set data=[/big/train] --set validation=/big/val
      other data, three seeds
  python -m benchmarks.ablation runs/quick --samples 64 --only raygamba-s "no colour agreement" --table quick.md
      a trial of whether it runs
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch

from benchmarks.free_positions import FreeTrainer
from benchmarks.timing import medians
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.model.raygamba import RayGamba
from mvgamba_ros.model.raygamba_config import ORDERS, RayGambaConfig
from mvgamba_ros.synthesis.shards import Shards
from mvgamba_ros.training.loop import Batch, Steps, Trainer
from mvgamba_ros.training.losses import depth_losses, render_losses, total
from mvgamba_ros.training.recipe import load_plan
from mvgamba_ros.training.sample_batches import collate, make_sample
from mvgamba_ros.training.train_config import TrainConfig

RECIPE = Path("config/raygamba-s.recipe.yaml")
BASE = "raygamba-s"
FREE = "free positions"
NEVER = 1_000_000_000


def orders(*names: str) -> str:
    return f"model.orders=[{', '.join(names)}]"


DEPTH = len(RayGambaConfig().orders)
VARIANTS: dict[str, tuple[str, ...]] = {
    BASE: (),
    "no hull interval": ("model.use_interval=false",),
    "no colour agreement": ("model.use_consistency=false",),
    "bins across the cube": ("model.bins_in_hull=false",),
    FREE: ("losses.bins=0",),
    "neither of the two": ("model.use_interval=false", "model.use_consistency=false"),
    "no blocks": (orders(),),
    "4 blocks": (orders(*ORDERS[:4]),),
    "one scan order": (orders(*DEPTH * ["rows"]),),
    "views as they came": ("model.rank_views=false",),
    "views one by one": (orders(*2 * ["rows", "rows_reversed", "columns", "columns_reversed"]),),
    "patches of 16 pixels": ("model.patch=16",),
    "8 bins": ("model.bins=8",),
    "32 bins": ("model.bins=32",),
    "half the width": ("model.width=96",),
    "no rendering losses": (f"render_from={NEVER}",),
    "rendering losses alone": ("render_from=0", "losses.bins=0", "losses.front=0", "losses.back=0"),
    "undisturbed samples": ("sampling.augmented=0",),
    "Muon": ("optimizer=muon",),
    "a cascade head": ("model.cascade_positions=16",),
}
"""Name -> changes of the training config."""

COLUMNS = {
    "f5": ("F@5mm", 1.0, 3),
    "chamfer_mm": ("chamfer mm", 1.0, 2),
    "psnr": ("PSNR dB", 1.0, 2),
}
"""Measured value -> heading, factor and decimals in the table."""


@dataclass(frozen=True)
class Run:
    """One variant and seed, finished: the validation report."""

    variant: str
    seed: int
    parameters: int
    measured: dict[str, float]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", metavar="RUNS", type=Path, nargs="?", help="folder of the runs")
    parser.add_argument("--recipe", type=Path, default=RECIPE, help="holds the base (%(default)s)")
    parser.add_argument("--stage", default="crops-128", help="the recipe's stage that is the base (%(default)s)")
    parser.add_argument("--samples", type=int, default=2000, help="objects to train on, each variant (%(default)s)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], metavar="N", help="(0)")
    parser.add_argument("--only", nargs="+", choices=VARIANTS, metavar="NAME", help="these variants alone")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="for all variants, before theirs"
    )
    parser.add_argument("--table", type=Path, metavar="FILE", help="(RUNS/ablation.md)")
    parser.add_argument("--list", action="store_true", help="show the variants and do nothing")
    args = parser.parse_args(argv)
    if args.list:
        for name, changes in VARIANTS.items():
            print(f"{name:24s} {'  '.join(changes)}")
        return
    if args.runs is None:
        parser.error("RUNS is missing: the folder where the runs are kept")

    report = args.table or args.runs / "ablation.md"
    names = args.only or list(VARIANTS)
    configs = {
        (name, seed): configure(args.recipe, args.stage, name, args.samples, seed, args.set)
        for seed in args.seeds
        for name in names
    }
    each = {n: configs[n, args.seeds[0]] for n in names}
    seconds = {"step ms": step_seconds(each), "forward ms": forward_seconds(each)}
    finished: list[Run] = []
    for (name, seed), config in configs.items():
        finished.append(train(name, config, args.runs / f"{name.replace(' ', '-')}-{seed}"))
        report.parent.mkdir(parents=True, exist_ok=True)
        report.write_text(page(finished, seconds, args.samples, args.set))
    print(f"\n{table(finished, seconds)}\n\n{report}")


@cache
def base_config(recipe: Path, stage: str, changes: tuple[str, ...]) -> TrainConfig:
    """The settings of a stage of a recipe, from random weights. Raises BAD_OPTION for a stage that it does not have."""
    plan = load_plan(recipe, changes)
    stages = {one.name: config for one, config in zip(plan.recipe.stages, plan.configs, strict=True)}
    if stage not in stages:
        raise ReconstructionError(ErrorCode.BAD_OPTION, f"{recipe} has no stage {stage}; it has {', '.join(stages)}")
    config = stages[stage]
    assert isinstance(config, TrainConfig)
    return replace(config, start=None)


def configure(recipe: Path, stage: str, variant: str, samples: int, seed: int, changes: Sequence[str]) -> TrainConfig:
    """The base config with a schedule for ``samples`` and the variant's changes, which come last."""
    base = base_config(recipe, stage, tuple(changes))
    schedule = [
        f"name={variant}",
        f"seed={seed}",
        f"samples={samples}",
        f"render_from={round(base.render_from * samples / base.samples)}",
        f"warmup={round(base.warmup * samples / base.samples)}",
        f"validate_minutes={NEVER}",  # once, at the end
    ]
    return base_config(recipe, stage, (*changes, *schedule, *VARIANTS[variant]))


def trainer_of(variant: str) -> type[Trainer]:
    return FreeTrainer if variant == FREE else Trainer


def network_of(variant: str, config: TrainConfig) -> RayGamba:
    return trainer_of(variant).network_type(config.model)


def forward_seconds(configs: dict[str, TrainConfig]) -> dict[str, float]:
    """Median seconds of each variant's forward pass on four views of one held-out object, all run in turn. Weights do
    not change the time, so they are random."""
    calls: dict[str, Callable[[], object]] = {}
    for name, config in configs.items():
        network, item = network_of(name, config).eval(), Shards(config.validation)[0]
        exact = replace(config.sampling, augmented=0.0, mirrored=0.0)
        sample = make_sample(item, 4, 1, network.config.size, network.grid, exact, np.random.default_rng(0))
        calls[name] = partial(network, collate([sample]).inputs())
    with torch.no_grad():
        return medians(calls, 5)


def step_seconds(configs: dict[str, TrainConfig]) -> dict[str, float]:
    """Median seconds of each variant's step, all run in turn: forward, losses and gradients of one batch of four views
    an object, without the loader, which works beside it, and the optimiser."""

    def step(network: RayGamba, batch: Batch, config: TrainConfig) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=config.precision == "bf16"):
            output = network(batch.sample.inputs(), batch.rays, batch.agreement)
        losses = depth_losses(output, batch.sample, config.losses)
        if config.render_from < NEVER:
            losses |= render_losses(output, batch.sample, "ssim")
        total(losses, config.losses).backward()

    calls: dict[str, Callable[[], object]] = {}
    for name, config in configs.items():
        four = replace(config, view_counts={4: 1.0})
        calls[name] = partial(step, network_of(name, config), Steps(four, Shards(config.data), 0, 1)[0], config)
    return medians(calls, 3)


def train(variant: str, config: TrainConfig, folder: Path) -> Run:
    """Train and validate, or read what an earlier call found.

    Raises BAD_OPTION where ``folder`` holds a run with other settings.
    """
    wanted = json.dumps(config.to_dict(), indent=1)
    settings, result = folder / "config.json", folder / "result.json"
    if settings.exists() and settings.read_text() != wanted:
        raise ReconstructionError(
            ErrorCode.BAD_OPTION, f"{folder} was begun with other settings: name another folder for the runs"
        )
    if not result.exists():
        folder.mkdir(parents=True, exist_ok=True)
        settings.write_text(wanted)
        print(f"{variant}, seed {config.seed}: {config.samples:,} objects", flush=True)
        trainer_of(variant)(config, folder, log=lambda line: print("  " + line, flush=True)).run()
        with (folder / "validation.csv").open() as file:
            report = {key: float(value) for key, value in list(csv.DictReader(file))[-1].items()}
        result.write_text(json.dumps(report, indent=1))
    measured: dict[str, float] = json.loads(result.read_text())
    parameters = sum(p.numel() for p in network_of(variant, config).parameters())
    return Run(variant, config.seed, parameters, measured)


def table(runs: Sequence[Run], seconds: dict[str, dict[str, float]]) -> str:
    """Markdown; means over seeds, with the spread where there are several."""
    heads = ["variant", "parameters", *(head for head, _, _ in COLUMNS.values()), *seconds]
    lines = ["| " + " | ".join(heads) + " |", "|---|" + "---:|" * (len(heads) - 1)]
    for variant in dict.fromkeys(run.variant for run in runs):
        same = [run for run in runs if run.variant == variant]
        cells = [variant, f"{same[0].parameters / 1e6:.2f} M"]
        for key, (_, factor, decimals) in COLUMNS.items():
            values = [factor * run.measured[key] for run in same]
            spread = f" ± {statistics.stdev(values):.{decimals}f}" if len(values) > 1 else ""
            cells.append(f"{statistics.fmean(values):.{decimals}f}{spread}")
        cells += [f"{1e3 * of_variant[variant]:.0f}" for of_variant in seconds.values()]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def page(runs: Sequence[Run], seconds: dict[str, dict[str, float]], samples: int, changes: Sequence[str]) -> str:
    """The table with what one must know to read it."""
    listed = "\n".join(f"- {name}: `{'`, `'.join(VARIANTS[name])}`" for name in VARIANTS if VARIANTS[name])
    listed = listed.replace(
        f"- {FREE}:", f"- {FREE}: each coordinate by bins across the cube (benchmarks/free_positions.py);"
    )
    seeds = ", ".join(str(seed) for seed in dict.fromkeys(run.seed for run in runs))
    steps, threads = runs[0].measured["step"], torch.get_num_threads()
    return f"""# What each choice is worth

Every variant is the stage `crops-128` of `config/raygamba-s.recipe.yaml` with one thing changed, trained on
{samples:,} objects ({steps:.0f} steps; seeds: {seeds}{"; for all: " + ", ".join(changes) if changes else ""})
and measured on held-out objects from four views: F@5mm and chamfer of the Gaussians' centres against the true surface,
PSNR of novel views. So small a budget shows which choices learn fast, not where each would end. Times: medians of all
variants run in turn on one machine, {threads} threads; a training step on one batch (without the loader), a forward
pass on four.

{table(runs, seconds)}

What was changed:

{listed}

Made by `python -m benchmarks.ablation`.
"""


if __name__ == "__main__":
    main()
