"""Families of household and warehouse objects, 2 to 30 cm, by parameters: each call draws another one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from mvgamba_ros.synthesis.draw import Piece, Rng
from mvgamba_ros.synthesis.solids import (
    box,
    fruit,
    gable_carton,
    letter,
    prism,
    rock,
    superquadric,
    tool,
    union,
)
from mvgamba_ros.synthesis.textured_mesh import TexturedMesh, assemble
from mvgamba_ros.synthesis.vessels import bottle, bowl, can, mug, pan

FAMILIES: dict[str, tuple[Callable[[Rng], list[Piece]], float]] = {
    "box": (box, 0.15),
    "gable_carton": (gable_carton, 0.06),
    "can": (can, 0.1),
    "bottle": (bottle, 0.13),
    "mug": (mug, 0.09),
    "bowl": (bowl, 0.06),
    "pan": (pan, 0.05),
    "tool": (tool, 0.07),
    "fruit": (fruit, 0.09),
    "superquadric": (superquadric, 0.06),
    "prism": (prism, 0.05),
    "letter": (letter, 0.03),
    "rock": (rock, 0.02),
    "union": (union, 0.1),
}
"""Each family with its share of the objects."""

_UPRIGHT = {"gable_carton", "can", "bottle", "mug", "bowl", "pan"}


@dataclass(frozen=True)
class DrawnObjects:
    """``count`` objects, each drawn anew by `draw`, the same for the same ``seed``."""

    seed: int
    count: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> TexturedMesh:
        if not 0 <= index < self.count:
            raise IndexError(f"object {index} of {self.count}")
        return self.draw(np.random.default_rng([self.seed, index]))

    def draw(self, rng: Rng) -> TexturedMesh:
        """Any one object."""
        raise NotImplementedError


@dataclass(frozen=True)
class Procedural(DrawnObjects):
    """Objects of the families; ``shares`` replaces the families' own."""

    shares: dict[str, float] | None = None

    def draw(self, rng: Rng) -> TexturedMesh:
        shares = self.shares or {name: share for name, (_, share) in FAMILIES.items()}
        weights = np.array(list(shares.values()))
        name = list(shares)[rng.choice(len(weights), p=weights / weights.sum())]
        return make(name, rng)


def make(name: str, rng: Rng) -> TexturedMesh:
    """One object of a family, its largest side between 2 and 30 cm."""
    mesh = assemble(FAMILIES[name][0](rng), name, upright=name in _UPRIGHT)
    side = float(np.ptp(mesh.vertices, axis=0).max())
    scale = float(np.clip(side, 0.025, 0.3)) / side
    return replace(mesh, vertices=mesh.vertices * scale)
