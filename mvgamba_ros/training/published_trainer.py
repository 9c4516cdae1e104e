"""The training run of the published network: rendered views and nothing else supervise it, as in the paper."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import AdamW, Optimizer
from torch.utils.data import Dataset

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.kernels.rasterize import Rendered, rasterize
from mvgamba_ros.methods.published.network import PublishedNetwork
from mvgamba_ros.methods.published.published_weights import read_published, save_published
from mvgamba_ros.metrics.image import psnr, ssim
from mvgamba_ros.synthesis.shards import Shards
from mvgamba_ros.training.perceptual import perceptual_loss
from mvgamba_ros.training.published_config import PublishedTrainConfig, published_from_dict
from mvgamba_ros.training.published_samples import PublishedSample, collate_published, published_sample
from mvgamba_ros.training.state import state_of_run
from mvgamba_ros.training.training_run import TrainingRun
from mvgamba_ros.types import Gaussians

PERCEPTUAL_SIDE = 256
"""Side to which larger pictures are shrunk for the perceptual loss, the authors'."""
LEAST_RATE = 0.1
"""Share of the learning rate that is left at the end, the authors'."""


class PublishedSteps(Dataset[PublishedSample]):
    """Item n is this rank's share of the batch of micro-step n."""

    def __init__(self, config: PublishedTrainConfig, shards: Shards, rank: int, world: int) -> None:
        self.config, self.shards, self.rank, self.world = config, shards, rank, world

    def __len__(self) -> int:
        return 2**31

    def __getitem__(self, step: int) -> PublishedSample:
        c = self.config
        samples = []
        for k in range(c.batch)[self.rank :: self.world]:
            rng = np.random.default_rng((c.seed, step, k))
            samples.append(published_sample(self.shards[int(rng.integers(len(self.shards)))], c, rng))
        return collate_published(samples)


class PublishedTrainer(TrainingRun[PublishedTrainConfig]):
    """Trains `PublishedNetwork`."""

    def check(self, config: PublishedTrainConfig) -> None:
        if not config.model.layers > 1:
            raise ReconstructionError(ErrorCode.BAD_OPTION, f"layers {config.layers}: give 2 or more")

    def make_network(self, config: PublishedTrainConfig) -> PublishedNetwork:
        return PublishedNetwork(config.model)

    def warm_start(self, network: PublishedNetwork, file: Path) -> dict[str, Any]:
        network.load_state_dict(read_published(file, network.config).state_dict())
        return {"start": file.name}

    def make_optimizers(self, network: nn.Module) -> list[Optimizer]:
        kept = [p for name, p in network.named_parameters() if "pos_embed" in name]
        decayed = [p for name, p in network.named_parameters() if "pos_embed" not in name]
        groups = [
            {"params": decayed, "weight_decay": self.config.weight_decay},
            {"params": kept, "weight_decay": 0.0},
        ]
        return [AdamW(groups, lr=self.config.learning_rate, betas=(0.9, 0.95))]

    def steps(self) -> PublishedSteps:
        acc = self.accelerator
        return PublishedSteps(self.config, Shards(self.config.data), acc.process_index, acc.num_processes)

    def objects(self, batch: PublishedSample) -> int:
        return self.config.batch

    def losses(self, batch: PublishedSample) -> dict[str, Tensor]:
        network = self.accelerator.unwrap_model(self.network)
        network.decoder.rotation.set_updates(self.step)
        # stochastic depth and the Gumbel-softmax draw by the step's number, as everything else does
        torch.manual_seed(hash((self.config.seed, self.step, self.accelerator.process_index)) % 2**63)
        return published_losses(self.network(batch.given), batch, self.config.perceptual)

    def learning_rate(self) -> float:
        """Up linearly over the warm-up, then down to a tenth along a cosine."""
        c = self.config
        rising = c.warmup * c.samples
        if self.samples < rising:
            return c.learning_rate * (self.samples + c.batch) / (rising + c.batch)
        done = min((self.samples - rising) / max(c.samples - rising, 1e-9), 1.0)
        return c.learning_rate * max((1 + math.cos(math.pi * done)) / 2, LEAST_RATE)

    def measure(self) -> dict[str, float]:
        return measure_published(self.averaged(), Shards(self.config.validation), self.config)

    def fixed_settings(self, values: dict[str, Any]) -> dict[str, Any]:
        kept = published_from_dict(values)
        names = ("preset", "layers", "straight_through", "perceptual", "samples", "warmup")
        return {name: getattr(kept, name) for name in names}


