"""How finely the visual hull is carved."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class HullConfig:
    """How finely the visual hull is carved."""
