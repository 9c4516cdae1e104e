"""A known object with something in front of it, for the tests of occlusion."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import rendered

from mvgamba_ros import Options
from mvgamba_ros.geometry.boxes import axis_parallel_box
from mvgamba_ros.types import Bool, Prompts, View

GREEN = (0, 255, 0)
ROI = axis_parallel_box(rendered.CENTER - 0.7 * rendered.SIZE, rendered.CENTER + 0.7 * rendered.SIZE)
FROM_MASKS = Options(
    method="hull", use_masks=True, refine_poses="off", hull_resolution=48, prompts=Prompts(roi=ROI, support_height=0.0)
)
POINTS = np.random.default_rng(0).normal(size=(500, 3))
SURFACE = rendered.CENTER + 0.49 * rendered.SIZE * POINTS / np.linalg.norm(POINTS, axis=1, keepdims=True)
"""Just inside of the ellipsoid's surface."""


def cover(view: View, part: Bool) -> View:
    """The view with something green in front of ``part``, 10 cm before the object."""
    assert view.mask is not None and view.depth is not None
    image = np.where(part[..., None], np.array(GREEN, np.uint8), view.image)
    depth = np.where(part, view.depth[view.mask].min() - np.float32(0.1), view.depth)
    return replace(view, image=image, depth=depth, mask=view.mask & ~part, hidden=part)


def right_of_its_middle(view: View) -> Bool:
    """A post from the top of the picture to its bottom, over a third of the object."""
    assert view.mask is not None
    columns = np.flatnonzero(view.mask.any(axis=0))
    part = np.zeros_like(view.mask)
    part[:, columns[len(columns) // 2] : columns[-len(columns) // 6]] = True
    return part


def covered_views(whole: list[View], *indices: int) -> list[View]:
    return [cover(v, right_of_its_middle(v)) if i in indices else v for i, v in enumerate(whole)]


def without_hidden(views: list[View]) -> list[View]:
    return [replace(view, hidden=None) for view in views]
