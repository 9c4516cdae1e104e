"""The views captured so far."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.ros.conversions.posed_view import sharpness
from mvgamba_ros.types import F64, View


@dataclass(frozen=True)
class Mount:
    """How a ``frame`` hangs on its ``parent`` in TF: ``T_parent_frame`` (4, 4), metres."""

    parent: str
    frame: str
    T_parent_frame: F64

    def hangs_as(self, other: Mount, within: float) -> bool:
        """Whether it is the same frame at the same place of the same parent, ``within`` metres and, for the elements of
        the rotation, radians."""
        same = (self.parent, self.frame) == (other.parent, other.frame)
        return same and bool(np.abs(self.T_parent_frame - other.T_parent_frame).max() <= within)


@dataclass(frozen=True)
class CapturedView:
    """A view in the buffer's frame, the stamp of its image, nanoseconds, and how its camera was mounted: from the
    optical frame up to the buffer's frame."""

    view: View
    stamp: int
    mounts: tuple[Mount, ...] = ()

    @cached_property
    def sharpness(self) -> float:
        """Variance of the Laplacian of its grey image; computed once, in milliseconds."""
        return sharpness(self.view.image)


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
        index, distance = self.nearest(captured.view.T_world_camera[:3, 3])
        if distance < min_distance:
            raise ReconstructionError(
                ErrorCode.DUPLICATE_VIEW,
                f"the camera is {1e3 * distance:.1f} mm from where view {index} was taken: move it at least "
                f"{1e3 * min_distance:g} mm (min_view_distance_m), better 20 degrees around the object",
            )
        self._views.append(captured)

    def nearest(self, eye: F64) -> tuple[int, float]:
        """Index of the view taken nearest to ``eye`` (3,), and how far from it, metres; -1 and infinity where none is
        held."""
        if not self._views:
            return -1, float("inf")
        distances = np.linalg.norm(poses_of(self._views)[:, :3, 3] - eye, axis=1)
        return int(distances.argmin()), float(distances.min())

    def replace(self, views: Iterable[CapturedView]) -> None:
        """Holds ``views`` and no others."""
        self._views = list(views)

    def remove(self, index: int) -> CapturedView:
        """Drops the view at ``index`` and returns it. Raises BAD_OPTION where there is none."""
        if not 0 <= index < len(self._views):
            held = f"{len(self._views)} views are held (0 to {len(self._views) - 1})" if self._views else "none is held"
            raise ReconstructionError(ErrorCode.BAD_OPTION, f"index {index}: {held}; ~/list_views names them")
        return self._views.pop(index)

    def clear(self) -> int:
        """Drops all views and returns how many there were."""
        count = len(self._views)
        self._views.clear()
        return count


def poses_of(captured: Sequence[CapturedView]) -> F64:
    """``T_world_camera`` (V, 4, 4)."""
    return np.array([c.view.T_world_camera for c in captured]).reshape(-1, 4, 4)
