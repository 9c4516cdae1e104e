"""When a reconstruction is called low."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class QualityConfig:
    """When a reconstruction is called low."""
