"""Which of many views to take: those that lie furthest apart around the object."""

from __future__ import annotations

import numpy as np

from mvgamba_ros.types import F64


def spread_views(T_world_camera: F64, centre: F64, count: int) -> list[int]:
    """Indices of ``count`` of the poses (V, 4, 4): the first, then each time the one whose direction from ``centre``
    (3,) is furthest from all before (farthest-point sampling: Gonzalez, 1985). In order of azimuth about the world's z
    from the first, as MVGamba's authors order their four."""
    away = _directions(T_world_camera, centre)
    azimuth = np.arctan2(away[:, 1], away[:, 0])
    return sorted(_farthest(away, count), key=lambda i: (azimuth[i] - azimuth[0]) % (2 * np.pi))


def views_apart(T_world_camera: F64, centre: F64, most: int, min_angle: float) -> list[int]:
    """Indices of at most ``most`` of the poses (V, 4, 4), chosen as by `spread_views` until every other lies within
    ``min_angle`` degrees of one of them. In their own order."""
    return sorted(_farthest(_directions(T_world_camera, centre), most, float(np.cos(np.radians(min_angle)))))


def _directions(T_world_camera: F64, centre: F64) -> F64:
    away = T_world_camera[:, :3, 3] - centre
    return np.asarray(away / np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-12), np.float64)


def _farthest(away: F64, count: int, max_cosine: float = np.inf) -> list[int]:
    chosen = [0]
    while len(chosen) < min(count, len(away)):
        nearest = (away @ away[chosen].T).max(axis=1)  # cosine to the nearest of the chosen
        nearest[chosen] = np.inf
        farthest = int(nearest.argmin())
        if nearest[farthest] > max_cosine:
            break
        chosen.append(farthest)
    return chosen
