"""The unit of depth that a capture does not state, by what two views see of one surface.

A point that one view measures lies, seen from another, where that one measures it too, unless it is hidden there. With
depth in another unit than the poses, surfaces of different views meet nowhere but by chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from mvgamba_ros.geometry.se3 import inverse, transform
from mvgamba_ros.io.transforms_intrinsics import bad_capture
from mvgamba_ros.types import F64, View

STEPS = {1e-3: "millimetres", 1e-4: "0.1 mm", 2e-4: "0.2 mm, as TUM's", 2.5e-4: "0.25 mm", 5e-4: "0.5 mm"}
"""Metres of one step of depth that cameras and data sets have, the first the one that is assumed."""
AGREES = 0.02
"""Share of the distance by which two measurements of a point may differ. Set by hand: twice a stereo camera's error."""
CLEAR, NEARLY_NONE = 0.4, 0.2
"""Shares of points that agree: another unit must reach the first where the assumed one is below the second. Set by
hand: in rendered captures of a table they are above 0.6 with the right unit and 0 with a wrong one."""
GRID = 24
"""Points along the shorter side of a picture."""
FEWEST = 100
"""Points in both views of all pairs, below which nothing is known."""


def check_depth_unit(source: Path, views: Sequence[View]) -> None:
    """Raises BAD_CAPTURE where depth of ``views``, read as `STEPS`' first, disagrees between them and agrees in another
    unit. Distortion is left out: it moves points by little against what a wrong unit does."""
    measured = [view for view in views if view.depth is not None]
    if len(measured) < 2:
        return
    assumed = next(iter(STEPS))
    shares = {step: _agreement(measured, step / assumed) for step in STEPS}
    best = max(shares, key=lambda step: shares[step])
    if shares[assumed] < NEARLY_NONE and shares[best] >= CLEAR:
        raise bad_capture(
            source,
            f"depth read as millimetres agrees between views at {shares[assumed]:.0%} of the points, as {STEPS[best]} "
            f'at {shares[best]:.0%}: state the metres of one step, "integer_depth_scale": {best:g}',
        )


def _agreement(views: Sequence[View], factor: float) -> float:
    """Share of the points, seen in both of two neighbours in the list, whose depths times ``factor`` agree."""
    seen = agreed = 0
    for a, b in pairwise(views):
        points = _points(a, factor)
        camera = transform(inverse(b.T_world_camera), points)
        z = camera[:, 2]
        front = z > 1e-6
        pixels = camera[front] @ b.camera.K.T
        u, v = np.floor(pixels[:, :2] / pixels[:, 2:]).astype(np.int64).T
        inside = (u >= 0) & (v >= 0) & (u < b.camera.width) & (v < b.camera.height)
        assert b.depth is not None
        there = b.depth[v[inside], u[inside]].astype(np.float64) * factor
        z = z[front][inside][there > 0.0]
        there = there[there > 0.0]
        seen += len(z)
        agreed += int((np.abs(z - there) < AGREES * there).sum())
    return agreed / seen if seen >= FEWEST else 0.0


def _points(view: View, factor: float) -> F64:
    """World points (N, 3) of a grid of the view's measured pixels."""
    assert view.depth is not None
    stride = max(1, min(view.depth.shape) // GRID)
    v, u = np.mgrid[stride // 2 : view.depth.shape[0] : stride, stride // 2 : view.depth.shape[1] : stride]
    z = view.depth[v, u].ravel().astype(np.float64) * factor
    pixels = np.stack([u.ravel() + 0.5, v.ravel() + 0.5, np.ones(u.size)], axis=1)
    rays = pixels @ np.linalg.inv(view.camera.K).T
    return transform(view.T_world_camera, (rays * z[:, None])[z > 0.0])
