"""A training run as one YAML file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.model.raygamba import RayGambaConfig
from mvgamba_ros.training.augment import Augmentation
from mvgamba_ros.training.batch import Sampling
from mvgamba_ros.training.losses import LossWeights


class _Loader(yaml.SafeLoader):
    """With YAML 1.2's floats: 4e-4 is one, where YAML 1.1 wants 4.0e-4 and reads a string."""


_Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), "-+0123456789")


@dataclass(frozen=True)
class TrainConfig:
    """``views_per_step`` is the budget of input views in a step: 32 are 8 objects of 4 views or 4 of 8.

    ``view_counts``: how often each number of input views is drawn. ``render_from``: the step at which rendering losses
    join; depth alone is several times cheaper and right for the beginning. ``samples``: objects to train on in all;
    the rate rises over the first ``warmup`` of them and falls over the last ``cooldown`` share. In between nothing
    depends on ``samples``, so it may be changed while a run is not yet cooling down. ``start``: a checkpoint's file,
    whose weights the run begins with, in a network as deep or deeper (`training.start`). ``train_only``: the network's
    parts that learn ("decoder", "cascade_head", ...); all of them when empty. ``optimizer``: "adamw" or "muon"
    (`training.optimizers`). ``perceptual``: the loss of that name is "lpips" or "ssim", or the first where its
    weights are on the machine and else the second, "auto"; a run keeps the one it began with. ``precision``: "no",
    or "bf16" for products in bfloat16, worth it where the processor or the GPU has them.
    """

    name: str
    data: str
    validation: str
    model: RayGambaConfig = field(default_factory=RayGambaConfig)
    sampling: Sampling = field(default_factory=Sampling)
    losses: LossWeights = field(default_factory=LossWeights)
    start: str | None = None
    train_only: list[str] = field(default_factory=list)
    seed: int = 0
    samples: int = 60_000
    views_per_step: int = 32
    accumulate: int = 1
    target_views: int = 3
    view_counts: dict[int, float] = field(default_factory=lambda: {1: 0.05, 2: 0.15, 3: 0.15, 4: 0.4, 6: 0.1, 8: 0.15})
    optimizer: str = "adamw"
    learning_rate: float = 6e-4
    weight_decay: float = 0.05
    warmup: int = 1_000
    cooldown: float = 0.3
    clip: float = 1.0
    ema: float = 0.999
    render_from: int = 0
    perceptual: str = "auto"
    precision: str = "no"
    save_minutes: float = 3.0
    validate_minutes: float = 10.0

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def from_dict(values: dict[str, Any]) -> TrainConfig:
    """Build a config; an unknown key or a wrong section raises BAD_OPTION naming it."""
    values = dict(values)
    sections: dict[str, type] = {"model": RayGambaConfig, "sampling": Sampling, "losses": LossWeights}
    try:
        for key, kind in sections.items():
            section: dict[str, Any] = dict(values.get(key) or {})
            for name, value in section.items():
                if isinstance(value, list):  # YAML has no tuples
                    section[name] = tuple(value)
            if isinstance(section.get("augmentation"), dict):
                section["augmentation"] = Augmentation(**section["augmentation"])
            values[key] = kind(**section)
        return TrainConfig(**values)
    except TypeError as error:
        raise ReconstructionError(ErrorCode.BAD_OPTION, f"training config: {error}") from error


def load(path: Path, changes: Sequence[str] = ()) -> TrainConfig:
    """Read a YAML file and apply ``changes``, each "key=value" or "section.key=value" with a YAML value."""
    try:
        values = yaml.load(path.read_text(), _Loader)
    except (OSError, yaml.YAMLError) as error:
        raise ReconstructionError(ErrorCode.BAD_OPTION, f"training config {path}: {error}") from error
    if not isinstance(values, dict):
        raise ReconstructionError(ErrorCode.BAD_OPTION, f"training config {path}: expected a mapping of settings")
    for change in changes:
        key, equals, value = change.partition("=")
        if not equals:
            raise ReconstructionError(ErrorCode.BAD_OPTION, f"'{change}': write it as key=value")
        *sections, last = key.split(".")
        inner = values
        for section in sections:
            inner = inner.setdefault(section, {})
        inner[last] = yaml.load(value, _Loader)
    return from_dict(values)
