"""Augmentation of a training example's views, as real captures disturb them: pure functions of arrays and a generator.

Pictures are float32 in [0, 1], (H, W, 3) on white, beside their alpha (H, W); poses are (4, 4) camera-to-world. Only
inputs are treated so: what the result is compared with stays clean.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from mvgamba_ros.geometry.se3 import rigid
from mvgamba_ros.types import F32, F64

Rng = np.random.Generator
Picture = tuple[F32, F32]


@dataclass(frozen=True)
class Augmentation:
    """Chance of each disturbance and its greatest strength; chances are per view where not stated otherwise.

    The first chosen view is spared the grid distortion and camera jitter, as in the paper (which takes them from LGM):
    it fixes the frame that the others disagree with. The other strengths are of the size that wrist cameras and
    segmenters show.
    """

    distort: float = 0.2
    """Chance of the paper's grid distortion."""
    distort_strength: float = 0.06
    """Greatest shift of a grid node, as a share of the image."""
    jitter: float = 0.2
    """Chance of the paper's camera jitter."""
    jitter_strength: float = 0.03
    """Orbit of the camera about the object, radians, and dolly as a share of its distance (standard deviations)."""
    pose: float = 0.7
    """Chance per object that its poses are noisy at all."""
    pose_rotation: float = 0.004
    """Standard deviation of a pose's rotation where the noise is worst, radians: about that of a good hand-eye
    calibration."""
    pose_translation: float = 0.001
    """The same of its translation, metres."""
    silhouette: float = 0.5
    """Chance of silhouette errors: grown, shrunk, wavering, bitten or smeared onto the table."""
    blur: float = 0.3
    """Chance of defocus, motion blur or lost resolution."""
    exposure: float = 0.7
    """Chance of another exposure, contrast, white balance and saturation."""
    noise: float = 0.5
    """Chance of sensor grain."""


def _foreground(rgb: F32, alpha: F32) -> F32:
    """The object's colour without the white that was mixed in."""
    a = alpha[..., None]
    return np.clip((rgb - (1 - a)) / np.maximum(a, 1 / 255), 0, 1)


def _on_white(color: F32, alpha: F32) -> F32:
    a = alpha[..., None]
    return color * a + (1 - a)


def mirror(item: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The whole example (as `Shards` gives it) mirrored across the world's y-z plane: another object, whose
    views are as consistent. Twice the shapes for nothing."""
    flip = np.diag(np.array([-1, 1, 1, 1], np.float32))
    K = np.array(item["K"])
    K[:, 0, 2] = item["rgb"].shape[2] - K[:, 0, 2]
    out = {**item, "K": K, "T_world_camera": flip @ item["T_world_camera"] @ flip}
    for name in ("rgb", "alpha", "depth_front", "depth_back"):
        out[name] = np.ascontiguousarray(item[name][:, :, ::-1])
    for name in ("points", "normals"):
        out[name] = item[name] * np.array([-1, 1, 1], item[name].dtype)
    return out


def recolor(rgb: NDArray[np.uint8], rng: Rng) -> NDArray[np.uint8]:
    """All views of an object, (V, H, W, 3) on white, in other paint: its colour channels shuffled. White stays."""
    return np.ascontiguousarray(rgb[..., rng.permutation(3)])


def grid_distortion(rgb: F32, alpha: F32, rng: Rng, strength: float) -> Picture:
    """Warp by a coarse grid of random shifts: views that don't quite agree with each other."""
    h, w = alpha.shape
    cells = int(rng.integers(3, 9))
    shift = rng.uniform(-strength, strength, (cells, cells, 2)).astype(np.float32)
    shift = np.asarray(cv2.resize(shift, (w, h), interpolation=cv2.INTER_CUBIC), np.float32)
    y, x = np.mgrid[:h, :w].astype(np.float32)
    both = np.dstack([rgb, alpha])
    at = x + shift[..., 0] * w, y + shift[..., 1] * h
    warped: Any = cv2.remap(both, *at, cv2.INTER_LINEAR, None, cv2.BORDER_CONSTANT, (1, 1, 1, 0))
    return warped[..., :3], warped[..., 3]


def camera_jitter(T_world_camera: F64, centre: F64, rng: Rng, strength: float) -> F64:
    """The camera carried around the object's centre and to or from it, while its picture stays: a wrong pose that
    still points at the object."""
    R = Rotation.from_rotvec(rng.normal(0, strength, 3)).as_matrix()
    out = T_world_camera.copy()
    out[:3, :3] = R @ T_world_camera[:3, :3]
    out[:3, 3] = centre + R @ (T_world_camera[:3, 3] - centre) * (1 + rng.normal(0, strength))
    return out


def pose_noise(T_world_camera: F64, rng: Rng, rotation: float, translation: float) -> F64:
    """Poses (V, 4, 4) as an arm gives them: one error of the hand-eye transform that all views share, in the camera
    frame, and joint and timing errors of each. Standard deviations in radians and metres."""

    def error(scale: float) -> F64:
        R = Rotation.from_rotvec(rng.normal(0, rotation * scale, 3)).as_matrix()
        return rigid(R, rng.normal(0, translation * scale, 3))

    hand_eye = error(1.0)
    return np.stack([T @ hand_eye @ error(0.7) for T in T_world_camera])


def silhouette_errors(rgb: F32, alpha: F32, rng: Rng) -> Picture:
    """A mask as a segmenter leaves it: grown or shrunk, rough, with a bite out of it or a blob of table on it.

    Where it gains, the table or its shadow shows; where it loses, white.
    """
    h, w = alpha.shape
    out = alpha
    size = float(np.sqrt(max(alpha.sum(), 1.0)))
    if rng.random() < 0.6:
        k = int(rng.integers(1, 3)) * 2 + 1
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (k, k))
        out = np.asarray((cv2.erode if rng.random() < 0.5 else cv2.dilate)(out, kernel), np.float32)
    if rng.random() < 0.5:
        # a wavering outline: the threshold of the blurred mask moves about
        soft = cv2.GaussianBlur(out, (0, 0), rng.uniform(0.7, 2.0))
        cells = int(rng.integers(6, 20))
        waver = cv2.resize(rng.normal(0, 0.15, (cells, cells)).astype(np.float32), (w, h))
        out = np.clip((soft + waver - 0.5) * 4 + 0.5, 0, 1) * (soft > 0.02)
    outline = np.argwhere((alpha > 0.5) & (cv2.erode(alpha, np.ones((3, 3), np.uint8)) <= 0.5))
    for gain in (False, True):
        if len(outline) and rng.random() < 0.2:
            y, x = outline[rng.integers(len(outline))]
            axes = np.maximum(rng.uniform(0.03, 0.14, 2) * size, 1).astype(int)
            patch = np.zeros((h, w), np.float32)
            cv2.ellipse(patch, (int(x), int(y)), axes.tolist(), rng.uniform(0, 180), 0, 360, 1.0, -1)
            patch = np.asarray(cv2.GaussianBlur(patch, (3, 3), 0), np.float32)
            out = np.maximum(out, patch) if gain else out * (1 - patch)
    if rng.random() < 0.08:
        holes = cv2.resize(rng.random((12, 12)).astype(np.float32), (w, h))
        out = out * (holes < 0.93)
    table = np.float32(rng.uniform(0.1, 1.0)) * (1 + rng.normal(0, 0.05, 3)).astype(np.float32)
    seen = np.clip(rgb - (1 - alpha[..., None]) * (1 - np.clip(table, 0, 1)), 0, 1)  # the object before the table
    out = out.astype(np.float32)
    return _on_white(seen, out).astype(np.float32), out


