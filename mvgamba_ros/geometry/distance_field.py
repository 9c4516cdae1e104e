"""A solid as signed distances on a regular grid: the form of the visual hull and of an integrated TSDF."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from mvgamba_ros.types import F32, F64, Bool


@dataclass(frozen=True)
class DistanceField:
    """A solid as signed distances on a regular grid; `carve` and `integrate_depth_maps` both return one.

    ``values`` (nx, ny, nz) float32 metres, positive inside, at world points ``origin + voxel * (i, j, k)``; ``origin``
    (3,) and ``voxel`` in metres. Exact in sign and near the surface; far from it a visual hull's values are bounds and
    a TSDF's are truncated.
    """

    values: F32
    origin: F64
    voxel: float

    @cached_property
    def inside(self) -> Bool:
        """(nx, ny, nz): which voxels' centres lie inside."""
        return self.values > 0.0

    def bounds(self) -> F64:
        """(2, 3): low and high corner of the axis-parallel bounding box of the voxels inside, world metres."""
        corners = []
        for axis in range(3):
            used = np.flatnonzero(self.inside.any(axis=tuple(other for other in range(3) if other != axis)))
            corners.append((used[0] - 0.5, used[-1] + 0.5))
        return self.origin + self.voxel * np.array(corners).T

    def volume(self) -> float:
        """Of the voxels inside, cubic metres."""
        return float(self.inside.sum()) * self.voxel**3

    def sample(self, points: F64) -> F32:
        """Trilinear samples (N,) metres at world points (N, 3); beyond the grid those of its border."""
        shape = np.array(self.values.shape)
        index = (np.asarray(points) - self.origin) / self.voxel
        grid = torch.from_numpy((2.0 * index / (shape - 1) - 1.0)[:, ::-1].astype(np.float32).copy())
        field = torch.from_numpy(self.values)[None, None]
        return torch.nn.functional.grid_sample(
            field, grid[None, None, None], mode="bilinear", padding_mode="border", align_corners=True
        ).numpy()[0, 0, 0, 0]
