"""Run a recipe in a folder: render what is missing, train stage after stage, export; resumable at any point.

RUN/1-NAME, RUN/2-NAME, ... hold the stages: ``state.pt`` while one is trained, ``NAME.safetensors`` when it is done.
Finished shards and stages are skipped, the stage at hand resumes from its state. RUN/NAME.safetensors is the result.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.io.lock import locked
from mvgamba_ros.io.results import check_writable
from mvgamba_ros.training.recipe import KINDS, Log, Plan, Stage, StageTrainer
from mvgamba_ros.training.state import load_state
from mvgamba_ros.types import Counted

NEUTRAL = ("loaders", "save_minutes", "validate_minutes", "start")
"""Settings that may differ from a finished stage's: they change nothing of it, or, the start, follow from the run."""


@dataclass(frozen=True)
class StageRun:
    """A stage in a run's folder."""

    number: int
    """From 1."""
    stage: Stage
    config: Any
    """Its settings, with the weights that it begins with."""
    folder: Path
    before: Path | None
    """The folder of the stage before."""

    @property
    def weights(self) -> Path:
        """Its checkpoint, which is there when it is finished."""
        return self.folder / f"{self.stage.name}.safetensors"

    @property
    def state(self) -> Path:
        return self.folder / "state.pt"


class RecipeRun:
    """One recipe in one folder. Of several processes (torchrun, `accelerate launch`) the first renders and exports."""

    def __init__(self, plan: Plan, folder: Path, workers: int = 1, log: Log = print) -> None:
        self.plan, self.folder, self.workers, self.log = plan, folder, workers, log
        self.main = int(os.environ.get("RANK", "0")) == 0
        self.result = folder / f"{plan.recipe.name}.safetensors"
        self.stop_requested = False
        self._trainer: StageTrainer | None = None

    def stop(self, *_: object) -> None:
        """For a signal's handler: a stage in training finishes its step and saves its state; anything else is
        interrupted at once by KeyboardInterrupt."""
        self.stop_requested = True
        if self._trainer is None:
            raise KeyboardInterrupt
        self._trainer.stopping = True

    def run(self, until_step: int | None = None) -> bool:
        """Do what is not done yet. ``until_step``: end the stage at hand after that step and begin no other. False
        where it was stopped, or ended so.

        Raises BAD_OPTION where the folder holds data or stages of other settings.
        """
        check_writable(self.folder)
        with locked(self.folder) if self.main else nullcontext():
            return self._run(until_step)

    def _run(self, until_step: int | None) -> bool:
        kind = self.plan.kind
        for folder, data in self.plan.render.items():
            if self.main and kind.missing(folder, data):
                kind.render(folder, data, self.workers, self.log)
            _wait_until(lambda folder=folder, data=data: not kind.missing(folder, data))  # type: ignore[misc]
        for one in self.stages():
            if one.weights.exists():
                _check_settings(one)
                self._say(f"{self._title(one)}: finished")
            elif not self._train(one, until_step):
                return False
        if self.main:
            _copy(one.weights, self.result)
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
        self._say(f"checkpoint: {self.result}")
        return True

    def stages(self) -> list[StageRun]:
        found: list[StageRun] = []
        for stage, config in zip(self.plan.recipe.stages, self.plan.configs, strict=True):
            number, before = len(found) + 1, found[-1] if found else None
            if before is not None and not stage.continues:
                config = replace(config, start=str(before.weights))
            folder = self.folder / f"{number}-{stage.name}"
            found.append(StageRun(number, stage, config, folder, before.folder if before else None))
        return found

    def describe(self) -> str:
        """The plan and how far it is done, a line for each data folder and stage."""
        lines = [f"{self.plan.recipe.name}: {len(self.plan.render)} data folders, {len(self.plan.configs)} stages"]
        for path, data in self.plan.render.items():
            missing = len(self.plan.kind.missing(path, data))
            lines.append(f"render {path}: {data.count:,} objects, seed {data.seed}, {missing} shards to write")
        for one in self.stages():
            done = "finished" if one.weights.exists() else "begun" if one.state.exists() else "not begun"
            begins = "continues" if one.stage.continues else f"from {one.config.start or 'random weights'}"
            changes = [f"{key}: {_short(value)}" for key, value in one.stage.changes.items()]
            if one.stage.until_step is not None:
                changes.append(f"until step {one.stage.until_step}")
            lines.append(f"{self._title(one)} ({done}): {'; '.join([begins, *changes])}")
        return "\n".join([*lines, f"checkpoint: {self.result}"])

    def _title(self, one: StageRun) -> str:
        return f"stage {one.number} of {len(self.plan.configs)}, {one.stage.name}"

    def _say(self, line: str) -> None:
        if self.main:
            self.log(line)

    def _train(self, one: StageRun, until_step: int | None) -> bool:
        """Whether the stage is finished now, its weights exported."""
        title = self._title(one)
        self._say(f"{title}: training in {one.folder}")
        one.folder.mkdir(parents=True, exist_ok=True)
        if one.stage.continues and one.before is not None:
            if self.main and not one.state.exists():
                _copy(one.before / one.state.name, one.state)
            _wait_until(one.state.exists)
        trainer = self.plan.kind.trainer(one.config, one.folder, lambda line: self.log(_entitled(title, line)))
        trainer.stopping = self.stop_requested
        self._trainer = trainer
        last = one.stage.until_step
        early = until_step is not None and (last is None or until_step < last)
        finished = trainer.run(until_step if early else last)
        self._trainer = None
        if finished and early and not trainer.done:
            self._say(f"{title}: ended at step {until_step}; start again to go on from there")
        if not finished or (early and not trainer.done):
            return False
        if self.main:
            self.plan.kind.export(one.folder, one.weights)
        _wait_until(one.weights.exists)
        return True


