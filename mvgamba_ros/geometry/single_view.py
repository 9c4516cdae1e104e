"""Where to look for an object that only one view shows: the box that its outline is of, or a guess."""

from __future__ import annotations

import numpy as np

from mvgamba_ros.config.hull_config import HullConfig
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.boxes import box_corners
from mvgamba_ros.geometry.rays import rays
from mvgamba_ros.geometry.se3 import inverse, rigid, transform
from mvgamba_ros.geometry.upright_box import fit_upright_box
from mvgamba_ros.types import F64, Bool, Box, View


def single_view_region(
    view: View, support_height: float | None, roi: Box | None = None, config: HullConfig = HullConfig()
) -> tuple[Box, str]:
    """The box to carve the hull of one ``view`` in, and in words what was assumed; empty where nothing was.

    Colour alone of what shows the outline of a box on the plane: a little more than that box, where it lies in the
    region of interest ``roi``. Else the region; without one, `guess_box`. Arguments and errors as there.
    """
    if support_height is not None and not _known_depth(view, config).any():
        found = fit_upright_box(view, support_height, config)
        if found is not None and (roi is None or _within(found, roi, config.box_margin)):
            sides = " x ".join(f"{1e3 * side:.0f}" for side in found.size)
            around = Box(found.T_world_box, (1.0 + config.box_margin) * found.size)
            return around, f"one view: its outline is a box's, so it is taken to be one, of about {sides} mm"
    if roi is not None:
        return roi, ""
    return guess_box(view, support_height, config), "one view: the object is taken to be as deep as it is wide"


def _within(inner: Box, outer: Box, slack: float) -> bool:
    """Whether ``inner`` lies in ``outer`` but for ``slack``, a share of its sides."""
    corners = transform(inverse(outer.T_world_box), box_corners(inner))
    return bool((np.abs(corners) <= (0.5 + slack) * outer.size).all())


def _known_depth(view: View, config: HullConfig) -> Bool:
    """(N,) which pixels of the mask have depth; none where too few have."""
    assert view.mask is not None
    if view.depth is None:
        return np.zeros(np.count_nonzero(view.mask), np.bool_)
    known: Bool = view.depth[view.mask] > 0.0
    return known & (np.count_nonzero(known) > config.min_depth_share * len(known))


def guess_box(view: View, support_height: float | None, config: HullConfig = HullConfig()) -> Box:
    """The bounding box of an object behind one silhouette, from depth where the view has it, else from where it stands.

    ``view``: undistorted, with a mask. ``support_height``: world z of the support plane, metres, or None.

    One silhouette leaves open how far away the object is; depth inside the mask or the height of the support plane
    settles it. The object's own extent along the view stays open. It is taken to be as deep as it is wide; where depth
    shows its upper side on a level plane, a little deeper than that. Raises TOO_FEW_VIEWS where there is neither depth
    nor a plane below the camera in the view.
    """
    assert view.mask is not None
    origin, directions = rays(view.camera, view.T_world_camera)
    forward = view.T_world_camera[:3, 2]
    level = np.array([forward[0], forward[1], 0.0])
    level_known = support_height is not None and float(np.linalg.norm(level)) > config.min_level
    ahead = level / np.linalg.norm(level) if level_known else forward
    seen = directions[view.mask]
    known = _known_depth(view, config)
    if view.depth is not None and known.any():
        depth = view.depth[view.mask]
        points = origin + seen[known] * (depth[known] / (seen[known] @ forward))[:, None]
        middle = np.median(points, axis=0)
        first, last = np.quantile(points @ ahead, [config.front_quantile, 1.0 - config.front_quantile])
        deep = (last - first) / (1.0 - 2.0 * config.front_quantile)  # as deep as evenly spread points would be
        first -= config.front_quantile * deep
        share = config.hidden_share if level_known else 1.0  # from straight ahead, nothing of it is seen
        deep += share * max(0.0, _width(view, middle) - deep)
    elif support_height is not None and (seen[:, 2] < -1e-3).any() and origin[2] > support_height:
        down = seen[seen[:, 2] < -1e-3]
        points = origin + down * ((support_height - origin[2]) / down[:, 2])[:, None]
        first = float((points @ ahead).min())
        middle = points[np.argmin(points @ ahead)]
        deep = _width(view, middle)
    else:
        raise ReconstructionError(
            ErrorCode.TOO_FEW_VIEWS,
            "one view leaves open how far away the object is; add a view from another side, or give a region of "
            "interest, depth, or the height of the surface it stands on",
        )
    side = np.cross(ahead, [0.0, 0.0, 1.0] if abs(ahead[2]) < 0.9 else [0.0, 1.0, 0.0])
    side /= np.linalg.norm(side)
    center = middle + ahead * (first + deep / 2.0 - middle @ ahead)
    T = rigid(np.stack([ahead, side, np.cross(ahead, side)], axis=1), center)
    reach = config.single_view_reach * np.linalg.norm(origin - middle)  # across, the silhouette bounds it
    return Box(T, np.array([deep, reach, reach]))


def _width(view: View, at: F64) -> float:
    """The silhouette's narrower side, in metres at a world point's depth."""
    assert view.mask is not None
    rows, columns = np.nonzero(view.mask)
    z = float((at - view.T_world_camera[:3, 3]) @ view.T_world_camera[:3, 2])
    K = view.camera.K
    return min((np.ptp(columns) + 1) / K[0, 0], (np.ptp(rows) + 1) / K[1, 1]) * z
