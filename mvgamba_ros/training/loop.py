"""The training run of RayGamba: its batches and its losses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import Dataset

from mvgamba_ros.model.cost_volume import Intervals, hull_intervals, plane_sweep_cost_volume
from mvgamba_ros.model.raygamba import RayGamba
from mvgamba_ros.synthesis.shards import Shards
from mvgamba_ros.training.losses import depth_losses, render_losses
from mvgamba_ros.training.optimizers import make_optimizers
from mvgamba_ros.training.sample_batches import Sample, collate, make_sample
from mvgamba_ros.training.train_config import TrainConfig, check_train_config, from_dict
from mvgamba_ros.training.training_run import TrainingRun
from mvgamba_ros.training.validate import validate
from mvgamba_ros.training.warm_start import freeze_except, warm_start


@dataclass(frozen=True)
class Batch:
    """What one micro-step takes: samples, and of their crops the hull intervals along rays and the plane-sweep cost
    volume, in which nothing is learned."""

    sample: Sample
    rays: Intervals
    agreement: Tensor | None


class Steps(Dataset[Batch]):
    """Item n is this rank's share of the batch of micro-step n. The intervals are made here too, so that the loader's
    process does it while the trainer's learns from the batch before."""

    def __init__(self, config: TrainConfig, shards: Shards, rank: int, world: int) -> None:
        self.config, self.shards, self.rank, self.world = config, shards, rank, world

    def __len__(self) -> int:
        return 2**31

    def views(self, step: int) -> int:
        counts = self.config.view_counts
        rng = np.random.default_rng((self.config.seed, step))
        chance = np.array(list(counts.values()), float)
        return int(rng.choice(list(counts), p=chance / chance.sum()))

    def __getitem__(self, step: int) -> Batch:
        c = self.config
        views = self.views(step)
        objects = range(max(c.views_per_step // views, 1))
        samples = []
        for k in objects[self.rank :: self.world]:
            rng = np.random.default_rng((c.seed, step, k))
            item = self.shards[int(rng.integers(len(self.shards)))]
            samples.append(make_sample(item, views, c.target_views, c.model.size, c.model.grid, c.sampling, rng))
        sample = collate(samples)
        rays = hull_intervals(sample.inputs(), c.model)
        wanted = c.model.use_consistency
        agreement = plane_sweep_cost_volume(sample.inputs(), rays, c.model.bins) if wanted else None
        return Batch(sample, rays, agreement)


def _fixed_settings(config: TrainConfig) -> dict[str, Any]:
    """The settings that cannot change while a run goes on, by their names for ``--set``. Not the crops' size: it is in
    no weight, and small crops first are learned from faster."""
    model = {f"model.{name}": value for name, value in config.model.to_dict().items() if name != "size"}
    settings = ("optimizer", "train_only", "perceptual")
    return {**model, **{name: getattr(config, name) for name in settings}}


class Trainer(TrainingRun[TrainConfig]):
    """Trains `RayGamba`."""

    network_type = RayGamba

    def check(self, config: TrainConfig) -> None:
        check_train_config(config)

    def make_network(self, config: TrainConfig) -> RayGamba:
        return self.network_type(config.model)

    def warm_start(self, network: RayGamba, file: Path) -> dict[str, Any]:
        return warm_start(network, file)

    def make_optimizers(self, network: nn.Module) -> list[Optimizer]:
        c = self.config
        freeze_except(network, c.train_only)
        return make_optimizers(network, c.optimizer, c.learning_rate, c.weight_decay)

    def steps(self) -> Steps:
        acc = self.accelerator
        return Steps(self.config, Shards(self.config.data), acc.process_index, acc.num_processes)

    def objects(self, batch: Batch) -> int:
        return max(self.config.views_per_step // batch.sample.rgb.shape[1], 1)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        c = self.config
        output = self.network(batch.sample.inputs(), batch.rays, batch.agreement)
        losses = depth_losses(output, batch.sample, c.losses)
        if self.step >= c.render_from:
            losses |= render_losses(output, batch.sample, c.perceptual)
        return losses

    def measure(self) -> dict[str, float]:
        return validate(self.averaged(), Shards(self.config.validation), self.config)

    def fixed_settings(self, values: dict[str, Any]) -> dict[str, Any]:
        return _fixed_settings(from_dict(values))