def _entitled(title: str, line: str) -> str:
    text = f"{title}: {line}"
    return Counted(text, line.fraction) if isinstance(line, Counted) else text


def _wait_until(done: Callable[[], bool]) -> None:
    """Other processes wait for the main one's files, for hours if need be, which a barrier would not."""
    while not done():
        time.sleep(1.0)


def _check_settings(one: StageRun) -> None:
    """A finished stage has the settings of the recipe, or the run would not be what the recipe describes."""
    if not one.state.exists():
        return
    saved = load_state(one.state)["config"]
    for key, value in asdict(one.config).items():
        if key in NEUTRAL or (key == "perceptual" and value == "auto"):
            continue
        if key not in saved or saved[key] != value:
            raise ReconstructionError(
                ErrorCode.BAD_OPTION,
                f"{one.folder} was trained with another {key}: {saved.get(key)}, not {value}; choose another folder "
                "for this run, or go on with that setting",
            )


def _copy(source: Path, target: Path) -> None:
    part = target.with_name(f".{target.name}.part")
    shutil.copyfile(source, part)
    part.replace(target)


def export_latest(run: Path, out: Path) -> dict[str, Any]:
    """Write the averaged weights of the latest stage in ``run`` (a recipe's run, or one stage's folder) to ``out``, in
    whatever state it is; returns the recipe in its header. Raises BAD_CHECKPOINT where nothing was trained yet."""
    stages = sorted(run.glob("[0-9]*-*/state.pt"), key=lambda path: int(path.parent.name.partition("-")[0]))
    file = stages[-1] if stages else run / "state.pt"
    if not file.is_file():
        raise ReconstructionError(
            ErrorCode.BAD_CHECKPOINT, f"{file}: no such file; train first: mvgamba train RECIPE -o {run}"
        )
    saved = load_state(file)["config"].keys()
    kind = next((kind for kind in KINDS.values() if saved <= {row.name for row in fields(kind.settings)}), None)
    if kind is None:
        raise ReconstructionError(ErrorCode.BAD_CHECKPOINT, f"{file}: of a run of another version of this package")
    return kind.export(file.parent, out)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
