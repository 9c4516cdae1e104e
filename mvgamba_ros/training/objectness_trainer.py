"""Train the objectness network of the segmenter on the scenes of `objectness_scenes`.

One run lies in a folder: ``state.pt`` is saved every few minutes and holds everything, so that a resumed run gives the
weights of one that never stopped.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mvgamba_ros.config.loading import merge_config
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.kernels.autocast import has_bfloat16
from mvgamba_ros.metrics.image import mean_mask_iou
from mvgamba_ros.segmentation.classical import objectness
from mvgamba_ros.training.objectness_augment import WindowAugmentation, disturbed
from mvgamba_ros.training.objectness_scenes import read_scenes
from mvgamba_ros.training.state import check_settings, load_state, save_state, state_of_run
from mvgamba_ros.types import Counted


@dataclass(frozen=True)
class ObjectnessTrainConfig:
    """One run of the objectness network. The shipped values are those of config/objectness.recipe.yaml."""

    name: str
    """What the weights call themselves."""
    data: tuple[str, ...]
    """Folders of scenes; the first shard of the first folder is held out."""
    start: str | None = None
    """Weights for a warm start; None: random."""
    seed: int = 1
    """Of the weights and of the order of the windows."""
    steps: int = 10_000
    """Steps in all; the learning rate's one cycle is as long."""
    batch: int = 32
    """Windows of a step."""
    learning_rate: float = 2e-3
    """Its highest, after ``warmup``."""
    keep: float = 0.0
    """Share of the weights at the start that is mixed into those written: scenes that are no longer trained on are not
    forgotten (Wortsman et al., "Robust fine-tuning of zero-shot models", 2022)."""
    save_minutes: float = 3.0
    """Minutes between saved states: what a killed run loses at most."""
    weight_decay: float = 0.01
    """Of all weights: AdamW's default."""
    warmup: float = 0.05
    """First share of the steps, over which the learning rate rises. Set by hand."""
    augmentation: WindowAugmentation = field(default_factory=WindowAugmentation)
    """How windows are disturbed."""


class ObjectnessTrainer:
    """A run in a folder, resumed where it has a state. Raises BAD_OPTION for data of fewer than two shards and for a
    state of other settings."""

    def __init__(self, config: ObjectnessTrainConfig, folder: Path, log: Callable[[str], None] = print) -> None:
        self.config, self.folder, self.log = config, folder, log
        self.held, files = _shards(config)
        shards = [read_scenes(file) for file in files]
        self.windows, self.truth = (torch.from_numpy(np.concatenate(arrays)) for arrays in zip(*shards, strict=True))
        self.generator = torch.Generator().manual_seed(config.seed)
        torch.manual_seed(config.seed)
        folder.mkdir(parents=True, exist_ok=True)
        self.state_file = folder / "state.pt"
        resumed = self.state_file.exists()
        self.first = None if config.start is None or resumed else objectness.load(Path(config.start))
        network = objectness.Objectness()
        if self.first is not None:
            network.load_state_dict(self.first.state_dict())
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        rate, steps = config.learning_rate, config.steps
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=rate, weight_decay=config.weight_decay)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, rate, total_steps=steps, pct_start=config.warmup
        )
        self.average = torch.optim.swa_utils.AveragedModel(self.network, avg_fn=_mean_of_last)
        self.step, self.loss = 0, 0.0
        self.stopping = False
        """Set it from a signal's handler: the step in work is finished, the state saved, and `run` returns."""
        if resumed:
            self._resume()

    def run(self, until_step: int | None = None) -> bool:
        """Train to the last step, or to ``until_step``; False where `stopping` ended it before."""
        c, began, first = self.config, time.monotonic(), self.step
        saved = began
        self.log(f"{len(self.windows)} windows, {sum(p.numel() for p in self.network.parameters()):,} parameters")
        while self.step < min(c.steps, until_step or c.steps):
            if self.stopping:
                self.save()
                self.log(f"stopped at step {self.step}; start again to go on from there")
                return False
            self._update()
            if self.step % 100 == 0 or self.step == c.steps:
                rate = (self.step - first) / (time.monotonic() - began)
                left = (c.steps - self.step) / rate / 60
                done = f"step {self.step}/{c.steps}  {self.step * c.batch:,}/{c.steps * c.batch:,} samples"
                line = f"{done}  {rate * c.batch:.1f}/s  ETA {left:.0f} min  loss {self.loss:.4f}"
                self.log(Counted(line, self.step / c.steps))
            if self.step % 1000 == 0 or self.step == c.steps:
                self.log(
                    f"held out: mean IoU {mean_iou(_mixed(self.average.module, self.first, c.keep), self.held):.4f}"
                )
            if time.monotonic() - saved > 60 * c.save_minutes:
                self.save()
                saved = time.monotonic()
        self.save()
        return True

    @property
    def done(self) -> bool:
        """Whether the schedule is at its end."""
        return self.step >= self.config.steps

    def _update(self) -> None:
        pick = torch.randint(len(self.windows), (self.config.batch,), generator=self.generator)
        pictures, truth = disturbed(
            self.windows[pick].float(), self.truth[pick].float() / 255, self.generator, self.config.augmentation
        )
        with torch.autocast("cpu", torch.bfloat16, enabled=has_bfloat16()):
            odds = self.network(pictures.contiguous(memory_format=torch.channels_last)).float()
        loss = F.binary_cross_entropy_with_logits(odds, truth, weight=pictures[:, 4] / 255)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        self.average.update_parameters(self.network)
        self.step += 1
        self.loss += (loss.item() - self.loss) / min(self.step, 100)

    def save(self) -> None:
        """Write everything that the next process needs, in one atomic move."""
        state: dict[str, Any] = {
            "config": asdict(self.config),
            "network": self.network.state_dict(),
            "first": None if self.first is None else self.first.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "generator": self.generator.get_state(),
            "windows": len(self.windows),
            "step": self.step,
            "loss": self.loss,
        }
        save_state(self.state_file, state)

    def _resume(self) -> None:
        state = load_state(self.state_file)
        before = asdict(_from_state(state))
        fixed = {key: value for key, value in before.items() if key not in ("save_minutes", "start")}
        check_settings(self.state_file, fixed, asdict(self.config))
        if state["first"] is not None:
            self.first = objectness.Objectness()
            self.first.load_state_dict(state["first"])
        for name in ("network", "average", "optimizer", "schedule"):
            getattr(self, name).load_state_dict(state[name])
        self.generator.set_state(state["generator"])
        self.step, self.loss = state["step"], state["loss"]
        self.log(f"resuming {self.state_file} at step {self.step}")


