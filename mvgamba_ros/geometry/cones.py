"""Where an object may be: silhouettes as cones of viewing rays, a box, a support plane; and the bounding box that
they leave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import cv2
import numpy as np
from scipy.optimize import linprog

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.boxes import axis_parallel_box
from mvgamba_ros.geometry.camera import HALF_PIXEL
from mvgamba_ros.geometry.occlusion import is_covered, possible, visible
from mvgamba_ros.geometry.raster import part_around, signed_distance
from mvgamba_ros.geometry.se3 import inverse, transform
from mvgamba_ros.types import F32, F64, Box, View, view_name


@dataclass(frozen=True)
class Region:
    """Where the object may be: inside an oriented box and above a support plane, each optional."""

    box: Box | None = None
    support_height: float | None = None

    @classmethod
    def of(cls, bounds: F64 | Box | None, support_height: float | None) -> Region:
        """``bounds`` and ``support_height`` (world z, metres) as in `carve`. Raises BAD_ROI: bounds without volume."""
        if bounds is not None and not isinstance(bounds, Box):
            bounds = axis_parallel_box(*np.asarray(bounds, dtype=np.float64))
        if bounds is not None and not (np.isfinite(bounds.size).all() and (np.asarray(bounds.size) > 0.0).all()):
            size = ", ".join(f"{side:g}" for side in bounds.size)
            raise ReconstructionError(
                ErrorCode.BAD_ROI, f"region of interest size ({size}) m: each side must be positive"
            )
        return cls(bounds, support_height)

    def half_spaces(self) -> tuple[F64, F64]:
        """``A`` (M, 3), ``b`` (M,): the region is ``A x <= b``, rows of ``A`` of unit length."""
        A, b = [np.empty((0, 3))], [np.empty(0)]
        if self.box is not None:
            R, center = self.box.T_world_box[:3, :3], self.box.T_world_box[:3, 3]
            A += [R.T, -R.T]
            b += [center @ R + self.box.size / 2.0, self.box.size / 2.0 - center @ R]
        if self.support_height is not None:
            A.append(np.array([[0.0, 0.0, -1.0]]))
            b.append(np.array([-self.support_height]))
        return np.concatenate(A), np.concatenate(b)


@dataclass(frozen=True)
class Cone:
    """The cone of one silhouette's viewing rays: signed pixel distances to its outline and the projection into it."""

    pixels: F32
    """(H, W) signed distances to the outline in pixels, at pixel centres, positive inside."""
    P: F64
    """(3, 4) world to homogeneous pixel indices (centres at integers)."""
    focal: float
    """Pixels; the geometric mean of both axes' focal lengths."""
    T_world_camera: F64
    K: F64
    box: tuple[float, float, float, float]
    """The silhouette's bounding box x0, y0, x1, y1 in pixels; infinite where it runs into the image border."""
    frame: tuple[float, float, float, float]
    """What the picture shows, x0, y0, x1, y1 in pixels, and a little beyond it: as far as a silhouette that runs into
    the border may go on."""
    name: str
    nearest: float
    """The cone begins so far in front of the camera, metres."""
    shown: F32 | None = None
    """``pixels`` without what is hidden; None where nothing is."""
    front: F32 | None = None
    """(H, W) z-depth, metres: nearer than this the object is not where it is hidden; 0 where that is not known."""

    @classmethod
    def of(cls, view: View, index: int, nearest: float, reach: float = 0.0) -> Cone:
        """Of an undistorted ``view`` with a mask; ``index`` names it where it has no name. ``reach``: how far beyond
        the picture a cut silhouette may go on, a share of its bounding box's longer side. Pixels that are
        hidden, `possible`, are in the cone. Raises EMPTY_SILHOUETTE, BAD_CAMERA_INFO (a distorted camera)."""
        name = view_name(view, index)
        if view.mask is None or not visible(view).any():
            raise ReconstructionError(
                ErrorCode.EMPTY_SILHOUETTE,
                f"{name}: no silhouette of the object; check that it is in the picture and inside the region of "
                "interest, or leave this view out",
            )
        if any(view.camera.distortion):
            raise ReconstructionError(ErrorCode.BAD_CAMERA_INFO, f"{name}: undistort the view before carving")
        mask = possible(view)
        pixels = signed_distance(mask)
        shown = signed_distance(visible(view)) if is_covered(view) else None
        rows, columns = part_around(mask, 0)
        height, width = mask.shape
        box = (
            columns.start if columns.start > 0 else -np.inf,
            rows.start if rows.start > 0 else -np.inf,
            columns.stop if columns.stop < width else np.inf,
            rows.stop if rows.stop < height else np.inf,
        )
        beyond = reach * max(rows.stop - rows.start, columns.stop - columns.start)
        frame = (-beyond, -beyond, width + beyond, height + beyond)
        K = view.camera.K
        T_camera_world = inverse(view.T_world_camera)
        P = (K - HALF_PIXEL) @ T_camera_world[:3]
        focal = float(np.sqrt(K[0, 0] * K[1, 1]))
        return cls(pixels, P, focal, view.T_world_camera, K, box, frame, name, nearest, shown)

    @property
    def cut(self) -> bool:
        """Whether the silhouette runs into the picture's border: how it goes on beyond, this view does not show."""
        return not np.isfinite(self.box).all()

    def distances(self, homogeneous: F32, shown: bool = False) -> F32:
        """Signed distances to this cone (N,) metres, positive inside, from ``P @ points`` (3, N). ``shown``: to that
        of what is not hidden.

        Measured in the plane of the image, so up to the obliquity of the ray larger than the distance to its side.
        """
        if self.shown is None or (self.front is None and not shown):
            return self._sampled(self.pixels, homogeneous)
        own = self._sampled(self.shown, homogeneous)
        if shown or self.front is None:
            return own
        front = self._at(self.front, homogeneous, cv2.INTER_NEAREST)
        return np.maximum(own, np.minimum(self._sampled(self.pixels, homogeneous), homogeneous[2] - front))

    def _sampled(self, pixels: F32, homogeneous: F32) -> F32:
        """Metres at the points' depths, from signed distances in ``pixels`` (H, W)."""
        value = self._at(pixels, homogeneous, cv2.INTER_LINEAR)
        value *= np.maximum(homogeneous[2], np.float32(self.nearest))
        value /= np.float32(self.focal)
        return np.minimum(value, homogeneous[2] - np.float32(self.nearest))

    def _at(self, raster: F32, homogeneous: F32, interpolation: int) -> F32:
        """(N,) ``raster`` (H, W) where the points (3, N) appear."""
        count = homogeneous.shape[1]
        x, y, z = homogeneous
        z = np.maximum(z, np.float32(self.nearest))
        width = 1024  # cv2.remap takes images of less than 2^15 a side
        padded = -(-count // width) * width
        maps = np.zeros((2, padded), np.float32)
        np.divide(x, z, out=maps[0, :count])
        np.divide(y, z, out=maps[1, :count])
        value: F32 = cv2.remap(  # type: ignore[assignment]
            raster,
            maps[0].reshape(-1, width),
            maps[1].reshape(-1, width),
            interpolation,
            # beyond the image its border goes on: outside stays outside, a cut silhouette continues
            borderMode=cv2.BORDER_REPLICATE,
        ).reshape(-1)[:count]
        return value

    def frame_distances(self, homogeneous: F32) -> F32:
        """Signed distances to the pyramid of ``frame`` (N,) metres, positive inside, as `distances` measures them."""
        x, y, z = homogeneous
        x0, y0, x1, y1 = (np.float32(side - 0.5) for side in self.frame)  # pixel indices
        value = np.minimum(np.minimum(x - x0 * z, x1 * z - x), np.minimum(y - y0 * z, y1 * z - y))
        return np.minimum(value / np.float32(self.focal), z - np.float32(self.nearest))

    def half_spaces(self, box: tuple[float, float, float, float] | None = None) -> tuple[F64, F64]:
        """``A x <= b`` for the pyramid through the silhouette's box, or another ``box`` of pixels, in front of the
        camera; unit rows."""
        fx, fy, cx, cy = self.K[0, 0], self.K[1, 1], self.K[0, 2], self.K[1, 2]
        x0, y0, x1, y1 = self.box if box is None else box
        normals: list[F64] = [np.array([0.0, 0.0, -1.0])]  # in the camera frame, pointing out of the pyramid
        normals += [np.array([-fx, 0.0, x0 - cx])] if np.isfinite(x0) else []
        normals += [np.array([fx, 0.0, cx - x1])] if np.isfinite(x1) else []
        normals += [np.array([0.0, -fy, y0 - cy])] if np.isfinite(y0) else []
        normals += [np.array([0.0, fy, cy - y1])] if np.isfinite(y1) else []
        A = np.stack([n / np.linalg.norm(n) for n in normals]) @ self.T_world_camera[:3, :3].T
        b = A @ self.T_world_camera[:3, 3]
        b[0] -= self.nearest
        return A, b


def bounds_from_views(cones: Sequence[Cone], region: Region) -> tuple[F64, F64]:
    """Low and high corner (3,) of the axis-parallel bounding box, metres, of the convex region inside all silhouettes'
    bounding boxes: six small linear programs, each with a point of its own, solved as one.

    Raises SILHOUETTES_DISAGREE (the region is empty), ROI_NOT_VISIBLE (a region of interest behind a camera),
    TOO_FEW_VIEWS (the region is unbounded).
    """
    half_spaces = [region.half_spaces(), *(cone.half_spaces() for cone in cones)]
    status, corners = _bounding_box(half_spaces)
    if status == 3 and any(cone.cut for cone in cones):  # open where pictures end: as far as two views, or one, show it
        shown = [cone.half_spaces(cone.frame) for cone in cones]
        tried = [_bounding_box([*half_spaces, *pair]) for pair in combinations(shown, min(2, len(cones)))]
        corners = np.array([found for status, found in tried if status == 0]).reshape(-1, 2, 3)
        status = max((status for status, _ in tried if status != 2), default=2)
        if status == 0:
            corners = np.stack([corners[:, 0].min(axis=0), corners[:, 1].max(axis=0)])
    if status not in (0, 2):
        raise ReconstructionError(
            ErrorCode.TOO_FEW_VIEWS,
            f"the {len(cones)} view(s) leave open how far away the object is; add a view from another side, "
            "or give a region of interest or the height of the surface it stands on",
        )
    if status == 2 or not (corners[1] - corners[0] > 1e-6).all():
        raise disagreement() if region.box is None else _not_visible(cones, region.box)
    return corners[0], corners[1]


def _bounding_box(half_spaces: Sequence[tuple[F64, F64]]) -> tuple[int, F64]:
    """HiGHS' status (0 solved, 2 empty, 3 unbounded) and the low and high corner (2, 3), metres, of ``A x <= b``."""
    A, b = (np.concatenate(parts) for parts in zip(*half_spaces, strict=True))
    least_and_most = np.concatenate([np.eye(3), -np.eye(3)])
    result = linprog(
        least_and_most.ravel(), A_ub=np.kron(np.eye(6), A), b_ub=np.tile(b, 6), bounds=(None, None), method="highs"
    )
    if result.status != 0:
        return int(result.status), np.zeros((2, 3))
    return 0, np.asarray(result.x, np.float64).reshape(2, 3, 3).diagonal(axis1=1, axis2=2)


def _not_visible(cones: Sequence[Cone], box: Box) -> ReconstructionError:
    corners = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)]) * box.size
    corners = transform(box.T_world_box, corners)
    behind = [c.name for c in cones if (transform(inverse(c.T_world_camera), corners)[:, 2] < c.nearest).all()]
    center = ", ".join(f"{x:.3f}" for x in box.T_world_box[:3, 3])
    if behind:
        return ReconstructionError(
            ErrorCode.ROI_NOT_VISIBLE,
            f"region of interest at ({center}) m lies behind the camera of {', '.join(behind)}; check its frame",
        )
    return ReconstructionError(
        ErrorCode.SILHOUETTES_DISAGREE,
        f"no point of the region of interest at ({center}) m lies in all {len(cones)} silhouettes; check that it is "
        "around the object, and the poses",
    )


def disagreement() -> ReconstructionError:
    """The error of silhouettes without a common point."""
    return ReconstructionError(
        ErrorCode.SILHOUETTES_DISAGREE,
        "no point in space lies in all silhouettes: a silhouette shows another thing, the object moved between views, "
        "or the poses (hand-eye calibration, time stamps) are off",
    )
