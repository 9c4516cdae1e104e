"""Train the instance network of the multi-view segmenter on the examples of `instance_examples`.

One run lies in a folder: ``state.pt`` is saved every few minutes and holds everything that the next process needs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mvgamba_ros.config.loading import merge_config
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.kernels.autocast import has_bfloat16
from mvgamba_ros.segmentation.multiview.instance_network import InstanceNetwork, load, save
from mvgamba_ros.segmentation.multiview.window_layers import ALLOWED
from mvgamba_ros.training.instance_losses import disturbed, losses_of
from mvgamba_ros.training.instance_shards import BatchesAhead, ExampleFiles
from mvgamba_ros.training.instance_train_config import InstanceTrainConfig
from mvgamba_ros.training.state import check_settings, load_state, save_state, state_of_run
from mvgamba_ros.types import Counted


class InstanceTrainer:
    """A run in a folder, resumed where it has a state. Raises BAD_OPTION for fewer than two files of examples and for a
    state of other settings."""

    def __init__(self, config: InstanceTrainConfig, folder: Path, log: Callable[[str], None] = print) -> None:
        self.config, self.folder, self.log = config, folder, log
        files = [file for part in config.data for file in sorted(Path(part).glob("examples_[0-9]*.npz"))]
        if len(files) < 2:
            raise ReconstructionError(
                ErrorCode.BAD_OPTION, f"{', '.join(config.data)}: fewer than two files of examples; one is held out"
            )
        self.held, self.examples = ExampleFiles(files[:1]), ExampleFiles(files[1:])
        self.generator = torch.Generator().manual_seed(config.seed)
        torch.manual_seed(config.seed)
        folder.mkdir(parents=True, exist_ok=True)
        self.state_file = folder / "state.pt"
        resumed = self.state_file.exists()
        self.network = InstanceNetwork(config.widths, config.rounds)
        if config.start is not None and not resumed:
            self.network.load_state_dict(load(Path(config.start)).state_dict())
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer,
            config.learning_rate,
            total_steps=config.steps,
            pct_start=max(config.warmup, 2.0 / config.steps),
        )
        self.average = torch.optim.swa_utils.AveragedModel(self.network, avg_fn=_mean_of_last)
        self.step = 0
        self.losses: dict[str, float] = {}
        self.stopping = False
        """Set it from a signal's handler: the step in work is finished, the state saved, and `run` returns."""
        if resumed:
            self._resume()
        self.next_batch = BatchesAhead(self.examples, self._draw, self.step)

    def run(self, until_step: int | None = None) -> bool:
        """Train to the last step, or to ``until_step``; False where `stopping` ended it before."""
        c, began, first = self.config, time.monotonic(), self.step
        saved = began
        self.log(f"{len(self.examples)} regions, {sum(p.numel() for p in self.network.parameters()):,} parameters")
        while self.step < min(c.steps, until_step or c.steps):
            if self.stopping:
                self.save()
                self.log(f"stopped at step {self.step}; start again to go on from there")
                return False
            self._update()
            if self.step % 50 == 0 or self.step == c.steps:
                rate = (self.step - first) / (time.monotonic() - began)
                losses = "  ".join(f"{name} {value:.3f}" for name, value in self.losses.items())
                left = (c.steps - self.step) / rate / 60
                line = f"step {self.step}/{c.steps}  {rate:.2f}/s  ETA {left:.0f} min  {losses}"
                self.log(Counted(line, self.step / c.steps))
            if self.step % 1000 == 0 or self.step == c.steps:
                scores = scores_of(self.average.module, self.held)
                self.log("held out: " + "  ".join(f"{name} {value:.4f}" for name, value in scores.items()))
            if time.monotonic() - saved > 60 * c.save_minutes:
                self.save()
                saved = time.monotonic()
        self.save()
        return True

    @property
    def done(self) -> bool:
        """Whether the schedule is at its end."""
        return self.step >= self.config.steps

    def _draw(self, step: int) -> list[int]:
        rng = np.random.default_rng([self.config.seed, step])
        views = int(rng.choice(self.examples.views))
        of = np.flatnonzero(self.examples.views == views)
        return rng.choice(of, max(1, self.config.batch // views)).tolist()

    def _update(self) -> None:
        batch = self.next_batch()
        layers = disturbed(batch, self.generator, self.config.augmentation)
        with torch.autocast("cpu", torch.bfloat16, enabled=has_bfloat16()):
            maps = self.network(layers, batch.cells)
        parts = losses_of(maps, batch, self.config)
        loss = sum(parts.values())
        assert isinstance(loss, Tensor)
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimizer.step()
        self.schedule.step()
        self.average.update_parameters(self.network)
        self.step += 1
        for name, value in parts.items():
            before = self.losses.get(name, 0.0)
            self.losses[name] = before + (value.item() - before) / min(self.step, 200)

    def save(self) -> None:
        """Write everything that the next process needs, in one atomic move."""
        state: dict[str, Any] = {
            "config": asdict(self.config),
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "generator": self.generator.get_state(),
            "regions": len(self.examples),
            "step": self.step,
            "losses": self.losses,
        }
        save_state(self.state_file, state)

    def _resume(self) -> None:
        state = load_state(self.state_file)
        before = asdict(merge_config(InstanceTrainConfig, [("training state", state["config"])]))
        fixed = {key: value for key, value in before.items() if key not in ("save_minutes", "start", "data")}
        check_settings(self.state_file, fixed, asdict(self.config))
        for name in ("network", "average", "optimizer", "schedule"):
            getattr(self, name).load_state_dict(state[name])
        self.generator.set_state(state["generator"])
        self.step, self.losses = state["step"], state["losses"]
        self.log(f"resuming {self.state_file} at step {self.step}")


def export_instances(run: Path, out: Path) -> dict[str, Any]:
    """Write ``out`` (safetensors) from the state of the run in ``run``: the averaged weights. ``out`` appears whole.
    Returns the recipe that went into it.

    Raises BAD_CHECKPOINT where the run has no state yet.
    """
    state = state_of_run(run)
    config = merge_config(InstanceTrainConfig, [("training state", state["config"])])
    network = InstanceNetwork(config.widths, config.rounds)
    average = torch.optim.swa_utils.AveragedModel(network, avg_fn=_mean_of_last)
    average.load_state_dict(state["average"])
    recipe = {
        "regions": state["regions"],
        "steps": state["step"],
        "batch": config.batch,
        "rate": config.learning_rate,
        "seed": config.seed,
        "start": None if config.start is None else Path(config.start).name,
    }
    part = out.with_name(f".{out.name}.part")
    network.load_state_dict(average.module.state_dict())
    save(part, network, recipe)
    part.replace(out)
    return recipe


@torch.no_grad()
def scores_of(network: torch.nn.Module, held: ExampleFiles) -> dict[str, float]:
    """Mean IoU over views: of wanted objects, of those with others in the picture, and of things in wide regions."""
    network.eval()
    found: dict[str, list[float]] = {"wanted": [], "beside": [], "wide": []}
    for index in range(len(held)):
        batch = held.batch([index])
        with torch.autocast("cpu", torch.bfloat16, enabled=has_bfloat16()):
            logits = network(batch.layers.float(), batch.cells).logits.float()
        inside = batch.layers[:, ALLOWED] > 127
        truth = batch.truth > 127
        thing = truth.any(1) & inside
        if bool(batch.wide):
            found["wide"] += _iou((logits[:, 1:].logsumexp(1) > logits[:, 0]) & inside, thing)
            continue
        ious = _iou((logits.argmax(1) == 1) & inside, truth[:, 0] & inside)
        found["wanted"] += ious
        if bool((truth[:, 1] & inside).any()):
            found["beside"] += ious
    network.train()
    return {name: float(np.mean(values)) if values else float("nan") for name, values in found.items()}


def _iou(mask: Tensor, truth: Tensor) -> list[float]:
    """Of each view that shows or is said to show something."""
    both, either = (mask & truth).sum((1, 2)), (mask | truth).sum((1, 2))
    return (both[either > 0] / either[either > 0]).tolist()


def _mean_of_last(mean: Tensor, new: Tensor, count: Tensor | int) -> Tensor:
    """Of all weights so far at first, later of about the last 500."""
    return mean + (new - mean) / min(int(count) + 1, 500)