def exposure(rgb: F32, alpha: F32, rng: Rng) -> Picture:
    """Another exposure, contrast, white balance and saturation."""
    color = _foreground(rgb, alpha)
    gain = 2.0 ** rng.normal(0, 0.3) * (1 + rng.normal(0, 0.04, 3))
    color = np.clip(color, 1e-4, 1) ** np.float32(2.0 ** rng.normal(0, 0.15)) * gain.astype(np.float32)
    grey = color.mean(-1, keepdims=True)
    color = np.clip(grey + (color - grey) * np.float32(rng.uniform(0.7, 1.2)), 0, 1)
    return _on_white(color, alpha), alpha


def blur(rgb: F32, alpha: F32, rng: Rng) -> Picture:
    """Out of focus, smeared by motion, or enlarged from fewer pixels."""
    both: Any = np.dstack([rgb, alpha])
    kind = rng.random()
    if kind < 0.4:
        both = cv2.GaussianBlur(both, (0, 0), rng.uniform(0.3, 1.2))
    elif kind < 0.6:
        n = 7
        kernel = np.zeros((n, n), np.float32)
        a, half = rng.uniform(0, np.pi), rng.uniform(0.5, 3)
        for s in np.linspace(-half, half, 4 * n):
            kernel[round(n // 2 + s * np.sin(a)), round(n // 2 + s * np.cos(a))] += 1
        both = cv2.filter2D(both, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE)
    else:
        h, w = alpha.shape
        share = rng.uniform(0.35, 0.9)
        few = cv2.resize(both, (max(int(w * share), 8), max(int(h * share), 8)), interpolation=cv2.INTER_AREA)
        both = cv2.resize(few, (w, h), interpolation=cv2.INTER_LINEAR)
    return both[..., :3], both[..., 3]


def sensor_noise(rgb: F32, alpha: F32, rng: Rng) -> Picture:
    """Grain on the object; the white around it stays white."""
    sigma = rng.uniform(0.003, 0.03)
    grain = rng.standard_normal(rgb.shape, np.float32) * np.float32(sigma)
    return np.clip(rgb + grain * alpha[..., None], 0, 1), alpha


def augment(views: Mapping[str, NDArray[Any]], centre: F64, rng: Rng, how: Augmentation) -> dict[str, NDArray[Any]]:
    """Input views of one object as a real capture might have them.

    ``views`` has ``rgb`` (V, H, W, 3) uint8, ``alpha`` (V, H, W) uint8 and ``T_world_camera`` (V, 4, 4), and
    ``centre`` (3,) is about the object's centre in the world; returns a copy with the same keys and types. Other
    keys (``K``, depths) are handed on as they are.
    """
    rgb, alpha = np.array(views["rgb"]), np.array(views["alpha"])
    T = np.asarray(views["T_world_camera"], np.float64).copy()
    if rng.random() < how.pose:
        strength = rng.random()
        T = pose_noise(T, rng, how.pose_rotation * strength, how.pose_translation * strength)
    for v in range(len(rgb)):
        if v and rng.random() < how.jitter:
            T[v] = camera_jitter(T[v], centre, rng, how.jitter_strength * rng.random())
        picture = rgb[v].astype(np.float32) / 255, alpha[v].astype(np.float32) / 255
        if v and rng.random() < how.distort:
            picture = grid_distortion(*picture, rng, how.distort_strength * rng.random())
        for chance, disturb in (
            (how.exposure, exposure),
            (how.noise, sensor_noise),
            (how.blur, blur),
            (how.silhouette, silhouette_errors),
        ):
            if rng.random() < chance:
                picture = disturb(*picture, rng)
        rgb[v], alpha[v] = (np.rint(np.clip(p, 0, 1) * 255).astype(np.uint8) for p in picture)
    return {**views, "rgb": rgb, "alpha": alpha, "T_world_camera": T.astype(np.float32)}