def render_published(g: Gaussians, sample: PublishedSample, scene: int) -> Rendered:
    """Scene ``scene`` of a batch of Gaussians, from its target views, on its background."""
    size = sample.alpha.shape[-1]
    T_camera_cube = torch.linalg.inv(sample.T_cube_camera[scene])
    one = (g.means[scene], g.quats[scene], g.scales[scene], g.opacities[scene], g.colors[scene])
    return rasterize(*one, T_camera_cube, sample.K[scene], size, size, sample.background[scene])


def published_losses(g: Gaussians, sample: PublishedSample, perceptual: str) -> dict[str, Tensor]:
    """Squared errors of ``color`` and ``mask`` and the ``perceptual`` loss over all target views, and ``opacity``, the
    mean of one less the Gaussians' opacities."""
    rendered = [render_published(g, sample, b) for b in range(len(sample.given))]
    pictures = torch.stack([r.color.clamp(0, 1) for r in rendered])
    found, truth = (p.flatten(0, 1) for p in (pictures, sample.rgb))
    if found.shape[1] > PERCEPTUAL_SIDE:
        found, truth = (_shrunk(p) for p in (found, truth))
    return {
        "color": F.mse_loss(pictures, sample.rgb),
        "mask": F.mse_loss(torch.stack([r.alpha for r in rendered]), sample.alpha),
        "perceptual": perceptual_loss(found, truth, perceptual),
        "opacity": (1 - g.opacities).mean(),
    }


def _shrunk(pictures: Tensor) -> Tensor:
    """(N, H, W, 3) to the perceptual loss's side."""
    size = (PERCEPTUAL_SIDE, PERCEPTUAL_SIDE)
    return F.interpolate(pictures.permute(0, 3, 1, 2), size, mode="bilinear", align_corners=False).permute(0, 2, 3, 1)


@torch.no_grad()
def measure_published(
    network: PublishedNetwork, shards: Shards, config: PublishedTrainConfig, objects: int = 16
) -> dict[str, float]:
    """Means over ``objects``: PSNR in dB and SSIM of the inputs' own views and of others, on white."""
    rows = []
    seen = config.model.views
    for i in range(min(objects, len(shards))):
        sample = collate_published([published_sample(shards[i], config, np.random.default_rng((10_007, i)), False)])
        pictures = render_published(network(sample.given), sample, 0).color.clamp(0, 1).numpy()
        pairs = list(zip(pictures, sample.rgb[0].numpy(), strict=True))
        scores = np.array([(psnr(a, b), ssim(a, b)) for a, b in pairs])
        own, new = scores[:seen].mean(0), scores[seen:].mean(0) if len(scores) > seen else (np.nan, np.nan)
        rows.append({"own_psnr": own[0], "own_ssim": own[1], "psnr": new[0], "ssim": new[1]})
    return {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}


def export_published(run: Path, out: Path) -> dict[str, Any]:
    """Write ``out`` (safetensors) from the state of the run in ``run``, for ``--method mvgamba-published
    --checkpoint``; returns the recipe in its header. Raises BAD_CHECKPOINT where the run has no state yet."""
    state = state_of_run(run)
    config = published_from_dict(state["config"])
    network = PublishedNetwork(config.model)
    network.load_state_dict(state["ema"])
    # the folders' names: where they lay on this machine is nobody's business
    kept = {
        "data": [Path(folder).name for folder in config.data],
        "validation": Path(config.validation).name,
        "start": None if config.start is None else Path(config.start).name,
    }
    recipe: dict[str, Any] = json.loads(json.dumps({"training": {**state["config"], **kept}}))
    recipe |= {"step": state["step"], "samples": state["samples"], "metrics": {}}
    part = out.with_name(f".{out.name}.part.safetensors")
    save_published(part, network, recipe)
    part.replace(out)
    return recipe
