"""Train the network on rendered objects, or export a run's weights.

`mvgamba train CONFIG -o RUN` trains until the schedule's end, saves its state in RUN every few minutes and when it is
interrupted, and goes on from there when it is started again. TensorBoard reads RUN; RUN/validation.csv has the
held-out metrics.
`mvgamba train --export FILE -o RUN` writes the averaged weights of a run as a checkpoint.
"""

from __future__ import annotations

import argparse
import signal
from pathlib import Path

EXAMPLES = """examples:
  mvgamba data render data/train --seed 3 --count 6016 --size 144 --workers 2
  mvgamba data render data/val --seed 2 --count 128 --size 144
  mvgamba train config/raygamba-s.train.yaml -o runs/raygamba-s
      on this machine; stop and start it as you like
  accelerate launch --num_processes 4 -m mvgamba_ros.cli train config/raygamba-s.train.yaml -o runs/raygamba-s
      on several GPUs or nodes
  mvgamba train config/raygamba-s.train.yaml -o runs/wide --set learning_rate=4e-4 --set model.width=256
      with other settings
  mvgamba train --export raygamba-s.safetensors -o runs/raygamba-s
      use it with: mvgamba reconstruct CAPTURE --checkpoint raygamba-s.safetensors
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "config", metavar="CONFIG", type=Path, nargs="?", help="YAML file, see config/raygamba-s.train.yaml"
    )
    parser.add_argument("-o", "--out", metavar="RUN", type=Path, required=True, help="folder of the run")
    parser.add_argument(
        "--set", metavar="KEY=VALUE", action="append", default=[], help="change a setting; sections by dots"
    )
    parser.add_argument("--until-step", metavar="N", type=int, help="stop after step N, before the schedule's end")
    parser.add_argument(
        "--export", metavar="FILE", type=Path, help="write the run's weights to FILE and do nothing else"
    )


def run(args: argparse.Namespace) -> int:
    from mvgamba_ros.errors import ErrorCode, ReconstructionError

    if args.export is not None:
        from mvgamba_ros.training.export import export

        recipe = export(args.out, args.export)
        print(f"{args.export}: step {recipe['step']}, {recipe['samples']:,} objects, {recipe['metrics']}")
        return 0
    if args.config is None:
        raise ReconstructionError(ErrorCode.BAD_OPTION, "CONFIG is missing; try config/raygamba-s.train.yaml")
    from mvgamba_ros.process import prepare_process

    prepare_process()
    from mvgamba_ros.training.loop import Trainer
    from mvgamba_ros.training.train_config import load

    trainer = Trainer(load(args.config, args.set), args.out, say=lambda line: print(line, flush=True))

    def stop(*_: object) -> None:
        trainer.stopping = True

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    trainer.run(args.until_step)
    return 0
