"""What the context across views could help with: views taken away, one view's pixels, mask or pose gone wrong.

Faults change an item (`context_data.Item`) that holds its input views alone. Pictures are on white, so that a fault of
the mask shows grey table where it gains and white where it loses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from benchmarks.context_data import Item
from mvgamba_ros.geometry.se3 import rigid
from mvgamba_ros.synthesis.data_format import INPUT_VIEWS
from mvgamba_ros.training.sample_batches import Sample, Sampling, choose_inputs, collate, make_sample
from mvgamba_ros.types import F64

Rng = np.random.Generator
Fault = Callable[[Item, int, Rng, float], None]
"""Changes view v of an item in place; the last argument is the strength, 0 to 1."""

EXACT = Sampling(augmented=0.0, mirrored=0.0, tilt=0.0)
BLUR = 0.04
"""Sigma of the greatest blur, as a share of the picture's side: texture is gone."""
STOPS = 2.0
BITE = 0.3
"""Greatest half axis of a bite, as a share of the root of the silhouette's area."""
GROWTH = 0.05
"""Most that a mask grows, as a share of the picture's side."""
SHIFT_M, TURN_DEG = 0.005, 1.0
"""How far one view's pose is off at most."""
SHIFT_ALL_M, TURN_ALL_DEG = 0.002, 0.3
"""Standard deviations, on each axis, where all poses are off."""


def take_views(item: Item, views: int, rng: Rng) -> Item:
    """The item with ``views`` of its inputs alone: evenly around, where they stand so, else at random. `make_sample`
    then takes them all."""
    ring = int(item["ring"])
    chosen = choose_inputs(ring, views, rng) if ring else rng.permutation(INPUT_VIEWS)[:views]
    per_view = {"rgb", "alpha", "depth_front", "depth_back", "K", "T_world_camera"}
    out = {name: np.array(value[chosen]) if name in per_view else value for name, value in item.items()}
    return {**out, "ring": np.uint8(views)}


def blur_and_expose(item: Item, v: int, rng: Rng, strength: float) -> None:
    """Object pixels of view v are blurred and too light or too dark; its mask stays."""
    alpha = item["alpha"][v].astype(np.float32)[..., None] / 255
    sigma = max(BLUR * strength * alpha.shape[0], 0.2)
    premultiplied = np.asarray(item["rgb"][v], np.float32) / 255 - (1 - alpha)
    both = cv2.GaussianBlur(np.dstack([premultiplied, alpha]), (0, 0), sigma)
    color = both[..., :3] / np.maximum(both[..., 3:], 1e-3)
    color = np.clip(color * 2.0 ** (STOPS * strength * rng.choice([-1.0, 1.0])), 0, 1)
    item["rgb"][v] = np.rint(255 * (color * alpha + (1 - alpha)))


def bite_or_grow(item: Item, v: int, rng: Rng, strength: float) -> None:
    """The mask of view v has a bite out of its outline, or has grown onto the table."""
    alpha = item["alpha"][v].astype(np.float32) / 255
    rgb = np.asarray(item["rgb"][v], np.float32) / 255
    side = alpha.shape[0]
    if rng.random() < 0.5:
        radius = max(round(GROWTH * strength * side), 1)
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
        grown = np.asarray(cv2.dilate(alpha, kernel), np.float32)
        table = np.float32(rng.uniform(0.2, 0.8))
        rgb = (rgb - (1 - alpha[..., None])) + (grown - alpha)[..., None] * table + (1 - grown[..., None])
        alpha = grown
    else:
        outline = np.argwhere((alpha > 0.5) & (cv2.erode(alpha, np.ones((3, 3), np.uint8)) <= 0.5))
        if not len(outline):
            return
        y, x = outline[rng.integers(len(outline))]
        axes = np.maximum(rng.uniform(0.5, 1.0, 2) * BITE * strength * np.sqrt(alpha.sum()), 1)
        patch = np.zeros_like(alpha)
        cv2.ellipse(patch, (int(x), int(y)), axes.astype(int).tolist(), rng.uniform(0, 180), 0, 360, 1.0, -1)
        left = alpha * (1 - patch)
        rgb = rgb * (1 - patch[..., None]) + patch[..., None]
        alpha = left if left.max() > 0.5 else alpha
    item["rgb"][v], item["alpha"][v] = np.rint(255 * np.clip(rgb, 0, 1)), np.rint(255 * alpha)


