"""How Gaussians are laid on a mesh and fitted."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SplatConfig:
    """How Gaussians are laid on a mesh and fitted."""
