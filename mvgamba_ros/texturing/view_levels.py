"""How views compare: one level for each, such as its exposure, from what pairs of them show of the same points."""

from __future__ import annotations

import numpy as np

from mvgamba_ros.types import F32, F64

FEWEST = 30
"""Points that two views must share to be compared; a median of fewer says little. Not a setting."""
HOLD = 0.05
"""Weight that holds each level at 0, of a pair's that shares all points: views that share none keep theirs. Not a
setting."""


def relative_levels(values: F32, weights: F32) -> F64:
    """Levels (V, C), their mean 0: by how much ``values`` (V, N, C) of one view lie above another's of the same points,
    by the median over the points that both see, all pairs in least squares.

    ``weights`` (V, N): how well each view sees each point, 0: not at all.
    """
    count, points, channels = values.shape
    normal = np.eye(count) * HOLD
    right = np.zeros((count, channels))
    for i in range(count):
        for j in range(i):
            both = np.flatnonzero((weights[i] > 0.0) & (weights[j] > 0.0))
            if len(both) < FEWEST:
                continue
            share = len(both) / points
            difference = np.median(values[i, both] - values[j, both], axis=0)
            normal[[i, j], [i, j]] += share
            normal[[i, j], [j, i]] -= share
            right[i] += share * difference
            right[j] -= share * difference
    levels = np.asarray(np.linalg.solve(normal, right), np.float64)
    return levels - levels.mean(axis=0)
