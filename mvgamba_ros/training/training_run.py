"""A training run in a folder, whatever the network: warm-up and cool-down, EMA, clipping; it saves itself and resumes.

Every random draw of step n comes from (seed, n), never from where the process happens to stand, so a resumed run
continues as if it had not stopped, and several processes share one batch: rank r takes every world-th object of it.
Processes, devices and mixed precision are Hugging Face Accelerate's.
"""

from __future__ import annotations

import math
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import is_tensorboard_available
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader, Dataset

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.torch_rays import to_device
from mvgamba_ros.kernels.autocast import has_bfloat16
from mvgamba_ros.training.losses import total
from mvgamba_ros.training.perceptual import resolve_kind
from mvgamba_ros.training.state import check_settings, load_state, save_state
from mvgamba_ros.types import Counted

PRECISIONS = {"fp32": "no", "bf16": "bf16"}


Config = TypeVar("Config", bound=Any)
"""A dataclass of settings with those that `TrainingRun` reads: see `train_config.TrainConfig`."""


def _mixed_precision(precision: str) -> str:
    """Accelerate's name of it, whose "no" YAML reads as false. Raises BAD_OPTION for one not in `PRECISIONS`."""
    if precision not in PRECISIONS:
        raise ReconstructionError(ErrorCode.BAD_OPTION, f"precision: '{precision}'; choose {' or '.join(PRECISIONS)}")
    return PRECISIONS[precision]


