"""Train a network by a recipe: render its data, train stage after stage, export the checkpoint.

`mvgamba train RECIPE -o RUN` does all of it, and what is done already it skips: stop it when you like and start it
again, a killed one loses a few minutes. At the end RUN/<name>.safetensors is the checkpoint. TensorBoard reads RUN;
RUN/<stage>/validation.csv has a stage's held-out metrics. A plain run is a recipe of one stage.
`mvgamba train --export FILE -o RUN` writes the averaged weights of a run so far.
"""

from __future__ import annotations

import argparse
import signal
from pathlib import Path

from mvgamba_ros.cli._flags import positive

EXAMPLES = """examples:
  mvgamba train config/raygamba-s.recipe.yaml -o runs/raygamba-s --dry-run
      what would be rendered and trained, and how far it is
  mvgamba train config/raygamba-s.recipe.yaml -o runs/raygamba-s
      the checkpoint in the package: a day and more on two cores
  accelerate launch --num_processes 4 -m mvgamba_ros.cli train config/raygamba-s.recipe.yaml -o runs/raygamba-s
      on several GPUs or nodes
  mvgamba train config/raygamba-s.recipe.yaml -o runs/wide --set learning_rate=4e-4 --set crops-96.samples=20000
      other settings: of all stages, and of the stage crops-96 alone
  mvgamba train config/objectness.recipe.yaml -o runs/objectness
      the segmenter's objectness network
  mvgamba train config/published-tiny.recipe.yaml -o runs/tiny
      MVGamba as published, so small that it overfits an object in minutes; --set preset=release for the whole
  mvgamba train --export trial.safetensors -o runs/raygamba-s
      its weights so far; use them with: mvgamba reconstruct CAPTURE -o OUT --checkpoint trial.safetensors
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare this subcommand's arguments on ``parser``."""
    parser.add_argument(
        "recipe", metavar="RECIPE", type=Path, nargs="?", help="YAML file, see config/raygamba-s.recipe.yaml"
    )
    parser.add_argument("-o", "--out", metavar="RUN", type=Path, required=True, help="folder of the run")
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="change a setting of all stages, sections by dots; STAGE.KEY=VALUE of one stage",
    )
    parser.add_argument("--workers", metavar="N", type=positive, default=2, help="processes that render (%(default)s)")
    parser.add_argument(
        "--until-step", metavar="N", type=positive, help="end the stage at hand after step N, and the run"
    )
    parser.add_argument("--dry-run", action="store_true", help="print the plan and do nothing")
    parser.add_argument("--export", metavar="FILE", type=Path, help="write the run's weights to FILE and do no more")


def run(args: argparse.Namespace) -> int:
    """Run this subcommand with parsed ``args`` and return the exit status."""
    from mvgamba_ros.errors import ErrorCode, ReconstructionError

    if args.export is None and args.recipe is None:
        raise ReconstructionError(ErrorCode.BAD_OPTION, "RECIPE is missing; try config/raygamba-s.recipe.yaml")
    from mvgamba_ros.process import prepare_process

    prepare_process()
    from mvgamba_ros.cli._progress import ProgressLine
    from mvgamba_ros.training.recipe import load_plan
    from mvgamba_ros.training.recipe_run import RecipeRun, export_latest

    if args.export is not None:
        recipe = export_latest(args.out, args.export)
        samples = f", {recipe['samples']:,} samples, {recipe['metrics']}" if "samples" in recipe else ""
        print(f"{args.export}: step {recipe.get('step', recipe.get('steps'))}{samples}")
        return 0
    bar = ProgressLine()
    work = RecipeRun(load_plan(args.recipe, args.set), args.out, args.workers, bar.log)
    if args.dry_run:
        print(work.describe())
        return 0
    before = {number: signal.signal(number, work.stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        work.run(args.until_step)
    except KeyboardInterrupt:
        bar.log("stopped; start again to go on from there")
    finally:
        bar.close()
        for number, handler in before.items():
            signal.signal(number, handler)
    return 0
