"""Objects as tabletop scenes are laid with, one at a time: families, thin and everyday things, repainted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mvgamba_ros.synthesis.tabletop_layout import draw_object
from mvgamba_ros.synthesis.tabletop_materials import finished
from mvgamba_ros.synthesis.tabletop_rig import TabletopRig
from mvgamba_ros.synthesis.textured_mesh import TexturedMesh

OPAQUE = TabletopRig(transparent=0.0, translucent=0.0)
"""Shares of shapes and materials: a tabletop's, without what light passes through, which views with depth lack."""


@dataclass(frozen=True)
class Household:
    """``count`` objects, the same for the same ``seed``: of the families, thin or perforated, soft or of many parts; as
    they come, or white, dark, of one colour, of metal, glazed. Longest sides within `TabletopRig.side`, metres."""

    seed: int
    count: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> TexturedMesh:
        if not 0 <= index < self.count:
            raise IndexError(f"object {index} of {self.count}")
        rng = np.random.default_rng([self.seed, index])
        item, _ = finished(draw_object(OPAQUE, rng), OPAQUE, rng)
        return item.mesh
