"""How silhouettes are found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SegmentationConfig:
    """How silhouettes are found."""
