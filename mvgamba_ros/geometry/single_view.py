"""The bounding box of an object that only one view shows: a guess, as deep as it is wide."""

from __future__ import annotations

import numpy as np

from mvgamba_ros.config.hull_config import HullConfig
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.rays import rays
from mvgamba_ros.geometry.se3 import rigid
from mvgamba_ros.types import F64, Box, View


def guess_box(view: View, support_height: float | None, config: HullConfig = HullConfig()) -> Box:
    """The bounding box of an object behind one silhouette, from depth where the view has it, else from where it stands.

    ``view``: undistorted, with a mask. ``support_height``: world z of the support plane, metres, or None.

    One silhouette leaves open how far away the object is; depth inside the mask or the height of the support plane
    settles it. The object's own extent along the view stays open: it is taken to be as deep as it is wide. Raises
    TOO_FEW_VIEWS where there is neither depth nor a plane below the camera in the view.
    """
    assert view.mask is not None
    origin, directions = rays(view.camera, view.T_world_camera)
    forward = view.T_world_camera[:3, 2]
    seen = directions[view.mask]
    depth = None if view.depth is None else view.depth[view.mask]
    if depth is not None and np.count_nonzero(depth > 0.0) > config.min_depth_share * len(depth):
        known = depth > 0.0
        points = origin + seen[known] * (depth[known] / (seen[known] @ forward))[:, None]
        ahead = forward
        first = float(np.quantile(points @ ahead, config.front_quantile))
        middle = np.median(points, axis=0)
    elif support_height is not None and (seen[:, 2] < -1e-3).any() and origin[2] > support_height:
        down = seen[seen[:, 2] < -1e-3]
        points = origin + down * ((support_height - origin[2]) / down[:, 2])[:, None]
        level = np.array([forward[0], forward[1], 0.0])
        ahead = level / max(float(np.linalg.norm(level)), 1e-9) if np.linalg.norm(level) > 1e-3 else forward
        first = float((points @ ahead).min())
        middle = points[np.argmin(points @ ahead)]
    else:
        raise ReconstructionError(
            ErrorCode.TOO_FEW_VIEWS,
            "one view leaves open how far away the object is; add a view from another side, or give a region of "
            "interest, depth, or the height of the surface it stands on",
        )
    width = _width(view, middle)
    side = np.cross(ahead, [0.0, 0.0, 1.0] if abs(ahead[2]) < 0.9 else [0.0, 1.0, 0.0])
    side /= np.linalg.norm(side)
    center = middle + ahead * (first + width / 2.0 - middle @ ahead)
    T = rigid(np.stack([ahead, side, np.cross(ahead, side)], axis=1), center)
    reach = config.single_view_reach * np.linalg.norm(origin - middle)  # across, the silhouette bounds it
    return Box(T, np.array([width, reach, reach]))


def _width(view: View, at: F64) -> float:
    """The silhouette's narrower side, in metres at a world point's depth."""
    assert view.mask is not None
    rows, columns = np.nonzero(view.mask)
    z = float((at - view.T_world_camera[:3, 3]) @ view.T_world_camera[:3, 2])
    K = view.camera.K
    return min((np.ptp(columns) + 1) / K[0, 0], (np.ptp(rows) + 1) / K[1, 1]) * z
