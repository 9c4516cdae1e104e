"""Which of many views to take: those that lie furthest apart around the object."""

from __future__ import annotations

import numpy as np

from mvgamba_ros.types import F64


def spread_views(T_world_camera: F64, centre: F64, count: int) -> list[int]:
    """Indices of ``count`` of the poses (V, 4, 4): the first, then each time the one whose direction from ``centre``
    (3,) is furthest from all before (farthest-point sampling: Gonzalez, 1985). In order of azimuth about the world's z
    from the first, as MVGamba's authors order their four."""
    away = T_world_camera[:, :3, 3] - centre
    away = away / np.linalg.norm(away, axis=1, keepdims=True)
    chosen = [0]
    while len(chosen) < count:
        nearest = (away @ away[chosen].T).max(axis=1)  # cosine to the nearest of the chosen
        nearest[chosen] = np.inf
        chosen.append(int(nearest.argmin()))
    azimuth = np.arctan2(away[:, 1], away[:, 0])
    return sorted(chosen, key=lambda i: (azimuth[i] - azimuth[0]) % (2 * np.pi))
