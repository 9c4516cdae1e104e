"""Errors of a reconstruction against the object that the simulation holds: its surface and its bounding box."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mvgamba_ros.geometry.boxes import oriented_box
from mvgamba_ros.metrics.shape import shape_errors, surface_points
from mvgamba_ros.types import Box, Mesh


@dataclass(frozen=True)
class ObjectErrors:
    """``chamfer_mm`` and ``f_score`` (F at 5 mm, [0, 1]) as in `shape_errors`. ``center_error``: metres between the
    boxes' centres; ``size_error``: the largest difference of a side, metres."""

    chamfer_mm: float
    f_score: float
    center_error: float
    size_error: float


def object_errors(mesh: Mesh, box: Box, truth: Mesh) -> ObjectErrors:
    """``mesh`` and ``box`` against the true surface, all in one frame. Sides are compared longest with longest, as
    which one is called x is not given by the object."""
    errors = shape_errors(surface_points(mesh), surface_points(truth))
    true_box = oriented_box(truth)
    return ObjectErrors(
        chamfer_mm=errors["chamfer_mm"],
        f_score=errors["F@5mm"],
        center_error=float(np.linalg.norm(box.T_world_box[:3, 3] - true_box.T_world_box[:3, 3])),
        size_error=float(np.abs(np.sort(box.size) - np.sort(true_box.size)).max()),
    )
