"""From stored views of one object to what a training step needs: input crops, targets, all in the unit cube."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from mvgamba_ros.rendering.crops import CropBatch, CropWindow, crop_image, crop_intrinsics, silhouette_window
from mvgamba_ros.synthesis.data_format import DEPTH_UNIT, INPUT_VIEWS
from mvgamba_ros.training.augment import Augmentation, augment, mirror, recolor


@dataclass(frozen=True)
class Sampling:
    """How a training sample differs from the stored object. Lengths relative to the object's size."""

    margin: tuple[float, float] = (1.02, 1.4)
    """Crop side over the silhouette's bounding square."""
    cube: tuple[float, float] = (1.05, 1.6)
    """Half side of the unit cube over half the object's longest side: a visual hull is larger than its object."""
    shift: float = 0.15
    """Largest offset of the cube's centre."""
    tilt: float = 0.1
    """Share of samples in a random orientation, for captures whose z axis is not up."""
    floor: float = 0.6
    """Share of supported objects whose floor is an input of the network."""
    mirrored: float = 0.5
    """Share of samples that are the object's mirror image, and share whose colour channels are shuffled."""
    augmented: float = 0.5
    """Share of samples whose input views are disturbed by ``augmentation``; the others stay exact."""
    augmentation: Augmentation = field(default_factory=lambda: Augmentation(distort=0, jitter=0, silhouette=0.25))
    """Without the paper's grid distortion and camera jitter: those stand for the disagreement of generated views,
    and an arm's views do agree."""
    tear: float = 0.06
    """A true depth whose neighbours differ by more than this is on a depth edge and not learned from, cube units. Set
    by hand."""


@dataclass(frozen=True)
class Sample:
    """Tensors of one object (or, stacked, of B objects). V input views, W target views, grid G, crop side S,
    stored pictures of side T.

    Inputs as in `CropBatch`. ``front``, ``back`` (V, G, G) true z-depths in cube units at the grid's rays, NaN where
    the surface is torn or absent. Targets for rendering: ``target_rgb`` (W, T, T, 3) on white, ``target_alpha``
    (W, T, T), ``target_depth`` (W, T, T) z-depth in cube units, NaN off the object, ``target_K``,
    ``target_T_cube_camera``. ``points`` (P, 3) on the true surface; ``half`` (): metres per cube unit.
    """

    rgb: Tensor
    alpha: Tensor
    K: Tensor
    T_cube_camera: Tensor
    floor: Tensor
    front: Tensor
    back: Tensor
    target_rgb: Tensor
    target_alpha: Tensor
    target_depth: Tensor
    target_K: Tensor
    target_T_cube_camera: Tensor
    points: Tensor
    half: Tensor

    def inputs(self) -> CropBatch:
        return CropBatch(self.rgb, self.alpha, self.K, self.T_cube_camera, self.floor)


def collate(samples: list[Sample]) -> Sample:
    """Samples stacked to one with a leading batch dimension (B, ...) in each field."""
    return Sample(*(torch.stack([getattr(s, f.name) for s in samples]) for f in fields(Sample)))


