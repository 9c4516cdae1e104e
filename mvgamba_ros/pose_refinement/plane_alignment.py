"""Alignment of views through the support plane: its texture, warped by the plane's homography, must agree.

Photometric bundle adjustment with the plane as the scene. Each view is resampled on one grid of the plane; pairs of
these images are compared by Gauss-Newton with the mean of both gradients (efficient second-order minimisation: Malis,
"Improving vision-based control using efficient second-order minimization techniques", ICRA 2004). Comparing pairs, and
not each view with a mean image, leaves exactly nothing where all views move alike on the plane: what no comparison of
views can measure has no information here either.

What rises above the plane does not agree and is weighted down (Geman and McClure), as are the areas that the object may
hide. A plain plane gives no information.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from mvgamba_ros.config.pose_refinement_config import PlaneAlignmentConfig
from mvgamba_ros.geometry.camera import projection, with_focal_length
from mvgamba_ros.pose_refinement.normal_equations import NormalEquations
from mvgamba_ros.pose_refinement.twists import plane_motion
from mvgamba_ros.types import F32, F64, U8, Bool, View


@dataclass(frozen=True)
class PlaneLevel:
    """One resolution of the comparison: ``points`` along each side of the grid."""

    points: int
    cell: float
    """Metres between grid points."""
    pixels: float
    """Pixels between grid points where the views see the plane best."""


@dataclass(frozen=True)
class PairAgreement:
    """Two views on the plane: ``correlation`` [-1, 1] over the points both see, NaN where they are few or plain;
    ``residuals`` (N,) remaining displacement of textured blocks, pixels."""

    first: int
    second: int
    correlation: float
    residuals: F64


class PlaneAlignment:
    """V views of a horizontal plane at ``height`` (world z, metres) around ``center`` (x, y)."""

    def __init__(
        self, views: Sequence[View], hidden: Sequence[Bool], center: F64, height: float, config: PlaneAlignmentConfig
    ) -> None:
        """``hidden`` (H, W) of each view: pixels that may show something else than the plane."""
        self.config = config
        self.height = height
        self.cameras = [view.camera for view in views]
        self.center = np.array([center[0], center[1], height])
        self.grey = [_smooth_grey(view) for view in views]
        self.hidden = [mask.astype(np.uint8) for mask in hidden]
        footprints, reaches = [], []
        for view in views:
            focal = float(np.sqrt(view.camera.K[0, 0] * view.camera.K[1, 1]))
            footprints.append(float(np.linalg.norm(view.T_world_camera[:3, 3] - self.center)) / focal)
            reaches.append(footprints[-1] * float(np.hypot(view.camera.width, view.camera.height)) / 2.0)
        self.footprint = float(np.median(footprints))
        self.radius = config.reach * float(np.median(reaches))

    def level(self, points: int) -> PlaneLevel:
        """The grid with this many points along each side, a multiple of ``config.block``."""
        cell = 2.0 * self.radius / points
        return PlaneLevel(points, cell, cell / self.footprint)

    def linearise(self, T_world_camera: F64, y: F64, level: PlaneLevel) -> tuple[NormalEquations, list[PairAgreement]]:
        """The measurement at poses ``T_world_camera`` (V, 4, 4), those of the corrections ``y`` (6 V + 2,)."""
        config, count = self.config, len(self.cameras)
        height = self.height + y[-2]
        images, valid = self._resample(T_world_camera, height, level, float(np.exp(y[-1])))
        along_x, along_y = np.zeros_like(images), np.zeros_like(images)
        along_x[:, :, 1:-1] = 0.5 * (images[:, :, 2:] - images[:, :, :-2])
        along_y[:, 1:-1] = 0.5 * (images[:, 2:] - images[:, :-2])
        motion = self._block_motion(T_world_camera, height, level)
        H, gradient = np.zeros((len(y), len(y))), np.zeros(len(y))
        pairs = []
        for i in range(count):
            for j in self._partners(i, T_world_camera):
                both = valid[i] & valid[j]
                if both.mean() < config.min_common or not both.any():
                    continue
                difference = np.where(both, images[i] - images[j], np.float32(0.0))
                slopes = 0.5 * (along_x[i] + along_x[j]), 0.5 * (along_y[i] + along_y[j])
                blocks = _Blocks.of(difference, *slopes, both, level, config)
                weights = blocks.information(2.0 / count, level, config)
                D = np.concatenate(
                    [motion[i][:, :, :6], -motion[j][:, :, :6], motion[i][:, :, 6:] - motion[j][:, :, 6:]], 2
                )
                unknowns = [*range(6 * i, 6 * i + 6), *range(6 * j, 6 * j + 6), len(y) - 2, len(y) - 1]
                CD = (weights[:, None, None] * blocks.C) @ D
                H[np.ix_(unknowns, unknowns)] += np.tensordot(D, CD, axes=([0, 1], [0, 1]))
                gradient[unknowns] += np.tensordot(D, weights[:, None] * blocks.e, axes=([0, 1], [0, 1]))
                correlation = _correlation(images[i][both], images[j][both])
                pairs.append(PairAgreement(i, j, correlation, blocks.residuals(level, config)))
        return NormalEquations.at(y, H, gradient), pairs

    def score(self, T_world_camera: F64, level: PlaneLevel) -> float:
        """Mean correlation of the pairs that `linearise` compares, NaN without any; no more is computed."""
        images, valid = self._resample(T_world_camera, self.height, level)
        found = []
        for i in range(len(self.cameras)):
            for j in self._partners(i, T_world_camera):
                both = valid[i] & valid[j]
                if both.mean() >= self.config.min_common and both.any():
                    found.append(_correlation(images[i][both], images[j][both]))
        known = np.array(found)[np.isfinite(found)]
        return float(known.mean()) if len(known) else float("nan")

    def _partners(self, index: int, T_world_camera: F64) -> list[int]:
        """Views before ``index`` that it is compared with: all, or those nearest in direction."""
        axes = T_world_camera[:, :3, 2]
        nearest = [j for j in np.argsort(-axes @ axes[index], kind="stable") if j != index]
        return [int(j) for j in nearest[: self.config.neighbors] if j < index]

    def _resample(self, T_world_camera: F64, height: float, level: PlaneLevel, focal: float = 1.0) -> tuple[F32, Bool]:
        """The views on the grid, locally normalised (zero mean, unit contrast), and where they show it; (V, n, n).
        ``focal``: a factor of the focal lengths."""
        line = ((np.arange(level.points) - (level.points - 1) / 2.0) * level.cell).astype(np.float64)
        x, y = line + self.center[0], (line + self.center[1])[:, None]
        margin = 2 * round(1.5 * self.config.window) + 1
        kernel = np.ones((margin, margin), np.uint8)
        images, valid = [], []
        for camera, T, grey, hidden in zip(self.cameras, T_world_camera, self.grey, self.hidden, strict=True):
            P = projection(with_focal_length(camera, focal), T)
            u, v, z = (row[0] * x + row[1] * y + (row[2] * height + row[3]) for row in P)
            in_front = z > 0.0
            z = np.where(in_front, z, 1.0)
            # pixels' centres at whole numbers
            u, v = (np.clip(p / z - 0.5, -1e4, 1e4).astype(np.float32) for p in (u, v))
            seen = in_front & (u > 1) & (v > 1) & (u < camera.width - 2) & (v < camera.height - 2)
            seen &= cv2.remap(hidden, u, v, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE) == 0
            image: F32 = cv2.remap(  # type: ignore[assignment]
                grey, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )
            images.append(_normalised(image, seen, self.config))
            valid.append(cv2.erode(seen.astype(np.uint8), kernel) > 0)
        return np.stack(images), np.stack(valid)

    def _block_motion(self, T_world_camera: F64, height: float, level: PlaneLevel) -> F64:
        """(V, blocks, 2, 8) `plane_motion` at the blocks' middles, in cells."""
        block = self.config.block
        middles = ((np.arange(level.points // block) + 0.5) * block - level.points / 2.0) * level.cell
        x, y = np.meshgrid(middles + self.center[0], middles + self.center[1])
        points = np.stack([x.ravel(), y.ravel(), np.full(x.size, height)], axis=1)
        return np.stack([plane_motion(T, points) for T in T_world_camera]) / level.cell


@dataclass(frozen=True)
class _Blocks:
    """Least squares of a pair's displacement in each block: ``C`` (B, 2, 2) d = ``e`` (B, 2), in cells; ``noise``:
    standard deviation of a point's difference; ``used`` (B,): enough of the block is seen."""

    C: F64
    e: F64
    noise: float
    used: Bool

    @classmethod
    def of(
        cls, difference: F32, along_x: F32, along_y: F32, both: Bool, level: PlaneLevel, config: PlaneAlignmentConfig
    ) -> _Blocks:
        noise = max(1.4826 * float(np.median(np.abs(difference[both]))), config.min_noise)
        weights = both / (1.0 + (difference / np.float32(config.outlier * noise)) ** 2) ** 2

        def summed(values: F32) -> F64:
            count = level.points // config.block
            blocks = values.reshape(count, config.block, count, config.block)
            return blocks.sum(axis=(1, 3), dtype=np.float64).ravel()

        weighted_x, weighted_y = weights * along_x, weights * along_y
        xx, xy, yy = summed(weighted_x * along_x), summed(weighted_x * along_y), summed(weighted_y * along_y)
        C = np.stack([np.stack([xx, xy], -1), np.stack([xy, yy], -1)], axis=1)
        e = np.stack([summed(weighted_x * difference), summed(weighted_y * difference)], axis=1)
        return cls(C, e, noise, summed(both.astype(np.float32)) > 0.5 * config.block**2)

    def information(self, share: float, level: PlaneLevel, config: PlaneAlignmentConfig) -> F64:
        """(B,) factors that turn ``C`` into information in cells^-2, times ``share``.

        A block's displacement is known no better than ``config.systematic`` pixels, and of all blocks together no more
        than ``config.independent_blocks`` are independent: what lens and calibration leave is smooth over a picture.
        """
        point = self.used / (self.noise**2 * (2.0 * config.smoothing) ** 2)
        floor = (config.systematic / level.pixels) ** 2
        certainty = 0.5 * (self.C[:, 0, 0] + self.C[:, 1, 1]) * point * floor
        informed = float((certainty / (1.0 + certainty)).sum())
        return share * point / (1.0 + certainty) / max(1.0, informed / config.independent_blocks)

    def residuals(self, level: PlaneLevel, config: PlaneAlignmentConfig) -> F64:
        """(N,) lengths in pixels of the displacements of the N blocks whose texture shows one."""
        variance = (self.noise * 2.0 * config.smoothing * level.pixels) ** 2
        textured = self.used & (np.linalg.eigvalsh(self.C)[:, 0] * config.max_residual_sigma**2 > variance)
        displacements = np.linalg.solve(self.C[textured], self.e[textured][..., None])[..., 0]
        return np.linalg.norm(displacements, axis=1) * level.pixels


def _smooth_grey(view: View) -> F32:
    grey: U8 = cv2.cvtColor(view.image, cv2.COLOR_RGB2GRAY)  # type: ignore[assignment]
    return cv2.GaussianBlur(grey, (0, 0), 1.0).astype(np.float32)


def _normalised(image: F32, seen: Bool, config: PlaneAlignmentConfig) -> F32:
    """``image`` (n, n) smoothed, less its local mean, over its local standard deviation: exposure and shading go.
    Contrast below ``config.min_contrast`` grey levels is not raised to one. 0 where not ``seen``."""

    def blurred(values: F32, sigma: float) -> F32:
        return cv2.GaussianBlur(values, (0, 0), sigma).astype(np.float32)

    known = seen.astype(np.float32)
    near = np.maximum(blurred(known, config.smoothing), 1e-3)
    image = (blurred(image * known, config.smoothing) / near).astype(np.float32)
    share = np.maximum(blurred(known, config.window), 1e-3)
    deviation: F32 = ((image - blurred(image * known, config.window) / share) * known).astype(np.float32)
    contrast = np.sqrt(blurred(deviation * deviation, config.window) / share)
    return (deviation / (contrast + np.float32(config.min_contrast))).astype(np.float32)


def _correlation(a: F32, b: F32) -> float:
    scale = float(np.sqrt((a * a).mean() * (b * b).mean()))
    return float((a * b).mean()) / scale if scale > 0.1 else float("nan")
