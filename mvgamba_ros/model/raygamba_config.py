"""The settings of the RayGamba network."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

ORDERS = ("rows", "rows_reversed", "across", "across_reversed", "columns", "columns_reversed")
"""Scan orders over the kept tokens: view by view along rows or columns, or patch by patch across the views."""


@dataclass(frozen=True)
class RayGambaConfig:
    """What the network is built from; stored with its weights. The switches at the end take a choice back, to measure
    what it brings (docs/ablation.md)."""

    size: int = 96
    """Side of the input crops, pixels; a multiple of ``patch``. No weight depends on it."""
    patch: int = 8
    """Side of a token, pixels; a multiple of ``2 * stride``."""
    stride: int = 2
    """Pixels between neighbouring rays of the Gaussians' grid."""
    width: int = 192
    """Channels of tokens and of the residual stream; by ablation."""
    d_state: int = 16
    """States per channel of the selective scan: Mamba's default."""
    skip: int = 32
    """Channels of the skip connection from stem to decoder."""
    bins: int = 16
    """Depth bins of a ray, between the hull's near and far depth; by ablation."""
    orders: tuple[str, ...] = (*ORDERS[:4], *ORDERS[4:], *ORDERS[2:4])
    """Scan order of each block, of `ORDERS`; their number is the depth."""
    cascade_positions: int = 0
    """Depth hypotheses of the cascade head along a ray; 0 for none, the depth head's depths are then final."""
    use_interval: bool = True
    """The hull's near and far depth as inputs."""
    use_consistency: bool = True
    """The plane-sweep cost volume as an input."""
    bins_in_hull: bool = True
    """Bins lie between the hull's near and far depth; else across the whole cube."""
    rank_views: bool = True
    """The sequence begins with the view whose hull interval is tightest; else as the views came."""

    @property
    def grid(self) -> int:
        """Rays along a side of a crop."""
        return self.size // self.stride

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)
