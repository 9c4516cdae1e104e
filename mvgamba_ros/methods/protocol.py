"""What a reconstructor is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from mvgamba_ros.geometry.distance_field import DistanceField
from mvgamba_ros.options import Options
from mvgamba_ros.types import Cancelled, Gaussians, Mesh, Progress, View


@dataclass(frozen=True)
class Shape:
    """What a method answers, in the world frame, metres: a clean closed mesh of at most ``options.max_faces``, and
    Gaussians if it has them.

    The pipeline paints the mesh from the views, so ``mesh.colors`` matters only where no view looks.
    """

    mesh: Mesh
    gaussians: Gaussians | None = None


class Method(Protocol):
    """A reconstructor. Making one may load weights; calling it must not."""

    name: str

    def __call__(
        self, views: Sequence[View], hull: DistanceField, options: Options, progress: Progress, cancelled: Cancelled
    ) -> Shape:
        """``views`` are undistorted and have masks; ``options.prompts.support_height`` is the height in use, given or
        estimated. ``progress(stage, fraction)`` takes the fraction of this
        method's own work; ``cancelled`` is polled between heavy steps with `errors.stop_if`.
        """
        ...
