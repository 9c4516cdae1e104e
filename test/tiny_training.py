"""A tiny network, its training settings and three objects to train it on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from mvgamba_ros.model.raygamba import RayGambaConfig
from mvgamba_ros.synthesis.families import Procedural
from mvgamba_ros.synthesis.shards import DataRecipe, write_shards
from mvgamba_ros.training.loop import Trainer
from mvgamba_ros.training.sample_batches import Sampling
from mvgamba_ros.training.train_config import TrainConfig

EXACT = Sampling(augmented=0.0, mirrored=0.0)
TINY = RayGambaConfig(size=96, width=32, skip=16, bins=8, orders=("rows", "across_reversed"))
CASCADED = replace(TINY, cascade_positions=8)


def write_three_objects(folder: Path) -> None:
    recipe = DataRecipe(seed=5, count=3, per_shard=3)
    write_shards(folder, Procedural(5, 3), recipe, log=lambda line: None)


def config(data: Path, **changes: object) -> TrainConfig:
    base = TrainConfig(
        name="tiny", data=(str(data),), validation=str(data), model=TINY, samples=64, views_per_step=4, target_views=1,
        view_counts={2: 1.0}, warmup=6, validate_minutes=1e6,
    )  # fmt: skip
    return replace(base, **changes)


def weights(trainer: Trainer) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in trainer.network.parameters()])
