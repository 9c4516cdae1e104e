"""The settings of one training run of the network."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from mvgamba_ros.config.bounds import bounded
from mvgamba_ros.config.loading import merge_config
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.model.raygamba import RayGambaConfig
from mvgamba_ros.synthesis.data_format import INPUT_VIEWS
from mvgamba_ros.training.losses import LossWeights
from mvgamba_ros.training.sample_batches import Sampling


@dataclass(frozen=True)
class TrainConfig:
    """One run: data, network, losses and schedule. The shipped values are those of config/raygamba-s.recipe.yaml."""

    name: str
    """What the checkpoint calls itself."""
    data: tuple[str, ...]
    """Data folders to train on, their shards in this order (`mvgamba data render`)."""
    validation: str
    """Data folder of held-out objects."""
    model: RayGambaConfig = field(default_factory=RayGambaConfig)
    """The network. Only ``model.size`` may change while a run goes on: it is in no weight."""
    sampling: Sampling = field(default_factory=Sampling)
    """How samples differ from the stored objects."""
    losses: LossWeights = field(default_factory=LossWeights)
    """Factors of the loss terms."""
    start: str | None = None
    """Checkpoint file for a warm start, of a network deeper or shallower (`training.warm_start`); None: random
    weights."""
    train_only: tuple[str, ...] = ()
    """The network's parts that learn ("decoder", "cascade_head", ...), the others are frozen; empty: all learn."""
    seed: int = bounded(0, 0, 2**32 - 1)
    """Seed of the weights and, with the step's number, of every draw of a step."""
    samples: int = 60_000
    """Objects to train on in all. Before the cool-down nothing depends on it: it may be changed until then."""
    views_per_step: int = bounded(32, 1, math.inf)
    """Input views of a step: 32 are 8 objects of 4 views or 4 of 8. A step then takes as long whatever is drawn."""
    accumulate: int = bounded(1, 1, math.inf)
    """Steps whose gradients are summed before the weights move: larger batches than the memory holds."""
    target_views: int = 3
    """Views that each object is rendered into for the rendering losses."""
    view_counts: dict[int, float] = field(default_factory=lambda: {1: 0.05, 2: 0.15, 3: 0.15, 4: 0.4, 6: 0.1, 8: 0.15})
    """Number of input views -> how often it is drawn, in any unit. Four are what the package is used with most."""
    optimizer: str = "adamw"
    """Either "adamw", or "muon" for the matrices of blocks and decoder (`training.optimizers`)."""
    learning_rate: float = 6e-4
    """Learning rate of the level part of the schedule."""
    weight_decay: float = 0.05
    """Weight decay of matrices and filters; vectors do not decay. MVGamba's."""
    warmup: int = 1_000
    """Objects over which the learning rate rises linearly."""
    cooldown: float = bounded(0.3, 0, 1)
    """Last share of ``samples`` over which the learning rate falls to zero."""
    clip: float = 1.0
    """Largest norm of a step's gradient. MVGamba's."""
    ema: float = bounded(0.999, 0, 1)
    """Decay per step of the averaged weights, which are validated and exported."""
    render_from: int = 0
    """Step at which the rendering losses join: depth alone is several times cheaper and right for the beginning."""
    perceptual: str = "auto"
    """Perceptual loss, "lpips", "ssim", or "auto": the first where its weights are on the machine, else the second. A
    run keeps the one it began with."""
    precision: str = "fp32"
    """Either "bf16": products in bfloat16, worth it where the processor or GPU has them; "fp32": float32 throughout."""
    loaders: int = bounded(1, 1, 256)
    """Processes that make batches: one keeps up with two cores that learn; a GPU takes as many as there are cores."""
    save_minutes: float = 3.0
    """Minutes between saved states: what a killed run loses at most."""
    validate_minutes: float = 10.0
    """Minutes between validations, each of which takes about one."""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def from_dict(values: dict[str, Any]) -> TrainConfig:
    """The inverse of `TrainConfig.to_dict`. Raises BAD_OPTION for an unknown key or a value of a wrong type."""
    return merge_config(TrainConfig, [("training config", values)])


def check_train_config(config: TrainConfig) -> None:
    """Checks what no single number shows. Raises BAD_OPTION."""
    counts, model = config.view_counts, config.model
    right = all(1 <= count <= INPUT_VIEWS and 0 <= chance < math.inf for count, chance in counts.items())
    if not right or not sum(counts.values()) > 0:
        raise ReconstructionError(
            ErrorCode.BAD_OPTION,
            f"view_counts {counts}: give numbers of views, 1 to {INPUT_VIEWS}, with chances of 0 or more, one above",
        )
    if why := model.conflict():
        raise ReconstructionError(ErrorCode.BAD_OPTION, f"model: {why}")