def make_sample(
    item: Mapping[str, NDArray[Any]],
    views: int,
    targets: int,
    size: int,
    grid: int,
    sampling: Sampling,
    rng: np.random.Generator,
) -> Sample:
    """``item``: one object as `Shards` gives it, its pictures of any size. ``size``, ``grid``: sides of the input crops
    and of their depths. Draws views, cube, crop and orientation from ``rng``."""
    if rng.random() < sampling.mirrored:
        item = mirror(item)
    if rng.random() < sampling.mirrored:
        item = {**item, "rgb": recolor(item["rgb"], rng)}
    chosen = choose_inputs(int(item["ring"]), views, rng)
    supervising = rng.permutation(len(item["rgb"]))[:targets]
    points = np.asarray(item["points"], np.float64)
    low, high = points.min(0), points.max(0)
    half = 0.5 * float((high - low).max()) * rng.uniform(*sampling.cube)
    centre = 0.5 * (low + high) + rng.uniform(-1, 1, 3) * sampling.shift * half
    turned = rng.random() < sampling.tilt
    R = _random_rotation(rng) if turned else np.eye(3)
    support = float(item["support_height"])
    floor_known = np.isfinite(support) and not turned and rng.random() < sampling.floor

    seen = {name: np.asarray(item[name][chosen]) for name in ("rgb", "alpha", "T_world_camera")}
    if rng.random() < sampling.augmented:
        seen |= augment(seen, 0.5 * (low + high), rng, sampling.augmentation)

    def pose(T_world_camera: np.ndarray) -> Tensor:
        T = T_world_camera.astype(np.float64)
        T[:, :3, 3] = (T[:, :3, 3] - centre) @ R.T / half
        T[:, :3, :3] = R @ T[:, :3, :3]
        return torch.from_numpy(T.astype(np.float32))

    def depth(name: str, index: np.ndarray) -> Tensor:
        z = torch.from_numpy(item[name][index].astype(np.float32)) * (DEPTH_UNIT / half)
        return torch.where(z > 0, z, torch.nan)

    def picture(rgb: np.ndarray, alpha: np.ndarray) -> tuple[Tensor, Tensor]:
        return torch.from_numpy(rgb.astype(np.float32)) / 255, torch.from_numpy(alpha.astype(np.float32)) / 255

    def intrinsics(index: np.ndarray) -> Tensor:
        return torch.from_numpy(item["K"][index].astype(np.float32))

    margins = rng.uniform(*sampling.margin, views)
    windows = [silhouette_window(alpha > 127, m) for alpha, m in zip(seen["alpha"], margins, strict=True)]
    pictures = zip(seen["rgb"], seen["alpha"], windows, strict=True)
    crops = torch.from_numpy(np.stack([crop_image(*picture, size, on_white=True) for picture in pictures]))
    K = np.stack([crop_intrinsics(k, w, size) for k, w in zip(item["K"][chosen], windows, strict=True)])
    front, back = (
        crop_depth(depth(name, chosen), windows, grid, sampling.tear) for name in ("depth_front", "depth_back")
    )
    target_rgb, target_alpha = picture(item["rgb"][supervising], item["alpha"][supervising])
    return Sample(
        rgb=crops[:, :3],
        alpha=crops[:, 3],
        K=torch.from_numpy(K.astype(np.float32)),
        T_cube_camera=pose(seen["T_world_camera"]),
        floor=torch.tensor((support - centre[2]) / half if floor_known else -torch.inf, dtype=torch.float32),
        front=front,
        back=back,
        target_rgb=target_rgb,
        target_alpha=target_alpha,
        target_depth=depth("depth_front", supervising),
        target_K=intrinsics(supervising),
        target_T_cube_camera=pose(item["T_world_camera"][supervising]),
        points=torch.from_numpy(((points - centre) @ R.T / half).astype(np.float32)),
        half=torch.tensor(half, dtype=torch.float32),
    )


def choose_inputs(ring: int, views: int, rng: np.random.Generator) -> np.ndarray:
    """Which ``views`` of an example's possible inputs are taken, at random; evenly around, where the first ``ring`` of
    them are and that number allows."""
    if not ring or ring % views:
        return rng.permutation(INPUT_VIEWS)[:views]
    return (int(rng.integers(ring)) + np.arange(views) * (ring // views)) % ring


def crop_depth(depth: Tensor, windows: Sequence[CropWindow], out: int, tear: float) -> Tensor:
    """Depth (V, S, S), NaN off the object, at the centres of an out x out grid over each view's window.

    Interpolated where the four neighbours belong to one surface (within ``tear`` of each other), NaN elsewhere:
    a mean across a depth edge lies on no surface.
    """
    known = torch.isfinite(depth)
    z = torch.where(known, depth, 0)
    lowest = -F.max_pool2d(-torch.where(known, depth, 1e6)[:, None], 3, 1, 1)
    highest = F.max_pool2d(torch.where(known, depth, -1e6)[:, None], 3, 1, 1)
    torn = ((highest - lowest) > 3 * tear).float()
    x0, y0, side = torch.tensor([astuple(w) for w in windows], dtype=torch.float32).T[..., None]
    centres = (torch.arange(out) + 0.5) / out
    x, y = x0 + side * centres, y0 + side * centres
    grid = torch.stack([x[:, None, :].expand(-1, out, -1), y[:, :, None].expand(-1, -1, out)], -1)
    grid = grid * (2 / depth.shape[-1]) - 1
    planes = torch.cat([z[:, None], known.float()[:, None], torn], 1)
    value, seen, near_tear = F.grid_sample(planes, grid, align_corners=False).unbind(1)
    nearest = F.grid_sample(z[:, None], grid, mode="nearest", align_corners=False)[:, 0]
    mean = value / seen.clamp(min=1e-6)
    sound = (seen > 0.99) & ((mean - nearest).abs() < tear) & (near_tear < 0.99)
    return torch.where(sound, mean, torch.nan)


def _random_rotation(rng: np.random.Generator) -> np.ndarray:
    """Uniform over SO(3): the Q of a Gaussian matrix, with its determinant made +1."""
    Q, upper = np.linalg.qr(rng.normal(size=(3, 3)))
    Q = Q * np.sign(np.diag(upper))
    return Q * np.linalg.det(Q)