def move_camera(item: Item, v: int, rng: Rng, strength: float) -> None:
    """The pose of view v is off in a random direction and about a random axis."""
    direction, axis = (d / np.linalg.norm(d) for d in rng.normal(size=(2, 3)))
    _move(item, v, direction * SHIFT_M * strength, axis * np.radians(TURN_DEG) * strength)


def _move(item: Item, v: int, shift: F64, turn: F64) -> None:
    error = rigid(np.asarray(cv2.Rodrigues(turn)[0], np.float64), shift)
    item["T_world_camera"][v] = item["T_world_camera"][v].astype(np.float64) @ error


ONE_VIEW: dict[str, Fault] = {"pixels": blur_and_expose, "mask": bite_or_grow, "pose": move_camera}


def move_all(item: Item, rng: Rng) -> None:
    """Every pose is off by its own normal errors."""
    for v in range(len(item["T_world_camera"])):
        shift, turn = rng.normal(size=(2, 3))
        _move(item, v, shift * SHIFT_ALL_M, turn * np.radians(TURN_ALL_DEG))


def training_fault(item: Item, rng: Rng) -> None:
    """One view, or of several up to half of them, gets one or more of `ONE_VIEW`, of any strength."""
    count = int(rng.integers(1, max(len(item["rgb"]) // 2, 1) + 1))
    for v in rng.permutation(len(item["rgb"]))[:count]:
        chosen = rng.permutation(list(ONE_VIEW))[: 1 + int(rng.random() < 0.3)]
        for name in chosen:
            ONE_VIEW[str(name)](item, int(v), rng, float(rng.uniform(0.2, 1.0)))


@dataclass(frozen=True)
class Condition:
    """``views`` of an object, with a fault of ``one`` of them (a name of `ONE_VIEW`) or of all poses. ``shuffled``: the
    network's sequence takes the views as they came, not by their ranks."""

    views: int = 4
    one: str = ""
    all_poses: bool = False
    shuffled: bool = False


CONDITIONS: dict[str, Condition] = {
    "4 views": Condition(),
    "2 views": Condition(2),
    "1 view": Condition(1),
    "8 views": Condition(8),
    "one view's pixels": Condition(one="pixels"),
    "one view's mask": Condition(one="mask"),
    "one view's pose": Condition(one="pose"),
    "all poses": Condition(all_poses=True),
    "views in any order": Condition(shuffled=True),
}


@dataclass(frozen=True)
class Observed:
    """One object under a condition, a batch of one; ``faulty`` is the place of the view that faults strike."""

    sample: Sample
    faulty: int


def disturbed(item: Item, index: int, condition: Condition) -> tuple[Item, int]:
    """The input views of object ``index`` under ``condition``, the same ones in every call and for all faults; and
    which of them is the faulty one, or would be."""
    taken = take_views(item, condition.views, np.random.default_rng((7, index)))
    rng = np.random.default_rng((11, index))
    victim = int(rng.integers(condition.views))
    if condition.one:
        ONE_VIEW[condition.one](taken, victim, rng, 1.0)
    if condition.all_poses:
        move_all(taken, rng)
    return taken, victim


def observe(item: Item, index: int, condition: Condition, size: int, grid: int) -> Observed:
    """Object ``index`` under ``condition``, as `disturbed` has it, in the same cube and crops in every call."""
    taken, victim = disturbed(item, index, condition)
    sample = make_sample(taken, condition.views, 1, size, grid, EXACT, np.random.default_rng((13, index)))
    # `make_sample` turns the views' order round; without tilt a camera keeps its rotation
    rotation = torch.from_numpy(np.asarray(taken["T_world_camera"][victim, :3, :3], np.float32))
    faulty = int((sample.T_cube_camera[:, :3, :3] - rotation).abs().sum((1, 2)).argmin())
    return Observed(collate([sample]), faulty)
