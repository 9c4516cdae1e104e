"""Graph cut: the labels of least energy for log-odds per pixel plus contrast-sensitive borders, by OpenCV's max-flow.

`cv2.grabCut` minimises exactly that energy, but takes its evidence from colour mixtures alone. Here the evidence is
our own: it goes into the first channel of the image, and the two "mixtures" are single Gaussians of equal width on
that channel, whose log-ratio is linear in it. The other two channels carry the image, for the borders. The mixtures
are frozen, so one call is one minimum cut. (Rother, Kolmogorov, Blake, "GrabCut", SIGGRAPH 2004, for the energy.)
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from mvgamba_ros.geometry.raster import part_around
from mvgamba_ros.types import F32, Bool

_MEAN = 100.0
_CUT = 50.0  # what grabCut pays for a border across flat colour, in its own log-odds


def _mixture(mean: float, variance: float) -> np.ndarray:
    model = np.zeros((1, 65))  # 5 weights, 5 means, 5 covariances of 3 channels; one component is used
    model[0, 0] = 1.0
    model[0, 5:8] = mean, 127.5, 127.5
    model[0, 20:29] = np.diag([variance, 1e6, 1e6]).ravel()
    return model


def minimum_cut(
    evidence: F32, borders: np.ndarray, allowed: Bool, certain: Bool, smoothness: float, limit: float
) -> Bool:
    """(h, w) bool, True on the object. ``evidence`` (h, w): log-odds of the object; ``borders`` (h, w, 2) uint8:
    of `border_channels`; outside ``allowed`` nothing is labelled, ``certain`` always is.
    ``smoothness``: cost of a border across flat colour, in log-odds per pixel of its length. ``limit``: evidence is
    clipped to it."""
    answer = np.zeros(evidence.shape, bool)
    if not allowed.any():
        return answer
    # cropped to what may change, with a rim of fixed pixels
    part = part_around(allowed, 2)
    answer[part] = _cut(evidence[part], borders[part], allowed[part], certain[part], smoothness, limit)
    return answer


def _cut(evidence: F32, borders: np.ndarray, allowed: Bool, certain: Bool, smoothness: float, limit: float) -> Bool:
    unit = 127.0 / limit  # image levels per unit of log-odds
    labels = np.full(evidence.shape, cv2.GC_PR_BGD, np.uint8)
    labels[~allowed] = cv2.GC_BGD
    labels[certain] = cv2.GC_FGD
    if (labels == cv2.GC_BGD).all() or (labels == cv2.GC_FGD).all():
        return labels == cv2.GC_FGD
    # the log-ratio of two Gaussians at +-_MEAN grows by 2 * _MEAN / variance per image level
    variance = 2.0 * _MEAN * unit * smoothness / _CUT
    stacked = np.empty((*evidence.shape, 3), np.uint8)
    stacked[..., 0] = np.clip(np.round(127.5 + evidence * unit), 0, 255)
    stacked[..., 1:] = borders
    no_rectangle: Any = None
    cv2.grabCut(
        stacked,
        labels,
        no_rectangle,
        _mixture(127.5 - _MEAN, variance),
        _mixture(127.5 + _MEAN, variance),
        1,
        cv2.GC_EVAL_FREEZE_MODEL,
    )
    return (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)


def border_channels(lab: F32) -> np.ndarray:
    """(h, w, 2) uint8 of an image (h, w, 3) in L*a*b*: borders are cheap along its steps. Lightness, and hue along the
    direction in which it varies most."""
    hue = np.stack([channel - channel.mean() for channel in (lab[..., 1], lab[..., 2])])
    flat = hue.reshape(2, -1)
    across, along = np.linalg.eigh(flat @ flat.T)[1][:, -1]
    chroma = across * hue[0] + along * hue[1]
    answer = np.empty((*lab.shape[:2], 2), np.uint8)
    answer[..., 0] = np.clip(lab[..., 0] * 2.55, 0, 255)
    answer[..., 1] = np.clip(127.5 + 2.55 * chroma, 0, 255)
    return answer
