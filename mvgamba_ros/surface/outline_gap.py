"""Outline gap: how far a mesh stays inside the silhouettes that it was made from."""

from __future__ import annotations

import cv2
import numpy as np

from mvgamba_ros.geometry.occlusion import visible
from mvgamba_ros.geometry.raster import part_around
from mvgamba_ros.rendering.mesh_raycaster import RenderedMesh
from mvgamba_ros.types import View


def outline_gap(view: View, rendered: RenderedMesh) -> float:
    """Mean distance, millimetres at the mesh's depth, by which the mesh ``rendered`` into an undistorted ``view`` ends
    inside the view's silhouette: the area that it does not cover, over the length of the silhouette's outline. NaN
    where the view shows nothing of the mesh or has an empty mask.

    A mesh lies within what the silhouettes of all views allow: where poses, intrinsics or masks contradict each other,
    that is less than each of them shows, and a gap is left. In millimetres, since a pixel of a thin object's outline is
    a large share of its area and no larger an error.
    """
    whole = visible(view)
    part = part_around(whole | rendered.mask, 1)
    mask, covered = whole[part], rendered.mask[part]
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    length = sum(cv2.arcLength(outline, True) for outline in outlines)
    if not length or not covered.any():
        return float("nan")
    pixel = 1e3 * float(np.median(rendered.depth[part][covered])) / view.camera.K[0, 0]
    return np.count_nonzero(mask & ~covered) / length * pixel
