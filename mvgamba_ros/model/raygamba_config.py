"""The settings of the RayGamba network."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from mvgamba_ros.config.bounds import bounded

ORDERS = ("rows", "rows_reversed", "across", "across_reversed", "columns", "columns_reversed")
"""Scan orders over the kept tokens: view by view along rows or columns, or patch by patch across the views."""


@dataclass(frozen=True)
class RayGambaConfig:
    """What the network is built from; stored with its weights. The switches (``use_*``, ``bins_in_hull``,
    ``rank_views``) take a choice back, to measure what it brings (docs/ablation.md).

    The numbers after them define the network's inputs: weights trained with some values are wrong with others."""

    size: int = bounded(96, 8, 2048)
    """Side of the input crops, pixels; a multiple of ``patch``. No weight depends on it."""
    patch: int = bounded(8, 1, 256)
    """Side of a token, pixels; a multiple of ``2 * stride``."""
    stride: int = bounded(2, 1, 64)
    """Pixels between neighbouring rays of the Gaussians' grid."""
    width: int = bounded(192, 1, 8192)
    """Channels of tokens and of the residual stream; by ablation."""
    d_state: int = bounded(16, 1, 1024)
    """States per channel of the selective scan: Mamba's default."""
    skip: int = bounded(32, 1, 4096)
    """Channels of the skip connection from stem to decoder."""
    bins: int = bounded(16, 3, 1024)
    """Depth bins of a ray, between the hull's near and far depth; by ablation."""
    orders: tuple[str, ...] = (*ORDERS[:4], *ORDERS[4:], *ORDERS[2:4])
    """Scan order of each block, of `ORDERS`; their number is the depth."""
    cascade_positions: int = bounded(0, 0, 1024)
    """Depth hypotheses of the cascade head along a ray; 0 for none, the depth head's depths are then final."""
    use_interval: bool = True
    """The hull's near and far depth as inputs."""
    use_consistency: bool = True
    """The plane-sweep cost volume as an input."""
    bins_in_hull: bool = True
    """Bins lie between the hull's near and far depth; else across the whole cube."""
    rank_views: bool = True
    """The sequence begins with the view whose hull interval is tightest; else as the views came."""

    # Crops and views (rendering/crops.py, methods/mvgamba.py)
    crop_margin: float = bounded(1.15, 1.0, 10.0)
    """Side of a crop over the longer side of its silhouette's box at inference; training draws it from
    `Sampling.margin`, in which it lies. Set by hand."""
    max_views: int = bounded(16, 1, 64)
    """Most views of a scene. Set by hand: training draws no more."""

    # Hull intervals (model/cost_volume.py)
    hull_steps: int = bounded(40, 2, 1000)
    """Samples of each ray across the cube, for its hull interval. Set by hand: the crossing is interpolated between
    them, so it is finer than their distance."""
    floor_softness: float = bounded(0.02, 1e-6, 2.0)
    """Width of the ramp from below the floor to above it, in the cube's unit, so that its crossing is interpolated like
    a silhouette's. Set by hand."""

    # Inputs of the cascade head (model/cascade_head.py)
    range_sigmas: float = bounded(2.0, 1e-6, 100.0)
    """Half range of the hypotheses, in standard deviations of the initial depth. Set by hand."""
    min_half_range: float = bounded(0.02, 1e-6, 2.0)
    """Least half range, in the cube's unit: of an object of 0.2 m about 2 mm. Set by hand."""
    min_sigma: float = bounded(0.02, 1e-6, 2.0)
    """Added to the standard deviations of the source views' depth maps, in the cube's unit. Set by hand."""
    normalisation_window: int = bounded(7, 1, 255)
    """Side of the neighbourhood whose mean and contrast are taken out of a picture's grey, pixels; odd. Set by hand."""
    normalisation_eps: float = bounded(0.03, 1e-6, 1.0)
    """Contrast that is added there so that noise is not amplified, grey in [0, 1]. Set by hand."""

    @property
    def grid(self) -> int:
        """Rays along a side of a crop."""
        return self.size // self.stride

    def conflict(self) -> str:
        """What no single number shows, in words; empty where all fit."""
        if self.patch % (2 * self.stride) or self.size % self.patch:
            return (
                f"size {self.size} must be a multiple of patch {self.patch}, and that of twice the stride {self.stride}"
            )
        unknown = sorted(set(self.orders) - set(ORDERS))
        return f"orders {unknown} are not of {', '.join(ORDERS)}" if unknown else ""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)
