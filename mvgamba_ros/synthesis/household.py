"""Objects as tabletop scenes are laid with, one at a time: families, thin and everyday things, repainted."""

from __future__ import annotations

from mvgamba_ros.synthesis.draw import Rng
from mvgamba_ros.synthesis.families import DrawnObjects
from mvgamba_ros.synthesis.tabletop_layout import draw_object
from mvgamba_ros.synthesis.tabletop_materials import finished
from mvgamba_ros.synthesis.tabletop_rig import TabletopRig
from mvgamba_ros.synthesis.textured_mesh import TexturedMesh

OPAQUE = TabletopRig(transparent=0.0, translucent=0.0)
"""Shares of shapes and materials: a tabletop's, without what light passes through, which views with depth lack."""


class Household(DrawnObjects):
    """Objects of the families, thin or perforated, soft or of many parts; as they come, or white, dark, of one colour,
    of metal, glazed. Longest sides within `TabletopRig.side`, metres."""

    def draw(self, rng: Rng) -> TexturedMesh:
        item, _ = finished(draw_object(OPAQUE, rng), OPAQUE, rng)
        return item.mesh
