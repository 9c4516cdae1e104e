"""A solid as a field of signed distances on a grid: what carving and TSDF integration both answer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from mvgamba_ros.types import F32, F64, Bool


@dataclass(frozen=True)
class DistanceField:
    """A solid as signed distances on a regular grid: carving and TSDF integration both answer one.

    ``values`` (nx, ny, nz) float32 metres, positive inside, at world points ``origin + voxel * (i, j, k)``; ``origin``
    (3,) and ``voxel`` in metres. Exact in sign and near the surface; elsewhere what made it says how far it is a bound.
    """

    values: F32
    origin: F64
    voxel: float

    @cached_property
    def inside(self) -> Bool:
        return self.values > 0.0

    def bounds(self) -> F64:
        """(2, 3): lowest and highest corner of the voxels inside, half a voxel beyond their centres."""
        corners = []
        for axis in range(3):
            used = np.flatnonzero(self.inside.any(axis=tuple(other for other in range(3) if other != axis)))
            corners.append((used[0] - 0.5, used[-1] + 0.5))
        return self.origin + self.voxel * np.array(corners).T

    def volume(self) -> float:
        """Cubic metres."""
        return float(self.inside.sum()) * self.voxel**3

    def sample(self, points: F64) -> F32:
        """The field (N,) at world points (N, 3), trilinear; beyond the grid that of its border."""
        shape = np.array(self.values.shape)
        index = (np.asarray(points) - self.origin) / self.voxel
        grid = torch.from_numpy((2.0 * index / (shape - 1) - 1.0)[:, ::-1].astype(np.float32).copy())
        field = torch.from_numpy(self.values)[None, None]
        return torch.nn.functional.grid_sample(
            field, grid[None, None, None], mode="bilinear", padding_mode="border", align_corners=True
        ).numpy()[0, 0, 0, 0]
