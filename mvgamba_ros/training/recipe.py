"""A training recipe: the data to render and the stages to train, one YAML file for one checkpoint."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Protocol

from mvgamba_ros.config.loading import load_config, merge_config
from mvgamba_ros.config.parsing import parse_change
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.synthesis.shards import DataRecipe, OrbitRecipe, ShardRecipe, missing_shards, write_shards
from mvgamba_ros.synthesis.sources import open_source
from mvgamba_ros.training.export import export
from mvgamba_ros.training.instance_shards import InstanceRecipe, missing_instances, write_instances
from mvgamba_ros.training.instance_train_config import InstanceTrainConfig
from mvgamba_ros.training.instance_trainer import InstanceTrainer, export_instances
from mvgamba_ros.training.loop import Trainer
from mvgamba_ros.training.objectness_scenes import SceneRecipe, missing_scenes, write_scenes
from mvgamba_ros.training.objectness_trainer import ObjectnessTrainConfig, ObjectnessTrainer, export_objectness
from mvgamba_ros.training.published_config import PublishedTrainConfig
from mvgamba_ros.training.published_trainer import PublishedTrainer, export_published
from mvgamba_ros.training.train_config import TrainConfig

NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}"
"""Of a checkpoint or a stage: it becomes the name of a file."""
Log = Callable[[str], None]


@dataclass(frozen=True)
class Stage:
    """One run of a recipe. It begins with the weights of the stage before, if there is one."""

    name: str
    """Of its folder in the run: letters, digits, dashes. ``--set NAME.KEY=VALUE`` changes this stage alone."""
    continues: bool = False
    """Goes on with the state of the stage before, optimizer and step included, instead of a warm start from its
    averaged weights."""
    until_step: int | None = None
    """Ends after that step, before its schedule does."""
    changes: dict[str, Any] = field(default_factory=dict)
    """Settings that differ from those of the stage before."""


@dataclass(frozen=True)
class Recipe:
    """How one checkpoint is made."""

    name: str
    """Of the checkpoint: RUN/NAME.safetensors."""
    kind: str = "network"
    """What is trained: "network", the reconstructor's (`TrainConfig`), "published", MVGamba as published
    (`PublishedTrainConfig`), "objectness", the default segmenter's (`ObjectnessTrainConfig`), or "instances", the
    multi-view segmenter's (`InstanceTrainConfig`)."""
    render: dict[str, Any] = field(default_factory=dict)
    """Data folder -> what it holds, a `DataRecipe`, an `OrbitRecipe`, a `SceneRecipe` or an `InstanceRecipe`. Folders
    that stages read and this does not name must be there."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Settings of the first stage."""
    stages: tuple[Stage, ...] = ()
    """In order; each takes the settings of the one before with its own changes."""


class StageTrainer(Protocol):
    """What trains one stage in a folder and resumes from the state there."""

    stopping: bool

    @property
    def done(self) -> bool:
        """Whether the schedule is at its end."""
        ...

    def run(self, until_step: int | None = None) -> bool:
        """Train to the end, or to ``until_step``; False where ``stopping`` ended it before."""
        ...


@dataclass(frozen=True)
class Kind:
    """What trains a recipe's stages and renders their data."""

    settings: type
    """Dataclass of a stage's settings, with ``name``, ``data`` and ``start`` among them."""
    data: type
    """Dataclass of what a data folder holds."""
    missing: Callable[[Path, Any], Sequence[int]]
    """Shards that a folder lacks."""
    render: Callable[[Path, Any, int, Log], None]
    """Writes them, in so many processes."""
    trainer: Callable[[Any, Path, Log], StageTrainer]
    """A trainer of these settings in a folder."""
    export: Callable[[Path, Path], dict[str, Any]]
    """Writes the weights of the stage in a folder to a file, which appears whole; returns the recipe in its header."""
    can_continue: bool
    """Whether a stage may go on with the state of the one before."""


def _render_objects(folder: Path, recipe: ShardRecipe, workers: int, log: Log) -> None:
    write_shards(folder, open_source(recipe.source, recipe.seed, recipe.count), recipe, workers, log)


