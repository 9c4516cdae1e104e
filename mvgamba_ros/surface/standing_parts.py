"""How many things stand together in one silhouette: lobes of the visual hull that meet at a neck, each on the plane.

Two things that touch, or stand near each other, and were taken for one leave a hull of two thick parts with a thin
bridge. A part counts by its inscribed sphere, which the hull's distance field holds: the level at which the field falls
apart is the radius of the neck (the persistence of its maxima: Edelsbrunner, Letscher and Zomorodian, "Topological
persistence and simplification", 2002). Handles and spouts do not reach the plane, or are thin.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from mvgamba_ros.config.wholeness_config import NeighborConfig
from mvgamba_ros.geometry.distance_field import DistanceField


def count_standing(hull: DistanceField, support_height: float | None, config: NeighborConfig = NeighborConfig()) -> int:
    """Parts of the ``hull`` that look like things of their own, at least 1.

    ``support_height``: world z in metres of the plane that they stand on; None: the hull's lowest point.
    """
    stride = max(1, round(max(hull.values.shape) / config.cells))
    cell = stride * hull.voxel
    depth = np.maximum(hull.values[::stride, ::stride, ::stride], 0.0)
    inside = depth > 0.0
    if not inside.any():
        return 1
    z = hull.origin[2] + cell * np.arange(depth.shape[2])
    plane = float(z[inside.any(axis=(0, 1))].min()) if support_height is None else support_height
    largest, most = float(depth.max()), 1
    for neck in largest * np.linspace(config.thinnest, config.min_radius, config.levels):
        parts, count = ndimage.label(depth > neck)
        if count < 2:
            continue
        each = np.arange(1, count + 1)
        radius = ndimage.maximum(depth, parts, each)
        share = np.bincount(parts.ravel(), minlength=count + 1)[1:] / np.count_nonzero(parts)
        lowest = (
            np.array([z[box[2].start] if box is not None else np.inf for box in ndimage.find_objects(parts)]) - neck
        )
        stands = lowest < plane + config.standing * largest
        thick = (radius > config.waist * neck) & (radius > max(config.min_radius * largest, config.min_cells * cell))
        most = max(most, int(np.count_nonzero(thick & stands & (share > config.min_share))))
    return most
