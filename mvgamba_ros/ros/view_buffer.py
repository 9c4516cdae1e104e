"""The views captured so far, and how well they cover the object."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.rays import axes_intersection
from mvgamba_ros.types import F64, View

COVERED_WITHIN = math.radians(60.0)
"""A direction counts as covered when a view lies within this angle of it, radians."""
PARALLEL_DEPTH = 0.5
"""Metres ahead of the cameras: where the object is taken to be while the optical axes are parallel."""


@dataclass(frozen=True)
class Mount:
    """How a ``frame`` hangs on its ``parent`` in TF: ``T_parent_frame`` (4, 4), metres."""

    parent: str
    frame: str
    T_parent_frame: F64


@dataclass(frozen=True)
class CapturedView:
    """A view in the buffer's frame, the stamp of its image, nanoseconds, and how its camera was mounted: from the
    optical frame up to the buffer's frame."""

    view: View
    stamp: int
    mounts: tuple[Mount, ...] = ()


class ViewBuffer:
    """Keeps views until they are cleared; a view that is refused changes nothing. ``views`` are held from the start."""

    def __init__(self, views: Iterable[CapturedView] = ()) -> None:
        self._views = list(views)

    def __len__(self) -> int:
        return len(self._views)

    def snapshot(self) -> tuple[CapturedView, ...]:
        """The views, in the order of capture."""
        return tuple(self._views)

    def add(self, captured: CapturedView, min_distance: float, max_views: int) -> None:
        """Keeps one more view. Raises DUPLICATE_VIEW within ``min_distance`` metres of another, TOO_MANY_VIEWS."""
        if len(self._views) >= max_views:
            raise ReconstructionError(
                ErrorCode.TOO_MANY_VIEWS,
                f"{len(self._views)} views are held already: clear them, or raise max_views ({max_views})",
            )
        eye = captured.view.T_world_camera[:3, 3]
        for index, other in enumerate(self._views):
            distance = float(np.linalg.norm(eye - other.view.T_world_camera[:3, 3]))
            if distance < min_distance:
                raise ReconstructionError(
                    ErrorCode.DUPLICATE_VIEW,
                    f"the camera is {1e3 * distance:.1f} mm from where view {index} was taken: move it at least "
                    f"{1e3 * min_distance:g} mm (min_view_distance_m), better 20 degrees around the object",
                )
        self._views.append(captured)

    def clear(self) -> int:
        """Drops all views and returns how many there were."""
        count = len(self._views)
        self._views.clear()
        return count


def coverage(T_world_camera: F64) -> tuple[float, float]:
    """How well poses (V, 4, 4) cover the directions around the point that their optical axes meet in.

    Returns the share of the upper half sphere of directions that lies within `COVERED_WITHIN` of a view, [0, 1], and
    the widest turn about z, radians, without a view. No views: 0 and a full turn.
    """
    if len(T_world_camera) == 0:
        return 0.0, 2.0 * math.pi
    eyes, axes = T_world_camera[:, :3, 3], T_world_camera[:, :3, 2]
    center = axes_intersection(eyes, axes)
    if center is None:
        center = (eyes + PARALLEL_DEPTH * axes).mean(axis=0)
    outward = eyes - center
    outward = outward / np.maximum(np.linalg.norm(outward, axis=1, keepdims=True), 1e-9)
    count = 512
    z = (np.arange(count) + 0.5) / count  # equal areas: heights evenly spread, turned by the golden angle
    turn = np.arange(count) * math.pi * (3.0 - math.sqrt(5.0))
    radius = np.sqrt(1.0 - z**2)
    directions = np.stack([radius * np.cos(turn), radius * np.sin(turn), z], axis=1)
    seen = ((directions @ outward.T) >= math.cos(COVERED_WITHIN)).any(axis=1)
    azimuths = np.sort(np.arctan2(outward[:, 1], outward[:, 0]))
    gaps = np.diff(np.append(azimuths, azimuths[0] + 2.0 * math.pi))
    return float(seen.mean()), float(gaps.max())
