"""What context across views is worth, by training: no blocks, 4, 12 and 24 of them, each view alone, attention.

usage: python -m benchmarks.context RUNS --data DATA [--captures DIR ...] [--seeds 0 1] [--samples 30000] [...]

MVGamba's blocks scan all views' tokens as one sequence, so that each view's prediction can use the others. Here
RayGamba is trained with several kinds of blocks (--list) side by side on the same batches, one thread, and measured on
the same held-out objects. Training has what a robot meets: 1, 2, 4 or 8 views, level rings, and of every second object
some views at fault (blurred and badly exposed, a mask bitten or grown, a pose up to 5 mm and 1 degree off). Measured
are held-out objects with 8, 4, 2 and 1 views, without texture, on level rings, with one view of four at fault, with all
poses off, with the views in any order; and captures with scans. Where a kind of blocks can be cut between the views
without training (the scan's states begun anew, attention within each view), it is measured so as well.

RUNS/plan.json has what is common to all. RUNS/seed-N/<variant>/state.pt is each training, saved every few minutes: stop
this as you like, by any signal, and start it by the same command. At a quarter, half and all of --samples
the averaged weights are kept and scored: RUNS/seed-N/scores-<samples>.json. The learning rate is level until the last
fifth. `python -m benchmarks.context_table RUNS` prints what is there at any time. Objects are rendered into DATA as
they are needed.

examples:
  python -m benchmarks.context runs/context --data data/96 --captures captures level_rings
      all variants, two seeds: about 2 h 30 min a seed on one core, and half an hour for the scores
  python -m benchmarks.context runs/context --data data/96 --only "12 blocks" "12 blocks, views apart"
      two of them; others may join later: they get the same batches
  python -m benchmarks.context runs/context --data data/96 --only "12 blocks, long sequence" ...
      tokens of 4 pixels, as many as the shipped network has; twice the time of tokens of 8
  python -m benchmarks.context runs/quick --data data/quick --samples 60 --part 32 --parts 1 --objects 8 --seeds 0
      a trial of whether it runs
"""

from __future__ import annotations

import argparse
import json
import signal
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from benchmarks.blocks import capture_cases, held_out_cases
from benchmarks.context_conditions import CONDITIONS
from benchmarks.context_data import held_out_recipes, render
from benchmarks.context_networks import USUAL, VARIANTS
from benchmarks.context_scores import Case, network_forward, score_cases
from benchmarks.context_training import Plan, averaged_network, keep_average, learners, slug, train_to
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.io.atomic_writes import write_file

MARKS = (1 / 4, 1 / 2, 1)
"""Shares of the samples at which the averaged weights are scored."""
CUT = (*(f"{name}" for name in CONDITIONS if name == "4 views" or CONDITIONS[name].one), "2 views")
"""Conditions in which networks are also measured with the ways between views cut."""
AT_INFERENCE = ", cut at inference"


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", metavar="RUNS", type=Path, nargs="?", help="folder of the runs and their scores")
    parser.add_argument("--data", type=Path, metavar="DATA", help="folder of the rendered objects")
    parser.add_argument("--captures", type=Path, nargs="*", default=[], metavar="DIR", help="folders of captures")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1], metavar="N", help="(0 1)")
    parser.add_argument("--only", nargs="+", choices=VARIANTS, metavar="NAME", help="these variants alone")
    parser.add_argument("--objects", type=int, default=64, help="held-out objects (%(default)s)")
    parser.add_argument("--list", action="store_true", help="show the variants and do nothing")
    for name in ("samples", "part", "parts", "join", "pixels", "crop", "width", "views_per_step"):
        value = getattr(Plan, name)
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=value, help="(%(default)s)")
    parser.add_argument("--precision", choices=["bf16", "fp32"], default=Plan.precision, help="(%(default)s)")
    args = parser.parse_args(argv)
    if args.list:
        for name, variant in VARIANTS.items():
            usual = "" if name in USUAL else ", where named by --only"
            print(f"{name:38s} {variant.kind.__name__}, {variant.blocks} blocks, patch {variant.patch}{usual}")
        return
    if args.runs is None or args.data is None:
        parser.error("RUNS and --data are needed: the folders of the runs and of the rendered objects")

    torch.set_num_threads(1)
    names = ("samples", "part", "parts", "join", "pixels", "crop", "width", "views_per_step", "precision")
    plan = Plan(data=args.data, **{name: getattr(args, name) for name in names})
    check_plan(plan, args.runs / "plan.json")
    stopping = Stopping()
    for seed in args.seeds:
        folder = args.runs / f"seed-{seed}"
        if not run_seed(plan, args.only or USUAL, seed, folder, args.objects, args.captures, stopping):
            print("stopped; the same command goes on from here", flush=True)
            return
    print(f"done; see: python -m benchmarks.context_table {args.runs}", flush=True)