def _ignore_signals(_: int) -> None:
    """A terminal's or a supervisor's signal goes to all processes of the run: the trainer handles it, and its loader
    must live until then."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


class TrainingRun(ABC, Generic[Config]):
    """One run in a folder: ``state.pt`` (everything), TensorBoard curves, ``validation.csv``."""

    def __init__(self, config: Config, folder: Path, log: Callable[[str], None] = print) -> None:
        self.check(config)
        self.config, self.folder, self.log = replace(config, perceptual=resolve_kind(config.perceptual)), folder, log
        curves = is_tensorboard_available()
        AcceleratorState._reset_state()  # else the precision of a process's first run is that of all its runs
        self.accelerator = Accelerator(
            mixed_precision=_mixed_precision(config.precision),
            gradient_accumulation_steps=config.accumulate,
            log_with="tensorboard" if curves else None,
            project_dir=folder,
        )
        folder.mkdir(parents=True, exist_ok=True)
        if self.accelerator.is_main_process:
            if config.perceptual == "auto":
                log(f"the perceptual loss is {self.config.perceptual}")
            if not curves:
                log("tensorboard is not installed: no curves are kept (pip install tensorboard)")
            if config.precision == "bf16" and not has_bfloat16(self.accelerator.device):
                log(f"precision: bf16 has no instructions on this {self.accelerator.device.type}: fp32 would be faster")
        torch.manual_seed(config.seed)
        network = self.make_network(config)
        self.state_file = folder / "state.pt"
        self.started_from: dict[str, Any] | None = None
        """The recipe of the checkpoint whose weights the run began with, if any."""
        if config.start is not None and not self.state_file.exists():
            self.started_from = self.warm_start(network, Path(config.start))
        optimizers = self.make_optimizers(network)
        self.step = 0
        self.samples = 0
        self.stopping = False
        """Set it from a signal's handler: the step in work is finished, the state saved, and `run` returns."""
        self.network, *self.optimizers = self.accelerator.prepare(network, *optimizers)
        self.ema = {k: v.detach().clone() for k, v in network.state_dict().items()}
        if self.state_file.exists():
            self._resume()

    @abstractmethod
    def check(self, config: Config) -> None:
        """Raises BAD_OPTION for settings that do not go together."""

    @abstractmethod
    def make_network(self, config: Config) -> nn.Module:
        """The network, with random weights."""

    @abstractmethod
    def warm_start(self, network: Any, file: Path) -> dict[str, Any]:
        """Give ``network`` the weights of a checkpoint and return its recipe. Raises BAD_CHECKPOINT."""

    @abstractmethod
    def make_optimizers(self, network: nn.Module) -> list[Optimizer]:
        """What moves the weights that learn, each once."""

    @abstractmethod
    def steps(self) -> Dataset[Any]:
        """Item n is this process's share of the batch of micro-step n."""

    @abstractmethod
    def objects(self, batch: Any) -> int:
        """How many a step has, in all processes, where this one has ``batch``."""

    @abstractmethod
    def losses(self, batch: Any) -> dict[str, Tensor]:
        """The terms of the loss, before ``config.losses`` weighs them."""

    @abstractmethod
    def measure(self) -> dict[str, float]:
        """Scores of the averaged weights on held-out objects."""

    @abstractmethod
    def fixed_settings(self, values: dict[str, Any]) -> dict[str, Any]:
        """Of a config's ``values``, by their names for ``--set``, those that cannot change while a run goes on."""

    def run(self, until_step: int | None = None) -> bool:
        """Train to the end of the schedule, or to ``until_step``; False where `stopping` ended it before."""
        c, acc = self.config, self.accelerator
        acc.init_trackers(".")
        saved = validated = logged = time.monotonic()
        logged_samples = self.samples
        for batch in self._batches():
            if self._stop_requested():
                self.save()
                self.log(f"stopped at step {self.step}; start again to go on from there")
                self._finish_trackers()
                return False
            if self.done or (until_step is not None and self.step >= until_step):
                break
            losses = self._update(to_device(batch, acc.device))
            self.samples += self.objects(batch)
            self.step += 1
            now = time.monotonic()
            if now - logged > 10 and acc.is_main_process:
                rate = (self.samples - logged_samples) / (now - logged)
                eta = (c.samples - self.samples) / max(rate, 1e-9) / 60
                values = "  ".join(f"{k} {v:.4f}" for k, v in losses.items())
                done = f"step {self.step}  {self.samples:,}/{c.samples:,} samples"
                self.log(Counted(f"{done}  {rate:.1f}/s  ETA {eta:.0f} min  {values}", self.samples / c.samples))
                acc.log({f"train/{k}": v for k, v in losses.items()}, self.step)
                logged, logged_samples = now, self.samples
            if now - saved > 60 * c.save_minutes:
                self.save()
                saved = now
            if now - validated > 60 * c.validate_minutes:
                self.validate()
                validated = time.monotonic()
        self.save()
        self.validate()
        self._finish_trackers()
        return True

    @property
    def done(self) -> bool:
        """Whether the schedule is at its end."""
        return self.samples >= self.config.samples

    def _finish_trackers(self) -> None:
        """Not `Accelerator.end_training`, which ends the process group as well: another run may follow in it."""
        for tracker in self.accelerator.trackers:
            tracker.finish()

    def _stop_requested(self) -> bool:
        """Whether any of the run's processes is to stop: they stop together, or the others would wait for it."""
        if self.accelerator.num_processes == 1:
            return self.stopping
        requested = torch.tensor(float(self.stopping), device=self.accelerator.device)
        return float(self.accelerator.reduce(requested)) > 0

    def _batches(self) -> Iterator[Any]:
        order = range(self.step, self.step + 2**24)
        yield from DataLoader(
            self.steps(),
            batch_size=None,
            sampler=order,
            num_workers=self.config.loaders,
            prefetch_factor=3,
            worker_init_fn=_ignore_signals,
        )

    def _update(self, batch: Any) -> dict[str, float]:
        c, acc = self.config, self.accelerator
        with acc.accumulate(self.network):
            rate = self.learning_rate()
            for optimizer in self.optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = rate
            losses = self.losses(batch)
            acc.backward(total(losses, c.losses))
            if acc.sync_gradients:
                acc.clip_grad_norm_(self.network.parameters(), c.clip)
            for optimizer in self.optimizers:
                optimizer.step()
                optimizer.zero_grad()
        decay = min(c.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, value in acc.unwrap_model(self.network).state_dict().items():
                self.ema[name].lerp_(value, 1 - decay)
        return {k: float(v.detach()) for k, v in losses.items()}

    def learning_rate(self) -> float:
        """Up linearly over the warm-up, level, then down as one less a square root: as good as a cosine whose length
        is known beforehand (Haegele et al., "Scaling laws and compute-optimal training beyond fixed training
        durations", 2024), and the length can be settled while it runs."""
        c = self.config
        up = min(self.samples / max(c.warmup, 1) + 1e-3, 1.0)
        left = (c.samples - self.samples) / max(c.cooldown * c.samples, 1e-9)
        return c.learning_rate * up * (1 - math.sqrt(max(1 - left, 0.0)))

    def averaged(self) -> Any:
        """A copy of the network with the averaged weights, in evaluation mode."""
        network = self.make_network(self.config)
        network.load_state_dict(self.ema)
        return network.to(self.accelerator.device).eval()

    def validate(self) -> dict[str, float]:
        if not self.accelerator.is_main_process:
            return {}
        report = self.measure()
        self.log("validation  " + "  ".join(f"{k} {v:.4f}" for k, v in report.items()))
        self.accelerator.log({f"validation/{k}": v for k, v in report.items()}, self.step)
        with (self.folder / "validation.csv").open("a") as f:
            if f.tell() == 0:
                f.write(",".join(["step", "samples", *report]) + "\n")
            f.write(",".join(map(str, [self.step, self.samples, *report.values()])) + "\n")
        return report

    def save(self) -> None:
        """Write everything that the next process needs, in one atomic move."""
        if not self.accelerator.is_main_process:
            return
        state: dict[str, Any] = {
            "config": self.config.to_dict(),
            "network": self.accelerator.unwrap_model(self.network).state_dict(),
            "ema": self.ema,
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "step": self.step,
            "samples": self.samples,
            "started_from": self.started_from,
        }
        save_state(self.state_file, state)

    def _resume(self) -> None:
        state = load_state(self.state_file)
        before, now = (self.fixed_settings(values) for values in (state["config"], self.config.to_dict()))
        check_settings(self.state_file, before, now)
        self.accelerator.unwrap_model(self.network).load_state_dict(state["network"])
        for optimizer, values in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(values)
        self.ema = {k: v.to(self.accelerator.device) for k, v in state["ema"].items()}
        self.step, self.samples, self.started_from = state["step"], state["samples"], state["started_from"]
        self.log(f"resuming {self.state_file} at step {self.step} ({self.samples:,} samples)")
