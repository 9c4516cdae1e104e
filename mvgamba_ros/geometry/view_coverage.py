"""How well views cover the directions around an object that is not known yet."""

from __future__ import annotations

import math

import numpy as np

from mvgamba_ros.geometry.rays import axes_intersection
from mvgamba_ros.types import F64, Bool

COVERED_WITHIN = math.radians(60.0)
"""A direction counts as covered when a view lies within this angle of it, radians."""
PARALLEL_DEPTH = 0.5
"""Metres ahead of the cameras: where the object is taken to be while the optical axes are parallel."""
DIRECTIONS = 512
"""Directions of the half sphere that are tried."""


def viewed_point(T_world_camera: F64) -> F64:
    """The point (3,) that the optical axes of poses (V, 4, 4) pass nearest, by least squares; `PARALLEL_DEPTH` ahead of
    their mean where they are as good as parallel."""
    eyes, axes = T_world_camera[:, :3, 3], T_world_camera[:, :3, 2]
    point = axes_intersection(eyes, axes)
    return (eyes + PARALLEL_DEPTH * axes).mean(axis=0) if point is None else point


def directions_from(point: F64, eyes: F64) -> F64:
    """Unit vectors (..., 3) from ``point`` (3,) to ``eyes`` (..., 3)."""
    away = eyes - point
    return np.asarray(away / np.maximum(np.linalg.norm(away, axis=-1, keepdims=True), 1e-9), np.float64)


def upper_directions(count: int = DIRECTIONS) -> F64:
    """Unit vectors (count, 3), evenly over the upper half sphere: heights evenly spread, each turned by the golden
    angle from the one before (a Fibonacci lattice: Swinbank and Purser, 2006)."""
    z = (np.arange(count) + 0.5) / count
    turn = np.arange(count) * math.pi * (3.0 - math.sqrt(5.0))
    radius = np.sqrt(1.0 - z**2)
    return np.stack([radius * np.cos(turn), radius * np.sin(turn), z], axis=1)


def covered(outward: F64, directions: F64) -> Bool:
    """(V, N): which ``directions`` (N, 3) lie within `COVERED_WITHIN` of views in directions ``outward`` (V, 3)."""
    found: Bool = outward @ directions.T >= math.cos(COVERED_WITHIN)
    return found


def coverage(T_world_camera: F64) -> tuple[float, float]:
    """How well poses (V, 4, 4) cover the directions around the point that their optical axes meet in.

    Returns the share of the upper half sphere of directions that lies within `COVERED_WITHIN` of a view, [0, 1], and
    the widest turn about z, radians, without a view. No views: 0 and a full turn.
    """
    if len(T_world_camera) == 0:
        return 0.0, 2.0 * math.pi
    outward = directions_from(viewed_point(T_world_camera), T_world_camera[:, :3, 3])
    seen = covered(outward, upper_directions()).any(axis=0)
    azimuths = np.sort(np.arctan2(outward[:, 1], outward[:, 0]))
    gaps = np.diff(np.append(azimuths, azimuths[0] + 2.0 * math.pi))
    return float(seen.mean()), float(gaps.max())
