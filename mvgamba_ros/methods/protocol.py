"""What a reconstructor is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from mvgamba_ros.geometry.hull import VisualHull
from mvgamba_ros.options import Options
from mvgamba_ros.types import Cancelled, Gaussians, Mesh, Progress, View


@dataclass(frozen=True)
class Shape:
    """What a method answers, in the world frame, metres: a closed mesh of any size, and Gaussians if it has them.

    The pipeline cleans and decimates the mesh and paints it from the views, so ``mesh.colors`` matters only where no
    view looks.
    """

    mesh: Mesh
    gaussians: Gaussians | None = None


class Method(Protocol):
    """A reconstructor. Making one may load weights; calling it must not."""

    name: str

    def __call__(
        self, views: Sequence[View], hull: VisualHull, options: Options, progress: Progress, cancelled: Cancelled
    ) -> Shape:
        """``views`` are undistorted and have masks. ``progress(stage, fraction)`` takes the fraction of this
        method's own work; ``cancelled`` is polled between heavy steps with `errors.stop_if`.
        """
        ...
