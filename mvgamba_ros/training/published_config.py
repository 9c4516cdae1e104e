"""The settings of one training run of the published network; the defaults are those of the authors' code."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from mvgamba_ros.config.bounds import bounded
from mvgamba_ros.config.loading import merge_config
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.methods.published.network import PRESETS, PublishedConfig


@dataclass(frozen=True)
class PublishedLossWeights:
    """Factor of each term of `published_losses`."""

    color: float = 1.0
    """Squared error of rendered colours."""
    mask: float = 1.0
    """Squared error of rendered silhouettes."""
    perceptual: float = 0.6
    """LPIPS of rendered pictures; 1 - SSIM where its weights are missing, which is not the paper's."""
    opacity: float = 0.001
    """Mean of one less the opacity."""


@dataclass(frozen=True)
class PublishedAugmentation:
    """Chances and strengths of what the authors do to the inputs; the first view is spared."""

    distort: float = bounded(0.5, 0.0, 1.0)
    """Chance that an object's inputs are distorted by a grid."""
    distort_strength: float = bounded(0.5, 0.0, 1.0)
    """Width of the range in which each of 8 to 16 grid lines is moved, in distances between them."""
    jitter: float = bounded(0.5, 0.0, 1.0)
    """Chance that an object's input cameras are turned about it, their pictures left as they are."""
    jitter_strength: float = bounded(0.1, 0.0, 1.0)
    """Greatest turn about the camera's upright axis in half turns, 18 degrees; half of it about its horizontal one."""
    background: float = bounded(0.5, 0.0, 1.0)
    """Chance that pictures are compared on red, green or blue instead of white."""


@dataclass(frozen=True)
class PublishedTrainConfig:
    """One run: data, network, losses and schedule. `TrainConfig` has the settings of the same names for RayGamba."""

    name: str
    """What the checkpoint calls itself."""
    data: tuple[str, ...]
    """Data folders to train on, of a paper's cameras (`OrbitRecipe`)."""
    validation: str
    """Data folder of held-out objects."""
    preset: str = "tiny"
    """Size of the network: one of `PRESETS`."""
    layers: int = bounded(0, 0, 256)
    """Mamba blocks instead of the preset's; 0: the preset's."""
    straight_through: bool = False
    """RotNet picks one rotation by the Gumbel-softmax, its temperature falling from 2 to 0.5, instead of mixing all."""
    losses: PublishedLossWeights = field(default_factory=PublishedLossWeights)
    """Factors of the loss terms."""
    augmentation: PublishedAugmentation = field(default_factory=PublishedAugmentation)
    """What is done to the inputs and the background."""
    start: str | None = None
    """Checkpoint file for a warm start, of the same network; None: random weights."""
    seed: int = bounded(0, 0, 2**32 - 1)
    """Seed of the weights and, with the step's number, of every draw of a step."""
    samples: int = 80_000
    """Objects to train on in all."""
    batch: int = bounded(8, 1, math.inf)
    """Objects of a step, over all processes."""
    accumulate: int = bounded(1, 1, math.inf)
    """Steps whose gradients are summed before the weights move."""
    other_views: int = bounded(6, 0, math.inf)
    """Views beside the inputs that each object is rendered into; fewer where the data has fewer."""
    learning_rate: float = 1e-3
    """Learning rate after the warm-up; a cosine takes it down to a tenth."""
    weight_decay: float = 0.05
    """Weight decay of all weights but the tokens' positions."""
    warmup: float = bounded(20 / 900, 0, 1)
    """Share of ``samples`` over which the learning rate rises linearly."""
    clip: float = 1.0
    """Largest norm of a step's gradient."""
    ema: float = bounded(0.999, 0, 1)
    """Decay per step of the averaged weights, which are validated and exported. The authors average none."""
    perceptual: str = "auto"
    """Perceptual loss, "lpips", "ssim", or "auto": the first where its weights are on the machine, else the second."""
    precision: str = "fp32"
    """Either "bf16", the authors', worth it where the processor or GPU has it, or "fp32"."""
    loaders: int = bounded(1, 1, 256)
    """Processes that make batches: one keeps up with two cores that learn; a GPU takes as many as there are cores."""
    save_minutes: float = 3.0
    """Minutes between saved states: what a killed run loses at most."""
    validate_minutes: float = 10.0
    """Minutes between validations."""

    @property
    def model(self) -> PublishedConfig:
        """The network. Raises BAD_OPTION for a preset that is none."""
        if self.preset not in PRESETS:
            raise ReconstructionError(
                ErrorCode.BAD_OPTION, f"preset '{self.preset}' is not one of {', '.join(PRESETS)}"
            )
        base = PRESETS[self.preset]
        return replace(base, layers=self.layers or base.layers, straight_through=self.straight_through)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def published_from_dict(values: dict[str, Any]) -> PublishedTrainConfig:
    """The inverse of `PublishedTrainConfig.to_dict`. Raises BAD_OPTION for what does not fit."""
    return merge_config(PublishedTrainConfig, [("training config", values)])
