"""The hidden side of an object that stands on a plane and was seen from one place: solid from what is seen down to the
plane, as far as the silhouette and the lines of sight allow.

Things in a robot's reach mostly have upright sides. Where one hangs in the air, a camera above sees the ground beneath
it, and there the silhouette cuts the columns. Compare the extrusion to the table of Bohg et al., "Mind the gap: robotic
grasping under incomplete observation", ICRA 2011.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional as F

from mvgamba_ros.config.surface_config import SurfaceConfig
from mvgamba_ros.geometry.distance_field import DistanceField
from mvgamba_ros.surface.depth_maps import DepthMaps
from mvgamba_ros.types import F32


def fill_to_support(
    field: DistanceField, hull: DistanceField, maps: Sequence[DepthMaps], config: SurfaceConfig = SurfaceConfig()
) -> DistanceField:
    """``field`` and all that lies below the surface seen in the front depths of ``maps``.

    ``hull``: the visual hull on the same grid, z up, cut off at the support plane: nothing outside of it is filled, nor
    before a front depth. A union of solids by their signed distances.
    """
    behind = np.minimum.reduce([_behind(those, v, hull) for those in maps for v in range(len(those.front))])
    shell = np.minimum(np.minimum(behind, config.standing_shell * hull.voxel - behind), hull.values)
    below = np.maximum.accumulate(shell[:, :, ::-1], axis=2)[:, :, ::-1]
    filled = np.minimum(np.minimum(below, hull.values), behind)
    return DistanceField(np.maximum(field.values, filled), field.origin, field.voxel)


def _behind(maps: DepthMaps, v: int, grid: DistanceField) -> F32:
    """How far behind the front depth of map ``v`` each voxel of ``grid`` lies, metres, negative before it; infinite
    where that depth is not known."""
    shape = grid.values.shape
    height, width = maps.front.shape[1:]
    T = maps.T_world_camera[v]
    P = maps.K[v] @ np.column_stack([T[:3, :3].T, -T[:3, :3].T @ T[:3, 3]])
    index = np.stack(np.meshgrid(*(np.arange(n, dtype=np.float32) for n in shape), indexing="ij"), axis=-1)
    from_index = (grid.voxel * P[:, :3].T).astype(np.float32)
    projected = torch.from_numpy(index @ from_index + (P[:, :3] @ grid.origin + P[:, 3]).astype(np.float32))
    z = projected[..., 2]
    pixel = projected[..., :2] / z.clamp(min=1e-6)[..., None]
    unit = (2.0 * pixel / torch.tensor([width, height]) - 1.0).reshape(1, 1, -1, 2)
    planes = torch.stack([maps.front[v].float().nan_to_num(0.0, 0.0, 0.0), maps.front[v].isfinite().float()])
    depth, known = F.grid_sample(planes[None], unit, mode="nearest", align_corners=False)[0, :, 0].reshape(2, *shape)
    behind: F32 = torch.where((known > 0) & (z > 0), z - depth, torch.inf).numpy()
    return behind
