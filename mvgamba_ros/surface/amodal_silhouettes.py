"""Amodal silhouettes: those of the whole object, also where another thing covers it, from the visual hull."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mvgamba_ros.geometry.distance_field import DistanceField
from mvgamba_ros.geometry.occlusion import is_covered, visible
from mvgamba_ros.rendering.mesh_raycaster import Raycaster
from mvgamba_ros.surface.meshing import solid, surface_of
from mvgamba_ros.types import View


def with_amodal_masks(views: Sequence[View], hull: DistanceField, support_height: float | None = None) -> list[View]:
    """Undistorted ``views`` whose masks go on where they are hidden, as far as the visual ``hull`` does, which the
    other views carved; ``hidden`` stays. Views that nothing covers are returned as they are.

    ``support_height``: world z of the plane that the object stands on, metres.
    """
    if not any(is_covered(view) for view in views):
        return list(views)
    caster = Raycaster(surface_of(solid(hull, support_height)))
    return [_completed(view, caster) if is_covered(view) else view for view in views]


def _completed(view: View, caster: Raycaster) -> View:
    assert view.hidden is not None
    rows, columns = np.nonzero(view.hidden)
    pixels = np.column_stack([columns, rows]).astype(np.float64) + 0.5
    met = np.isfinite(caster.depths(view.camera, view.T_world_camera, pixels))
    mask = visible(view).copy()
    mask[rows[met], columns[met]] = True
    return replace(view, mask=mask)
