"""An object before a plain background, cut out by the colours of the picture's frame.

The background's colour may change slowly over the picture, as light falls off: a quadratic surface per channel is
fitted to the frame. What strays from it starts GrabCut (Rother et al., SIGGRAPH 2004), which settles the border. A
shadow that is clearly darker than the background counts as object.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.generate.matting_config import MattingConfig
from mvgamba_ros.types import F32, U8, Bool

SIGMA_OF_RAYLEIGH = 1.177
"""The median of the length of a Gaussian vector of two dimensions over its standard deviation; light and one colour are
what a background's noise has."""
REMEDY = (
    "give a picture with an alpha channel, install rembg (pip install 'rembg[cpu]' && rembg d isnet-general-use), or "
    "give a checkpoint of Segment Anything"
)


def plain_background_alpha(rgb: U8, what: str = "the picture", config: MattingConfig = MattingConfig()) -> F32:
    """The object's alpha.

    Args:
        rgb: (H, W, 3) uint8.
        what: What messages call the picture.
        config: Every number.

    Returns:
        (H, W) float32 in [0, 1].

    Raises:
        ReconstructionError: EMPTY_SILHOUETTE where the frame of the picture is no plain background, or nothing stands
            out from it.
    """
    height, width = rgb.shape[:2]
    scale = min(1.0, config.side / max(height, width))
    size = max(8, round(width * scale)), max(8, round(height * scale))
    small: Any = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    lab: Any = cv2.cvtColor(small.astype(np.float32) / 255.0, cv2.COLOR_RGB2LAB)
    frame = np.ones(lab.shape[:2], bool)
    depth = max(2, round(config.border * max(lab.shape[:2])))
    frame[depth:-depth, depth:-depth] = False
    distance, tolerance = _strays(lab, frame, config)
    crossing = float((distance[frame] > tolerance).mean())
    fault = ""
    if tolerance > config.max_tolerance:
        fault = (
            f"the colours of its frame stray by {tolerance:.0f} (CIE L*a*b*), at most {config.max_tolerance:.0f} is "
            "taken for plain"
        )
    elif crossing > config.max_crossing:
        fault = (
            f"{100 * crossing:.0f} % of its frame are of other colours than the rest, at most "
            f"{100 * config.max_crossing:.0f} % may be: something reaches its edge"
        )
    if fault:
        raise ReconstructionError(ErrorCode.EMPTY_SILHOUETTE, f"{what} has no plain background: {fault}; {REMEDY}")
    found = _cut(small, distance, tolerance, frame, config)
    if found.mean() < config.min_object:
        raise ReconstructionError(
            ErrorCode.EMPTY_SILHOUETTE, f"nothing stands out from the background of {what}; {REMEDY}"
        )
    alpha: Any = cv2.resize(found.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    return alpha


def _strays(lab: F32, frame: Bool, config: MattingConfig) -> tuple[F32, float]:
    """How far each pixel (H, W) is from the background's colour, and from where on it is another."""
    y, x = (np.linspace(-1.0, 1.0, n) for n in lab.shape[:2])
    X, Y = np.meshgrid(x, y)
    terms = np.stack([np.ones_like(X), X, Y, X * X, X * Y, Y * Y], axis=-1)
    rows, colors = terms[frame], lab[frame].astype(np.float64)
    distance = np.linalg.norm(colors - np.median(colors, axis=0), axis=1)
    surface = np.zeros((terms.shape[-1], 3))
    for _ in range(config.fits):
        kept = distance <= max(config.min_tolerance, config.deviations * float(np.median(distance)) / SIGMA_OF_RAYLEIGH)
        surface = np.linalg.lstsq(rows[kept], colors[kept], rcond=None)[0]
        distance = np.linalg.norm(colors - rows @ surface, axis=1)
    tolerance = max(config.min_tolerance, config.deviations * float(np.median(distance)) / SIGMA_OF_RAYLEIGH)
    return np.linalg.norm(lab - terms @ surface, axis=2).astype(np.float32), tolerance


def _cut(rgb: U8, distance: F32, tolerance: float, frame: Bool, config: MattingConfig) -> Bool:
    """(H, W) the object's pixels."""
    other = distance > tolerance
    if not other.any():
        return other
    labels = np.where(other, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[distance > 2.0 * tolerance] = cv2.GC_FGD
    labels[frame & ~other] = cv2.GC_BGD
    background, foreground = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(0)  # its colour clusters start at random
    no_rectangle: Any = None  # the labels take its place
    cv2.grabCut(
        rgb[..., ::-1].copy(), labels, no_rectangle, background, foreground, config.rounds, cv2.GC_INIT_WITH_MASK
    )
    found = (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)
    count, pieces, stats, _ = cv2.connectedComponentsWithStats(found.astype(np.uint8), connectivity=8)
    areas = stats[1:count, cv2.CC_STAT_AREA]
    if not len(areas):
        return found
    kept = 1 + np.flatnonzero(areas >= config.min_part * areas.max())
    return np.isin(pieces, kept)