def export_objectness(run: Path, out: Path) -> dict[str, Any]:
    """Write ``out`` (safetensors) from the state of the run in ``run``: the averaged weights, of which ``keep`` parts
    are those of the start. ``out`` appears whole. Returns the recipe that went into it.

    Raises BAD_CHECKPOINT where the run has no state yet.
    """
    state = state_of_run(run)
    config = _from_state(state)
    network, first = objectness.Objectness(), None
    average = torch.optim.swa_utils.AveragedModel(network, avg_fn=_mean_of_last)
    average.load_state_dict(state["average"])
    if state["first"] is not None:
        first = objectness.Objectness()
        first.load_state_dict(state["first"])
    recipe = {
        "windows": state["windows"],
        "steps": state["step"],
        "batch": config.batch,
        "rate": config.learning_rate,
        "seed": config.seed,
        "start": None if config.start is None else Path(config.start).name,
        "keep": config.keep,
    }
    part = out.with_name(f".{out.name}.part")
    objectness.save(part, _mixed(average.module, first, config.keep), recipe)
    part.replace(out)
    return recipe


def _from_state(state: dict[str, Any]) -> ObjectnessTrainConfig:
    """The settings of a saved run; what it does not name has its default."""
    return merge_config(ObjectnessTrainConfig, [("training state", state["config"])])


def _mixed(trained: nn.Module, first: nn.Module | None, keep: float) -> objectness.Objectness:
    """A network in evaluation mode whose weights are ``keep`` parts those of ``first``, the rest ``trained``'s."""
    network = objectness.Objectness()
    network.load_state_dict(trained.state_dict())
    if first is not None:
        old = first.state_dict()
        network.load_state_dict({k: keep * old[k] + (1.0 - keep) * v for k, v in network.state_dict().items()})
    return network.eval()


def _shards(config: ObjectnessTrainConfig) -> tuple[Path, list[Path]]:
    """The shard that is held out and those to learn from."""
    files = [file for folder in config.data for file in sorted(Path(folder).glob("[0-9]*.npz"))]
    if len(files) < 2:
        raise ReconstructionError(
            ErrorCode.BAD_OPTION,
            f"{', '.join(config.data)}: fewer than two shards; write more with `mvgamba data scenes`, one is held out",
        )
    return files[0], files[1:]


def _mean_of_last(mean: Tensor, new: Tensor, count: Tensor | int) -> Tensor:
    """Of all weights so far at first, later of about the last 200."""
    return mean + (new - mean) / min(int(count) + 1, 200)


@torch.no_grad()
def mean_iou(network: objectness.Objectness, shard: Path) -> float:
    """Mean IoU over the windows of a shard, each where the object may be."""
    x, truth = (torch.from_numpy(array) for array in read_scenes(shard))
    truth = truth > 127
    odds = torch.cat([network(part.float()) for part in x.split(32)])
    return mean_mask_iou((odds > 0) & (x[:, 3] > 127), truth)
