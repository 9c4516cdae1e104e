"""Radial distortion of four coefficients, as Metashape, RealityCapture and nerfstudio have it, in OpenCV's terms.

Theirs is a polynomial of r^2 to the fourth power, OpenCV's end at the third but have a denominator of three more
coefficients: over the pictures' radii the one is fitted by the other, far closer than a lens is calibrated.
"""

from __future__ import annotations

import numpy as np

from mvgamba_ros.types import F64

WORST_PX = 0.05
"""Largest error of a fit anywhere in the picture. Set by hand: a tenth of what calibrations reach."""
SAMPLES = 200
WIDEST = 4.0
"""Largest radius in the plane at distance 1, of an angle of view of 150 degrees."""


def rational_fit(k: tuple[float, float, float, float], K: F64, width: int, height: int) -> tuple[float, ...] | None:
    """Radial coefficients k1 to k6 of OpenCV's rational model that stand for 1 + k1 r^2 + k2 r^4 + k3 r^6 + k4 r^8 in a
    picture of ``width`` x ``height`` with intrinsics ``K``; None where they are off by more than `WORST_PX`, or where
    the polynomial folds before the corners."""
    focal = np.array([K[0, 0], K[1, 1]])
    corners = (np.array([[0, 0], [width, 0], [0, height], [width, height]]) - K[:2, 2]) / focal
    r = np.linspace(0.0, WIDEST, 40 * SAMPLES)
    distorted = r * _polynomial(k, r**2)
    farthest = float(np.linalg.norm(corners, axis=1).max())
    beyond = np.flatnonzero(distorted >= farthest)
    if not len(beyond) or (np.diff(distorted[: beyond[0] + 1]) <= 0.0).any():
        return None
    s = (r[beyond[0]] * np.linspace(0.0, 1.0, SAMPLES)) ** 2
    wanted = _polynomial(k, s)
    # N(s) = D(s) Q(s) with N = 1 + k1 s + ..., Q = 1 + k4 s + ...: linear in the six coefficients
    powers = np.stack([s, s**2, s**3], axis=1) / s[-1] ** np.arange(1, 4)
    fitted, *_ = np.linalg.lstsq(np.hstack([powers, -wanted[:, None] * powers]), wanted - 1.0, rcond=None)
    values = fitted / np.tile(s[-1] ** np.arange(1, 4), 2)
    below = 1.0 + np.stack([s, s**2, s**3], axis=1) @ values[3:]
    if (below <= 0.0).any():
        return None
    above = 1.0 + np.stack([s, s**2, s**3], axis=1) @ values[:3]
    off = np.abs(above / below - wanted) * np.sqrt(s) * focal.max()
    return tuple(values.tolist()) if float(off.max()) <= WORST_PX else None


def _polynomial(k: tuple[float, float, float, float], s: F64) -> F64:
    return 1.0 + s * (k[0] + s * (k[1] + s * (k[2] + s * k[3])))
