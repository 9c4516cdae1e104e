"""The upright box that one silhouette shows: what stands on a known plane and has the outline of a box has its size.

The outline of a box seen from above its support plane has six corners, twelve numbers, more than the six of a box that
stands there. Its picture is fitted to the mask by least squares on both, smoothed (analysis by synthesis), from several
turns and proportions; what is left of the mask tells whether the thing is a box at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.optimize import least_squares

from mvgamba_ros.config.hull_config import HullConfig
from mvgamba_ros.geometry.boxes import box_corners
from mvgamba_ros.geometry.camera import HALF_PIXEL, resample, square_around
from mvgamba_ros.geometry.rays import rays
from mvgamba_ros.geometry.se3 import rigid
from mvgamba_ros.types import F32, F64, Box, Camera, View

SUBPIXELS = 4
"""A picture's pixel is the mean of so many squared: a numerical finesse, as coverage by polygons has no closed form in
OpenCV."""
WINDOW = 1.3
"""A mask is seen in a square of this many longer sides of its bounding box. Set by hand: room for a larger box."""
STEPS: F64 = np.array([1e-3, 1e-3, 0.02, 0.02, 0.02, 0.02])
"""Of central differences: x and y in metres, turn in radians, the logarithms of three sides."""


def fit_upright_box(view: View, support_height: float, config: HullConfig = HullConfig()) -> Box | None:
    """The box that stands on the plane and shows the mask of ``view``, or None where none does well enough
    (`HullConfig.min_box_iou`), where the picture cuts the mask off, or the camera does not look down on it.

    ``view``: undistorted, with a mask that is not empty. ``support_height``: world z of the plane, metres.
    """
    assert view.mask is not None
    border = np.concatenate([view.mask[[0, -1]].ravel(), view.mask[:, [0, -1]].ravel()])
    eye, directions = rays(view.camera, view.T_world_camera)
    seen = directions[view.mask]
    if border.any() or eye[2] <= support_height or not (seen[:, 2] < 0.0).all():
        return None
    coarse, fine = (_Silhouette.of(view, side, config) for side in (config.box_side, 2 * config.box_side))
    begun = [_fitted(coarse, start, support_height, config) for start in _starts(view, seen, support_height)]
    if not begun:
        return None
    best = begun[int(np.argmin([coarse.gap(numbers, support_height) for numbers in begun]))]
    found = _fitted(fine, best, support_height, config)
    return _box(found, support_height) if fine.iou(found, support_height) >= config.min_box_iou else None


def _box(numbers: F64, support_height: float) -> Box:
    """Of x, y, turn and the logarithms of length, width, height (6,)."""
    c, s = np.cos(numbers[2]), np.sin(numbers[2])
    size = np.exp(numbers[3:])
    turn = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    return Box(rigid(turn, np.array([numbers[0], numbers[1], support_height + 0.5 * size[2]])), size)


def _starts(view: View, seen: F64, support_height: float) -> Iterator[F64]:
    """Boxes whose front is where the ray to the mask that meets the plane nearest does, as wide as the mask: of three
    depths, as high as the mask then leaves, turned by quarters of a right angle."""
    eye, forward = view.T_world_camera[:3, 3], view.T_world_camera[:3, 2]
    ahead = np.array([forward[0], forward[1], 0.0]) / max(float(np.linalg.norm(forward[:2])), 1e-9)
    floor = eye + seen * ((support_height - eye[2]) / seen[:, 2])[:, None]
    side = np.cross(ahead, [0.0, 0.0, 1.0])
    front = float((floor @ ahead).min())
    nearest = floor[np.argmin(floor @ ahead)]
    across = ((nearest - eye) @ forward) * (seen @ side) / (seen @ forward)
    width, middle = float(np.ptp(across)), float(eye @ side + 0.5 * (across.min() + across.max()))
    for deep in (0.4 * width, width, 2.5 * width):
        distance = front + deep - float(eye @ ahead)
        rising = seen[seen @ ahead > 1e-6]
        top = float((eye[2] + rising[:, 2] / (rising @ ahead) * distance).max()) if len(rising) else support_height
        at = ahead * (front + 0.5 * deep) + side * middle
        high = max(top - support_height, 0.1 * width)
        for turn in np.arctan2(ahead[1], ahead[0]) + np.pi / 8.0 * np.arange(4):
            yield np.array([at[0], at[1], turn, *np.log([deep, width, high])])


def _fitted(picture: _Silhouette, start: F64, support_height: float, config: HullConfig) -> F64:
    """The numbers of `_box` of least difference near ``start``."""

    def difference(numbers: F64) -> F64:
        return picture.difference(numbers, support_height)

    def slopes(numbers: F64) -> F64:
        ends = [difference(numbers + s) for s in (*np.diag(STEPS), *-np.diag(STEPS))]
        return np.stack([(a - b) / (2.0 * h) for a, b, h in zip(ends[:6], ends[6:], STEPS, strict=True)], axis=1)

    found = least_squares(
        difference,
        start,
        jac=slopes,
        x_scale=STEPS,
        max_nfev=config.box_steps,
    )
    return np.asarray(found.x, np.float64)


@dataclass(frozen=True)
class _Silhouette:
    """A mask as shares of the pixels of a small square around it, and the same smoothed."""

    camera: Camera
    P: F64
    shares: F32
    smooth: F32
    sigma: float

    @classmethod
    def of(cls, view: View, side: int, config: HullConfig) -> _Silhouette:
        assert view.mask is not None
        fine = square_around(view.camera, view.mask, WINDOW, SUBPIXELS * side)
        shares = _shrunk(resample(view.mask, view.camera, fine).astype(np.float32))
        sigma = config.box_blur * side
        K = fine.K - HALF_PIXEL
        P = K @ np.linalg.inv(view.T_world_camera)[:3]
        return cls(fine, P, shares, np.asarray(cv2.GaussianBlur(shares, (0, 0), sigma), np.float32), sigma)

    def picture(self, numbers: F64, support_height: float) -> F32:
        """The box of ``numbers`` as the mask is held."""
        corners = box_corners(_box(numbers, support_height)) @ self.P[:, :3].T + self.P[:, 3]
        pixels = 16.0 * corners[:, :2] / np.maximum(corners[:, 2:], 1e-6)
        outline = cv2.convexHull(np.clip(pixels, -3e4, 3e4).round().astype(np.int32)[:, None])
        filled = np.zeros((self.camera.height, self.camera.width), np.float32)
        cv2.fillConvexPoly(filled, outline, 1.0, lineType=cv2.LINE_8, shift=4)
        return _shrunk(filled)

    def difference(self, numbers: F64, support_height: float) -> F64:
        """(side * side,), smoothed, so that it tells the way to an outline some pixels off."""
        off = cv2.GaussianBlur(self.picture(numbers, support_height), (0, 0), self.sigma) - self.smooth
        return np.asarray(off.ravel(), np.float64)

    def gap(self, numbers: F64, support_height: float) -> float:
        """The sum of the squares of `difference`."""
        return float((self.difference(numbers, support_height) ** 2).sum())

    def iou(self, numbers: F64, support_height: float) -> float:
        """Of the box and the mask."""
        shown = self.picture(numbers, support_height)
        return float(np.minimum(shown, self.shares).sum() / np.maximum(shown, self.shares).sum())


def _shrunk(picture: F32) -> F32:
    side = picture.shape[0] // SUBPIXELS
    return np.asarray(cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA), np.float32)
