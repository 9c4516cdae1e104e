"""From stored views of one object to a training sample of the published network, disturbed as the authors do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from torch import Tensor

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.methods.published.conditioning import condition, first_camera_rotation, rotated
from mvgamba_ros.methods.published.framing import framed_camera, framed_picture
from mvgamba_ros.training.published_config import PublishedTrainConfig
from mvgamba_ros.types import F32, F64, Camera

Rng = np.random.Generator


@dataclass(frozen=True)
class PublishedSample:
    """Tensors of one object (or, stacked, of B objects). V inputs, W targets, of which the first V are the inputs'
    views.

    ``given`` (V, 9, S, S): the network's input, disturbed. Targets, undisturbed, in the frame of the first camera:
    ``rgb`` (W, T, T, 3) on ``background`` (3,), ``alpha`` (W, T, T), ``K`` (W, 3, 3), ``T_cube_camera`` (W, 4, 4).
    """

    given: Tensor
    rgb: Tensor
    alpha: Tensor
    K: Tensor
    T_cube_camera: Tensor
    background: Tensor


def collate_published(samples: list[PublishedSample]) -> PublishedSample:
    """Samples stacked to one with a leading batch dimension in each field."""
    return PublishedSample(*(torch.stack([getattr(s, f.name) for s in samples]) for f in fields(PublishedSample)))


def published_sample(
    item: Mapping[str, NDArray[Any]], config: PublishedTrainConfig, rng: Rng, disturbed: bool = True
) -> PublishedSample:
    """``item``: one object as `Shards` gives it, whose first views are the inputs. ``disturbed``: with the
    augmentation.

    Raises BAD_OPTION where it has fewer views than the network takes.
    """
    model, how = config.model, config.augmentation
    seen = model.views
    if len(item["rgb"]) < seen:
        raise ReconstructionError(
            ErrorCode.BAD_OPTION, f"an object has {len(item['rgb'])} views, the network takes {seen}: render more"
        )
    others = seen + rng.permutation(len(item["rgb"]) - seen)[: config.other_views]
    chosen = np.r_[:seen, np.sort(others)].astype(int)
    points = np.asarray(item["points"], np.float64)
    low, high = points.min(0), points.max(0)
    side = float((high - low).max())
    poses = np.asarray(item["T_world_camera"][chosen], np.float64)
    poses[:, :3, 3] = (poses[:, :3, 3] - (low + high) / 2) / side
    R = first_camera_rotation(torch.from_numpy(poses)[None])
    T = rotated(R, torch.from_numpy(poses)[None])[0].numpy()

    pictures, K = _pictures(item, T[:seen], model.size)
    shown = T[:seen].copy()
    if disturbed and rng.random() < how.distort:
        steps = int(rng.integers(8, 17))
        for v in range(1, seen):
            pictures[v] = grid_distorted(pictures[v], steps, how.distort_strength, rng)
    if disturbed and rng.random() < how.jitter:
        for v in range(1, seen):
            shown[v] = jittered(shown[v], how.jitter_strength, rng)
    background = np.ones(3, np.float32)
    if disturbed and rng.random() < how.background:
        background = np.eye(3, dtype=np.float32)[rng.integers(3)]
    alpha = item["alpha"][chosen].astype(np.float32) / 255
    rgb = item["rgb"][chosen].astype(np.float32) / 255 - (1 - alpha[..., None]) * (1 - background)
    return PublishedSample(
        given=condition(_float(pictures)[None], _float(K)[None], _float(shown)[None])[0],
        rgb=_float(rgb.clip(0, 1)),
        alpha=_float(alpha),
        K=_float(item["K"][chosen]),
        T_cube_camera=_float(T),
        background=_float(background),
    )


def _pictures(item: Mapping[str, NDArray[Any]], T_cube_camera: F64, size: int) -> tuple[F32, F64]:
    """Input pictures (V, 3, S, S) in [0, 1] on white, and their K (V, 3, 3)."""
    pictures, intrinsics = [], []
    for rgb, K, T in zip(item["rgb"], item["K"], T_cube_camera, strict=False):
        height, width = rgb.shape[:2]
        camera = Camera(np.asarray(K, np.float64), width, height)
        framed = framed_camera(camera, T, size)
        everywhere = np.full((height, width), True)  # it is on white already
        pictures.append(framed_picture(np.asarray(rgb), everywhere, camera, framed))
        intrinsics.append(framed.K)
    return np.stack(pictures), np.stack(intrinsics)


def _float(array: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, np.float32))


def jittered(T: F64, strength: float, rng: Rng) -> F64:
    """The camera (4, 4), OpenCV axes, turned about the origin: about its own upright axis by up to ``strength`` half
    turns and about its horizontal one by up to half as much, evenly drawn."""
    upright, horizontal = T[:3, 1], T[:3, 0]
    about_upright = Rotation.from_rotvec(upright * strength * np.pi * rng.uniform(-1, 1))
    about_horizontal = Rotation.from_rotvec(horizontal * strength * np.pi / 2 * rng.uniform(-1, 1))
    turn = np.eye(4)
    turn[:3, :3] = (about_upright * about_horizontal).as_matrix()
    return turn @ T


def grid_distorted(picture: F32, steps: int, strength: float, rng: Rng) -> F32:
    """A picture (3, S, S) whose ``steps`` evenly spaced columns, and rows, are moved each within ``strength`` of their
    distance, and what lies between stretched with them: views that do not quite agree."""
    size = picture.shape[-1]

    def stretched() -> F32:
        even = np.linspace(0, 1, steps)
        moved = np.clip(even + strength * (rng.random(steps) - 0.5) / (steps - 1), 0, 1)
        moved[0], moved[-1] = 0.0, 1.0
        return np.interp((np.arange(size) + 0.5) / size, moved, even * size).astype(np.float32) - np.float32(0.5)

    x, y = np.meshgrid(stretched(), stretched())
    warped: Any = cv2.remap(picture.transpose(1, 2, 0), x, y, cv2.INTER_LINEAR, None, cv2.BORDER_REPLICATE)
    return np.ascontiguousarray(warped.transpose(2, 0, 1))
