"""How much noise a depth sensor has, measured in its own pictures: where a surface is flat, what is left of a plane."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from mvgamba_ros.config.depth_config import DepthConfig
from mvgamba_ros.types import F32, F64


@dataclass(frozen=True)
class DepthNoise:
    """Standard deviation ``sqrt(floor^2 + (growth z^2)^2)`` metres at a z-depth of z metres: the second part is that of
    triangulation, whose inverse depths are equally noisy everywhere. ``blotch``: pixels whose noise is one and the
    same, so that a mean of n has the variance of n / blotch independent ones."""

    floor: float
    growth: float
    blotch: float

    def sigma(self, depth: F64) -> F64:
        """Of each of ``depth``, metres, any shape."""
        return np.hypot(self.floor, self.growth * depth**2)


def measure_noise(depths: Sequence[F32], config: DepthConfig = DepthConfig()) -> DepthNoise | None:
    """The noise of all z-depth images ``depths`` (H, W) of one sensor, metres, 0 or not finite where unknown; None
    where too little of them is smooth.

    Planes are fitted to inverse depths in patches wider than the blotches of a stereo camera's noise, which a small
    window would take for the surface. The median over patches is not moved by the few that hold an edge or a bend.
    """
    patches = [found for depth in depths for found in _patches(depth, config)]
    if len(patches) < config.min_patches:
        return None
    values = np.stack(patches)
    known = values > 0.0
    inverse = np.where(known, 1.0 / np.where(known, values, 1.0), 0.0)
    residual, count = _residuals(inverse, known)
    mean = inverse.sum(axis=(1, 2)) / count
    z = 1.0 / mean
    squares = (residual**2).sum(axis=(1, 2))
    if not np.isfinite(squares).all():  # patches whose depths no plane was fitted to
        return None
    smooth = squares / count <= np.median(squares / count)
    blotch = _blotch(residual[smooth], known[smooth], config)
    variance = squares / np.maximum(count - 3.0 * blotch, 0.25 * count) * z**4
    return DepthNoise(*_fit(z, variance, config), blotch)


def _patches(depth: F32, config: DepthConfig) -> list[F32]:
    """(side, side) each, side by side, those that are mostly known."""
    side = config.patch
    rows, columns = depth.shape[0] // side, depth.shape[1] // side
    tiles = np.nan_to_num(depth[: rows * side, : columns * side], posinf=0.0, neginf=0.0)
    tiles = tiles.reshape(rows, side, columns, side).swapaxes(1, 2).reshape(-1, side, side)
    return list(tiles[(tiles > 0.0).mean(axis=(1, 2)) >= config.min_known])


def _residuals(inverse: F64, known: np.ndarray) -> tuple[F64, F64]:
    """(N, side, side) what is left of each patch's least-squares plane, 0 where unknown; (N,) known pixels."""
    side = inverse.shape[1]
    line = np.linspace(-1.0, 1.0, side)
    basis = np.stack([np.ones((side, side)), *np.meshgrid(line, line)]).reshape(3, -1)
    m, v = known.reshape(len(known), -1).astype(np.float64), inverse.reshape(len(inverse), -1)
    normal = np.einsum("in,pn,jn->pij", basis, m, basis, optimize=True)
    plane = np.linalg.solve(normal, (v @ basis.T)[..., None])[..., 0]
    return (m * (v - plane @ basis)).reshape(inverse.shape), m.sum(axis=1)


def _blotch(residual: F64, known: np.ndarray, config: DepthConfig) -> float:
    """Pixels that share their noise: the sum of the noise's autocorrelation, taken as the product of those along rows
    and along columns, each up to where it is lost."""
    total = 1.0
    for axis in (1, 2):
        r, m = np.moveaxis(residual, axis, 0), np.moveaxis(known, axis, 0)
        power, width = float((r**2).sum()) / m.sum(), 1.0
        for lag in range(1, residual.shape[1] // 2):
            both = m[lag:] & m[:-lag]
            correlation = float((r[lag:] * r[:-lag]).sum()) / max(both.sum(), 1) / max(power, 1e-20)
            if correlation < config.min_correlation:
                break
            width += 2.0 * correlation
        total *= width
    return total


def _fit(z: F64, variance: F64, config: DepthConfig) -> tuple[float, float]:
    """``floor`` and ``growth`` of `DepthNoise`: non-negative least squares of the median variances of a few ranges of
    depth, each in its own unit."""
    order = np.array_split(np.argsort(z), config.ranges)
    median = np.array([[np.median(z[part]) ** 4, np.median(variance[part])] for part in order if len(part)])
    scale = np.maximum(median[:, 1], 1e-12)
    (floor, growth), _ = nnls(np.column_stack([1.0 / scale, median[:, 0] / scale]), np.ones(len(median)))
    return float(np.sqrt(floor)), float(np.sqrt(growth))
