"""The reconstructor without weights: the visual hull's own surface."""

from __future__ import annotations

from collections.abc import Sequence

from mvgamba_ros.errors import stop_if
from mvgamba_ros.geometry.distance_field import DistanceField
from mvgamba_ros.methods.protocol import Shape
from mvgamba_ros.options import Options
from mvgamba_ros.surface.measured_depth import measured_depths
from mvgamba_ros.surface.meshing import field_to_mesh
from mvgamba_ros.surface.tsdf import integrate_depth_maps, smooth
from mvgamba_ros.types import Cancelled, Progress, View


class HullMethod:
    """Marching cubes on the visual hull. Never smaller than the object, and without its hollows, but for those that
    measured depth shows."""

    name = "hull"

    @classmethod
    def from_options(cls, options: Options) -> HullMethod:
        """The factory that is registered; it needs nothing of ``options``."""
        return cls()

    def __call__(
        self, views: Sequence[View], hull: DistanceField, options: Options, progress: Progress, cancelled: Cancelled
    ) -> Shape:
        stop_if(cancelled)
        surface = options.config.surface
        height = options.prompts.support_height
        depths = measured_depths(views, hull, height, options.config.depth)
        measured = [found for found in depths if found is not None]
        if measured:
            truncation = surface.truncation * hull.voxel
            tsdf = integrate_depth_maps(measured, hull, truncation, config=surface)
            hull = smooth(tsdf, hull, truncation, surface, measured=True)
        mesh = field_to_mesh(hull, options.max_faces, height, config=surface)
        progress("method", 1.0)
        return Shape(mesh)
