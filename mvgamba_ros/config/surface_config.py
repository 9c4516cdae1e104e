"""How depths become a mesh."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SurfaceConfig:
    """How depths become a mesh."""