class Stopping:
    """True once the process got SIGTERM or SIGINT: the step in work is finished and saved."""

    def __init__(self) -> None:
        self.asked_for = False
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, self._handle)

    def _handle(self, *_: object) -> None:
        self.asked_for = True

    def __call__(self) -> bool:
        return self.asked_for


def check_plan(plan: Plan, file: Path) -> None:
    """Write the plan, or raise BAD_OPTION where the runs were begun with another one. Data may have moved."""
    values = {name: value for name, value in asdict(plan).items() if name not in ("data", "save_minutes")}
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        write_file(file, json.dumps(values, indent=1).encode())
    before = json.loads(file.read_text())
    for name, value in values.items():
        if before.get(name) != value:
            raise ReconstructionError(
                ErrorCode.BAD_OPTION,
                f"{file}: begun with {name} {before.get(name)}, not {value}: give that, or another folder for the runs",
            )


def run_seed(
    plan: Plan,
    names: Sequence[str],
    seed: int,
    folder: Path,
    objects: int,
    captures: Sequence[Path],
    stop: Callable[[], bool],
) -> bool:
    """Train and score one seed of the variants ``names``; False where ``stop`` ended it."""
    render(plan.data, held_out_recipes(plan.pixels, objects), log)
    cases = held_out_cases(plan.data, objects) + capture_cases(captures)
    running = learners(plan, names, seed, folder, log)
    for share in MARKS:
        samples = max(round(plan.samples * share), 1)
        kept = {name: folder / f"averaged-{samples:06d}" / f"{slug(name)}.pt" for name in names}
        waiting = {name: one for name, one in running.items() if not kept[name].exists()}
        if not train_to(plan, waiting, samples, stop, log):
            return False
        for name, one in waiting.items():
            keep_average(one, kept[name])
        if not score_mark(plan, kept, seed, folder / f"scores-{samples:06d}.json", cases, stop):
            return False
    return True


def score_mark(
    plan: Plan, kept: dict[str, Path], seed: int, file: Path, cases: Sequence[Case], stop: Callable[[], bool]
) -> bool:
    """Score the averaged weights ``kept`` on all ``cases``, and cut between views on those of `CUT`."""
    half = plan.precision == "bf16"
    whole, cut = {}, {}
    for name, path in kept.items():
        variant = VARIANTS[name]
        config = plan.config(name, variant, seed).model
        whole[name] = network_forward(averaged_network(variant.kind, config, path), half)
        if variant.apart is not None:
            cut[name + AT_INFERENCE] = network_forward(averaged_network(variant.apart, config, path), half)
    base = plan.config("", next(iter(VARIANTS.values())), seed).model
    scores = score_cases(cases, whole, base, file, stop, log)
    if cut:
        scores = score_cases([case for case in cases if case.name in CUT], cut, base, file, stop, log)
    return all(set(whole) <= set(scores.get(case.name, {})) for case in cases) and not stop()


def log(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main()
