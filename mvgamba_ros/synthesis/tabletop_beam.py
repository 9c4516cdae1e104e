"""How evenly a lamp lights a table: pools of light, shadows of things out of the picture, blinds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mvgamba_ros.synthesis.shading import Light, Rng
from mvgamba_ros.synthesis.tabletop_rig import TabletopRig
from mvgamba_ros.types import F32


@dataclass(frozen=True)
class Beam:
    """The share of the key light that reaches a place when nothing in the scene is in its way.

    Attributes:
        across: (2, 3) axes across the light.
        centre: (2,) middle of the pool of light, metres along the axes.
        spread: Sigma of the pool, metres.
        stripe: (2,) cycles per metre of a pattern of stripes along the axes; 0: one edge instead, through ``edge``.
        edge: Of the one edge, metres; of stripes, the share of a period that is lit, in [0, 1].
        width: Over which light turns to shadow, metres.
        dark: Share of the light that the pattern's shadow keeps.
    """

    across: F32
    centre: F32
    spread: float
    stripe: F32
    edge: float
    width: float
    dark: float

    def share(self, points: F32) -> F32:
        """In [0, 1], (N,), at points (N, 3), metres."""
        place = points @ self.across.T
        pool = np.exp(-(((place - self.centre) ** 2).sum(1)) / np.float32(2 * self.spread**2))
        if self.stripe.any():
            period = 1 / float(np.linalg.norm(self.stripe))
            phase = (place @ self.stripe) % 1
            depth = (np.minimum(phase, 1 - phase) - (1 - self.edge) / 2) * np.float32(period)
        else:
            depth = place[:, 0] - np.float32(self.edge)
        lit = np.clip(depth / np.float32(self.width) + np.float32(0.5), 0, 1)
        return np.asarray(pool * (self.dark + (1 - self.dark) * lit), np.float32)


def sample_beam(light: Light, rig: TabletopRig, rng: Rng) -> tuple[Beam, set[str]]:
    """A beam for the light, and what is special in it: "pool" and "shadow_edge" or "stripes"."""
    start = np.cross(light.key, [1.0, 0.0, 0.0] if abs(light.key[0]) < 0.7 else [0.0, 1.0, 0.0])
    first = start / np.linalg.norm(start)
    second = np.cross(light.key, first)
    turn = rng.uniform(0, 2 * np.pi)
    across = np.stack(
        [math.cos(turn) * first + math.sin(turn) * second, math.cos(turn) * second - math.sin(turn) * first]
    )
    kinds, spread, stripe = set(), 1e3, np.zeros(2)
    width = 0.002 + light.softness * rng.uniform(0.3, 1.0)
    edge, dark = -1e3, float(rng.uniform(0.0, 0.6))
    if rng.random() < rig.pool:
        kinds.add("pool")
        spread = float(rng.uniform(0.2, 0.8))
    drawn = rng.random()
    if drawn < rig.shadow_edge:
        kinds.add("shadow_edge")
        edge = float(rng.normal(0, 0.12))
    elif drawn < rig.shadow_edge + rig.stripes:
        angle = rng.uniform(0, 2 * np.pi)
        kinds.add("stripes")
        edge = float(rng.uniform(0.3, 0.7))
        stripe = np.array([math.cos(angle), math.sin(angle)]) / rng.uniform(0.05, 0.25)
    return Beam(
        across.astype(np.float32),
        rng.normal(0, 0.1, 2).astype(np.float32),
        spread,
        stripe.astype(np.float32),
        edge,
        width,
        dark,
    ), kinds
