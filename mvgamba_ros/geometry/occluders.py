"""How far away the things are that may cover an object: what stands behind it covers nothing.

A segmenter labels other things wherever it sees them, in front of the object, beside it and behind. They have a visual
hull too. Along the ray of a pixel that shows another thing, the object can only be behind the place where the ray
enters that: nearer, it would be seen. It is space carving by labels (Kutulakos and Seitz, "A theory of shape by space
carving", 2000), with two of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mvgamba_ros.config.hull_config import HullConfig
from mvgamba_ros.geometry.boxes import box_corners
from mvgamba_ros.geometry.cones import Cone
from mvgamba_ros.geometry.occlusion import is_covered, possible, visible
from mvgamba_ros.geometry.se3 import inverse, transform
from mvgamba_ros.types import F32, F64, U8, Box, View

BACKGROUND, OBJECT, OTHER, UNSEEN = range(4)


def with_fronts(
    cones: Sequence[Cone], views: Sequence[View], bounds: Box, config: HullConfig = HullConfig()
) -> list[Cone]:
    """The ``cones`` of ``views``, each with `Cone.front` where other views show how far away is what may cover the
    object. ``bounds`` hold the object."""
    labels = [_labels(view) for view in views]
    return [
        replace(cone, front=_front(index, views, labels, bounds, config)) if is_covered(view) else cone
        for index, (cone, view) in enumerate(zip(cones, views, strict=True))
    ]


def _labels(view: View) -> U8:
    """(H, W) of each pixel one of `BACKGROUND`, `OBJECT`, `OTHER`."""
    shown = visible(view)
    found = np.where(shown, OBJECT, BACKGROUND).astype(np.uint8)
    if view.hidden is not None:
        found[view.hidden] = OTHER
    return found


def _front(index: int, views: Sequence[View], labels: Sequence[U8], bounds: Box, config: HullConfig) -> F32:
    """(H, W) z-depth in metres at which the ray of each hidden pixel enters another thing; 0 where no other view shows
    that."""
    view = views[index]
    hidden = possible(view) & ~visible(view)
    height, width = hidden.shape
    stride = max(1, round(max(height, width) / config.occluder_cells))
    front = np.zeros((height, width), np.float32)
    cells = hidden[stride // 2 :: stride, stride // 2 :: stride]
    rows, columns = np.nonzero(cells)
    if not len(rows):
        return front
    z = transform(inverse(view.T_world_camera), box_corners(bounds))[:, 2]
    near, far = float(z.min()), float(z.max())
    step = (far - near) / config.occluder_samples
    depths = np.arange(
        max(config.min_camera_distance, near - config.occluder_reach * (far - near)),
        far + config.occluder_reach * (far - near),
        step,
    )
    pixels = np.column_stack([columns, rows]) * float(stride) + stride // 2 + 0.5
    K = view.camera.K
    rays = np.column_stack([(pixels - K[:2, 2]) / K.diagonal()[:2], np.ones(len(pixels))])
    points = transform(view.T_world_camera, (rays[:, None] * depths[None, :, None]).reshape(-1, 3))
    other, own, empty = np.ones(len(points), np.int32), np.zeros(len(points), np.int32), np.zeros(len(points), np.bool_)
    for v, seen in enumerate(views):
        if v != index:
            label = _label_at(seen, labels[v], points)
            other += label == OTHER
            own += label == OBJECT
            empty |= label == BACKGROUND
    occupied = (~empty & (other > own) & (other > 1)).reshape(len(rows), len(depths))
    entered = np.where(occupied.any(axis=1), depths[occupied.argmax(axis=1)] - step, 0.0).astype(np.float32)
    small = np.zeros(cells.shape, np.float32)
    small[rows, columns] = entered
    spread = np.repeat(np.repeat(small, stride, axis=0), stride, axis=1)[:height, :width]
    front[: spread.shape[0], : spread.shape[1]] = spread
    return np.where(hidden, front, np.float32(0))


def _label_at(view: View, labels: U8, points: F64) -> U8:
    """(N,) labels at world points (N, 3); `UNSEEN` out of the picture."""
    in_camera = transform(inverse(view.T_world_camera), points)
    x, y, z = in_camera.T
    ahead = z > 0.0
    depth = np.where(ahead, z, 1.0)
    K, (height, width) = view.camera.K, labels.shape
    u, v = K[0, 0] * x / depth + K[0, 2], K[1, 1] * y / depth + K[1, 2]
    inside = ahead & (u >= 0.0) & (v >= 0.0) & (u < width) & (v < height)
    found = np.full(len(points), UNSEEN, np.uint8)
    found[inside] = labels[v[inside].astype(np.int64), u[inside].astype(np.int64)]
    return found