KINDS: dict[str, Kind] = {
    "network": Kind(
        settings=TrainConfig,
        data=DataRecipe,
        missing=missing_shards,
        render=_render_objects,
        trainer=Trainer,
        export=export,
        can_continue=True,
    ),
    "published": Kind(
        settings=PublishedTrainConfig,
        data=OrbitRecipe,
        missing=missing_shards,
        render=_render_objects,
        trainer=PublishedTrainer,
        export=export_published,
        can_continue=True,
    ),
    "objectness": Kind(
        settings=ObjectnessTrainConfig,
        data=SceneRecipe,
        missing=missing_scenes,
        render=write_scenes,
        trainer=ObjectnessTrainer,
        export=export_objectness,
        can_continue=False,  # its learning rate goes through one cycle
    ),
    "instances": Kind(
        settings=InstanceTrainConfig,
        data=InstanceRecipe,
        missing=missing_instances,
        render=write_instances,
        trainer=InstanceTrainer,
        export=export_instances,
        can_continue=False,  # likewise
    ),
}


@dataclass(frozen=True)
class Plan:
    """A recipe, checked and with all settings filled in."""

    recipe: Recipe
    kind: Kind
    render: dict[Path, Any]
    """Data folders that the stages read and the recipe renders."""
    configs: tuple[Any, ...]
    """The settings of each stage, of the kind's type."""


def load_plan(file: Path, changes: Sequence[str] = ()) -> Plan:
    """Read a recipe. ``changes``: "key=value" for every stage, "STAGE.key=value" for one, as after ``--set``.

    Raises BAD_OPTION for what does not fit, naming file, stage and key, and for data folders that are neither there
    nor rendered by the recipe.
    """
    recipe = load_config(Recipe, file)
    if recipe.kind not in KINDS:
        raise _bad(f"{file}: kind '{recipe.kind}' is not one of {', '.join(KINDS)}")
    kind = KINDS[recipe.kind]
    if not re.fullmatch(NAME, recipe.name):
        raise _bad(
            f"{file}: name {recipe.name!r} is that of a file: write at most 100 letters, digits, dashes and dots"
        )
    _check_stages(file, recipe, kind)
    render: dict[Path, Any] = {
        Path(folder): merge_config(kind.data, [(f"{file}: render {folder}", {} if values is None else values)])
        for folder, values in recipe.render.items()
    }
    configs = _stage_configs(file, recipe, kind, changes)
    read = {Path(folder) for config in configs for folder in _folders(config)}
    for folder in sorted(read - set(render)):
        if not folder.is_dir():
            raise _bad(
                f"{folder}: no such folder, and {file} does not render it; name it there, or set data to another"
            )
    return Plan(recipe, kind, {folder: data for folder, data in render.items() if folder in read}, configs)


def _stage_configs(file: Path, recipe: Recipe, kind: Kind, changes: Sequence[str]) -> tuple[Any, ...]:
    names = [stage.name for stage in recipe.stages]
    layers = [(str(file), {"name": recipe.name}), (f"{file}: settings", recipe.settings)]
    configs: list[Any] = []
    for stage in recipe.stages:
        layers.append((f"{file}: stage {stage.name}", stage.changes))
        here = list(layers)
        for change in changes:
            key = change.partition("=")[0]
            target = next((name for name in names if key.startswith(f"{name}.")), None)
            if target in (None, stage.name):
                own = change if target is None else change.removeprefix(f"{target}.")
                here.append((f"--set {change}", parse_change(own)))
        configs.append(merge_config(kind.settings, here))
    # only the first stage may begin with weights from elsewhere
    return (configs[0], *(replace(config, start=None) for config in configs[1:]))


def _check_stages(file: Path, recipe: Recipe, kind: Kind) -> None:
    if not recipe.stages:
        raise _bad(f"{file} has no stages: write at least one, e.g. 'stages: [{{name: all}}]'")
    seen: set[str] = set()
    for index, stage in enumerate(recipe.stages):
        if not re.fullmatch(NAME, stage.name) or "." in stage.name or stage.name in seen:
            raise _bad(f"{file}: stage name {stage.name!r} is used before, or not of letters, digits and dashes")
        if stage.name in {row.name for row in fields(kind.settings)}:
            raise _bad(f"{file}: stage name '{stage.name}' is that of a setting; choose another")
        if stage.until_step is not None and stage.until_step < 1:
            raise _bad(f"{file}: stage {stage.name}: until_step {stage.until_step} must be 1 or more")
        if stage.continues and (index == 0 or not kind.can_continue):
            why = "is the first" if index == 0 else f"is of kind {recipe.kind}"
            raise _bad(f"{file}: stage {stage.name} {why} and cannot continue another")
        seen.add(stage.name)


def _folders(config: Any) -> list[str]:
    return [*config.data, *([config.validation] if hasattr(config, "validation") else [])]


def _bad(message: str) -> ReconstructionError:
    return ReconstructionError(ErrorCode.BAD_OPTION, message)
