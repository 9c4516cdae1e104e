"""Which moments of a moving camera to take as views: where it stood still, one of each place, spread around what it
looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mvgamba_ros.config.bounds import bounded
from mvgamba_ros.geometry.rays import axes_intersection
from mvgamba_ros.geometry.view_spread import views_apart
from mvgamba_ros.types import F64


@dataclass(frozen=True)
class ViewSelection:
    """Which moments of a recording become views."""

    window_s: float = bounded(0.1, 0.01, 2.0)
    """A camera stands still that has moved little for this long, seconds. As the node's `motion_window_s`."""
    max_speed: float = bounded(0.02, 0.0, 10.0)
    """A camera that moves faster is not still, metres per second. As the node's `max_camera_speed_m_s`."""
    max_turn_rate: float = bounded(0.1, 0.0, 10.0)
    """A camera that turns faster is not still, radians per second. As the node's `max_camera_turn_rate_rad_s`."""
    same_place: float = bounded(0.01, 0.0, 1.0)
    """Still moments one after the other whose cameras are nearer than this are one stop, metres. Set by hand."""
    tried: int = bounded(5, 1, 100)
    """Pictures of a stop that are compared for sharpness, evenly over it. Set by hand: they are decoded for it."""
    min_angle: float = bounded(12.0, 0.0, 90.0)
    """A further view must differ from those taken by this angle around the object, degrees. Set by hand: two views
    nearer to each other show the same sides."""
    most: int = bounded(12, 1, 256)
    """No more views are taken. Set by hand: the reconstruction gains little by more and takes longer."""


def stops(seconds: F64, T_world_camera: F64, config: ViewSelection = ViewSelection()) -> tuple[list[list[int]], bool]:
    """The moments at which the camera stood still, in groups: one for each stay at one place, in their order.

    Args:
        seconds: (N,) rising times of the moments.
        T_world_camera: (N, 4, 4) the camera's poses then, metres.
        config: What counts as still, and as one place.

    Returns:
        Indices of the moments, and whether it stood still at all. Where it never did, as with a camera in the hand,
        each group is one moment that is slower than those beside it.
    """
    speed, turn_rate = _speeds(seconds, T_world_camera, config.window_s)
    still = np.flatnonzero((speed <= config.max_speed) & (turn_rate <= config.max_turn_rate))
    if not len(still):
        pace = speed / max(config.max_speed, 1e-9) + turn_rate / max(config.max_turn_rate, 1e-9)
        slowest = [i for i in range(len(pace)) if pace[i] <= pace[max(i - 1, 0) : i + 2].min()]
        return [[i] for i in slowest], False
    groups = [[int(still[0])]]
    for before, index in zip(still[:-1].tolist(), still[1:].tolist(), strict=True):
        apart = np.linalg.norm(T_world_camera[index, :3, 3] - T_world_camera[groups[-1][0], :3, 3])
        if index == before + 1 and apart < config.same_place:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups, True


def around(T_world_camera: F64, config: ViewSelection = ViewSelection()) -> list[int]:
    """Indices of the poses (V, 4, 4) to take, in their order: at most `most`, spread as far as they go around the point
    that the optical axes pass nearest, none within `min_angle` of another. Where the axes are as good as parallel, the
    first ones."""
    centre = axes_intersection(T_world_camera[:, :3, 3], T_world_camera[:, :3, 2])
    if centre is None:
        return list(range(min(config.most, len(T_world_camera))))
    return views_apart(T_world_camera, centre, config.most, config.min_angle)


def candidates(stop: Sequence[int], config: ViewSelection = ViewSelection()) -> list[int]:
    """At most `tried` moments of a stop, evenly over it, the last among them: an arm has settled best by then."""
    take = np.linspace(len(stop) - 1, 0, min(config.tried, len(stop))).round().astype(int)
    return [stop[i] for i in take.tolist()]


def _speeds(seconds: F64, T_world_camera: F64, window_s: float) -> tuple[F64, F64]:
    """Metres and radians per second (N,) of the move since the last moment that is at least ``window_s`` before, and
    until the first that is so much after: the larger."""
    window = window_s - 1e-6  # a moment at its very edge belongs to it
    before = np.searchsorted(seconds, seconds - window, side="right") - 1
    after = np.minimum(np.searchsorted(seconds, seconds + window, side="left"), len(seconds) - 1)
    result = np.zeros((2, len(seconds)))
    for other in (np.maximum(before, 0), after):
        span = np.maximum(np.abs(seconds - seconds[other]), 1e-9)
        moved = np.linalg.norm(T_world_camera[:, :3, 3] - T_world_camera[other, :3, 3], axis=1)
        trace = np.einsum("nij,nij->n", T_world_camera[:, :3, :3], T_world_camera[other, :3, :3])
        turned = np.arccos(np.clip((trace - 1.0) / 2.0, -1.0, 1.0))
        there = other != np.arange(len(seconds))
        result = np.maximum(result, np.where(there, np.stack([moved, turned]) / span, 0.0))
    return result[0], result[1]
