"""Several networks trained side by side on the same batches: what one step costs to prepare is paid once for all.

All draws of a step come from (seed, step), and every network counts its own steps, so that a run that was stopped, in
whatever order its states were written, goes on with the same numbers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.ablation import NEVER
from benchmarks.context_conditions import take_views, training_fault
from benchmarks.context_data import render, training_recipe
from benchmarks.context_networks import VARIANTS, Variant
from mvgamba_ros.model.cost_volume import hull_intervals, plane_sweep_cost_volume
from mvgamba_ros.model.raygamba import RayGamba
from mvgamba_ros.model.raygamba_config import RayGambaConfig
from mvgamba_ros.synthesis.shards import Shards
from mvgamba_ros.training.loop import Batch, Steps, Trainer
from mvgamba_ros.training.sample_batches import Sampling, collate, make_sample
from mvgamba_ros.training.state import save_state
from mvgamba_ros.training.train_config import TrainConfig

FAULTY = 0.5
"""Share of training objects of which some views are at fault (`context_conditions.training_fault`)."""


@dataclass(frozen=True)
class Plan:
    """What all variants have in common. ``parts`` folders of ``part`` objects are trained on; another one joins with
    every ``join`` samples, so that training starts when the first is rendered."""

    data: Path
    samples: int = 30_000
    part: int = 512
    parts: int = 12
    join: int = 1_500
    pixels: int = 96
    crop: int = 64
    width: int = 192
    views_per_step: int = 16
    precision: str = "bf16"
    save_minutes: float = 3.0

    def config(self, name: str, variant: Variant, seed: int) -> TrainConfig:
        """Depth losses alone: they are what teaches shape, and rendering costs as much as all the rest."""
        return TrainConfig(
            name=name,
            data=(str(self.data),),
            validation=str(self.data / "held"),
            model=variant.config(RayGambaConfig(size=self.crop, width=self.width)),
            sampling=Sampling(),
            seed=seed,
            samples=self.samples,
            views_per_step=self.views_per_step,
            target_views=1,
            view_counts={1: 0.15, 2: 0.25, 4: 0.45, 8: 0.15},
            learning_rate=variant.learning_rate,
            warmup=500,
            cooldown=0.2,
            ema=0.998,
            render_from=NEVER,
            perceptual="ssim",
            precision=self.precision,
            save_minutes=self.save_minutes,
        )

    def folders(self, samples: int, log: Callable[[str], None] = print) -> list[Path]:
        """The folders that are trained on after so many samples, rendered where they are missing."""
        count = min(1 + samples // self.join, self.parts)
        wanted = {f"train-{k}": training_recipe(self.pixels, self.part, k) for k in range(count)}
        render(self.data, wanted, log)
        return [self.data / name for name in wanted]


class RobotSteps(Steps):
    """Batches whose objects have some of their views at fault."""

    def __getitem__(self, step: int) -> Batch:
        c = self.config
        views = self.views(step)
        samples = []
        for k in range(max(c.views_per_step // views, 1)):
            rng = np.random.default_rng((c.seed, step, k))
            item = take_views(self.shards[int(rng.integers(len(self.shards)))], views, rng)
            if rng.random() < FAULTY:
                training_fault(item, rng)
            samples.append(make_sample(item, views, 1, c.model.size, c.model.grid, c.sampling, rng))
        sample = collate(samples)
        rays = hull_intervals(sample.inputs(), c.model)
        return Batch(sample, rays, plane_sweep_cost_volume(sample.inputs(), rays, c.model.bins))


class Learner(Trainer):
    """One variant's training, a step at a time."""

    def __init__(self, variant: Variant, config: TrainConfig, folder: Path, log: Callable[[str], None] = print) -> None:
        self.variant = variant
        self.seconds = 0.0
        super().__init__(config, folder, log)

    def make_network(self, config: TrainConfig) -> RayGamba:
        return self.variant.kind(config.model)

    def advance(self, batch: Batch) -> dict[str, float]:
        """One step; returns its losses."""
        began = time.process_time()
        losses = self._update(batch)
        self.samples += self.objects(batch)
        self.step += 1
        self.seconds += time.process_time() - began
        return losses


def learners(
    plan: Plan, names: Sequence[str], seed: int, folder: Path, log: Callable[[str], None]
) -> dict[str, Learner]:
    """One for each variant of ``names``, from its saved state where ``folder``/<name> has one."""
    return {
        name: Learner(VARIANTS[name], plan.config(name, VARIANTS[name], seed), folder / slug(name), log)
        for name in names
    }


def slug(name: str) -> str:
    return name.replace(",", "").replace(" ", "-")


def train_to(
    plan: Plan, running: dict[str, Learner], samples: int, stop: Callable[[], bool], log: Callable[[str], None] = print
) -> bool:
    """Train all until each has seen ``samples``; saves on the way and at the end. False where ``stop`` ended it."""
    saved = logged = time.monotonic()
    behind = [one for one in running.values() if one.samples < samples]
    steps: RobotSteps | None = None
    while behind and not stop():
        step = min(one.step for one in behind)
        now = [one for one in behind if one.step == step]
        folders = plan.folders(now[0].samples, log)
        if steps is None or steps.shards.folders != folders:
            steps = RobotSteps(now[0].config, Shards(folders), 0, 1)
        batch = steps[step]
        for one in now:
            losses = one.advance(batch)
            if not all(np.isfinite(value) for value in losses.values()):
                log(f"{one.config.name}: step {step} has losses that are not finite: {losses}")
        behind = [one for one in behind if one.samples < samples]
        if time.monotonic() - saved > 60 * plan.save_minutes:
            save_all(running)
            saved = time.monotonic()
        if time.monotonic() - logged > 60:
            log(f"step {step}, {now[0].samples:,} of {samples:,} samples; " + spent(running))
            logged = time.monotonic()
    save_all(running)
    return not behind


def save_all(running: dict[str, Learner]) -> None:
    for one in running.values():
        one.save()


def spent(running: dict[str, Learner]) -> str:
    """The processor's seconds on each since this process began."""
    return ", ".join(f"{name} {one.seconds:.0f} s" for name, one in running.items())


def keep_average(one: Learner, file: Path) -> None:
    """Write the averaged weights, once."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        save_state(file, {"ema": one.ema, "samples": one.samples, "step": one.step})


def averaged_network(kind: type[RayGamba], config: RayGambaConfig, file: Path) -> RayGamba:
    """A network of ``kind`` with the weights that `keep_average` wrote, in evaluation mode."""
    network = kind(config)
    network.load_state_dict(torch.load(file, weights_only=True)["ema"])
    return network.eval()
