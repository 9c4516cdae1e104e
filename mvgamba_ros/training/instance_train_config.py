"""Settings of a training run of the instance network."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class ColorAugmentation:
    """How pictures are disturbed: all views of a region alike, but for a small part. All set by hand."""

    gain: float = 0.25
    """Largest logarithm of the factor on all colours: brighter or darker."""
    own_gain: float = 0.05
    """The same of each view for itself: automatic exposure."""
    tint: float = 0.1
    """Largest logarithm of a further factor on each colour channel: the white balance."""
    gamma: float = 0.35
    """Largest logarithm of the exponent on colours in [0, 1]: the contrast."""
    shuffled: float = 0.3
    """Share of regions whose colour channels are shuffled."""
    greyed: float = 0.25
    """Share of regions whose colours are paler, by any amount up to grey."""
    noise: float = 0.01
    """Largest standard deviation of the noise on colours in [0, 1]."""
    without_plane: float = 0.1
    """Share of regions without the layers of the comparison through the support plane."""


@dataclass(frozen=True)
class InstanceTrainConfig:
    """One run of the instance network."""

    name: str
    """What the weights call themselves."""
    data: tuple[str, ...]
    """Folders of examples; the first file of the first folder is held out."""
    start: str | None = None
    """Weights for a warm start; None: random."""
    widths: tuple[int, ...] = (24, 40, 64, 96)
    """Channels of the network at each half of the resolution."""
    rounds: int = 2
    """How often views tell each other what they found."""
    seed: int = 1
    """Of the weights and of the order of the examples."""
    steps: int = 20_000
    """Steps in all; the learning rate's one cycle is as long."""
    batch: int = 16
    """Views of a step: regions times their views."""
    learning_rate: float = 1.5e-3
    """Its highest, after ``warmup``."""
    save_minutes: float = 3.0
    """Minutes between saved states: what a killed run loses at most."""
    weight_decay: float = 0.01
    """Of all weights: AdamW's default."""
    warmup: float = 0.05
    """First share of the steps, over which the learning rate rises. Set by hand."""
    outside: float = 0.2
    """Weight of pixels outside the region's projection beside those inside. Set by hand."""
    coarse: float = 0.4
    """Weight of each round's coarse maps beside the fine ones. Set by hand."""
    overlap: float = 0.5
    """Weight of the overlap (Dice) of the wanted object beside the cross-entropy: small things count as much as large
    ones. Set by hand."""
    middles: float = 0.3
    """Weight of the map of middles. Set by hand."""
    augmentation: ColorAugmentation = field(default_factory=ColorAugmentation)
    """How pictures are disturbed."""
