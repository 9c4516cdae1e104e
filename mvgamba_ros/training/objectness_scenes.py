"""Scenes that the objectness network learns from: objects before backgrounds, windows as the segmenter makes them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from mvgamba_ros.errors import ErrorCode, ReconstructionError, boundary
from mvgamba_ros.geometry.camera import resample
from mvgamba_ros.geometry.se3 import rigid
from mvgamba_ros.io.results import check_writable
from mvgamba_ros.segmentation import plane_matching
from mvgamba_ros.segmentation.classical import objectness
from mvgamba_ros.segmentation.network_pictures import fitted_size
from mvgamba_ros.segmentation.support_plane import support_height
from mvgamba_ros.segmentation.windows import make_windows
from mvgamba_ros.synthesis.backgrounds import render_scene
from mvgamba_ros.synthesis.families import Procedural
from mvgamba_ros.synthesis.shading import Rng
from mvgamba_ros.types import U8, Box, Counted, Prompts
from mvgamba_ros.worker_processes import in_processes


@dataclass(frozen=True)
class SceneRecipe:
    """What a folder of scenes holds. Folders differ by name only: give each seed its own."""

    seed: int = 1
    """Of the objects and of everything sampled around them."""
    count: int = 7_000
    """Scenes of four windows; the few whose object hides in a view are left out."""
    per_shard: int = 100
    """Scenes in a file, the unit that is written whole."""
    window: int = 160
    """Longer side of the windows before they are shrunk to the network's own, pixels, as the segmenter's are larger
    than that. The segmenter's own while it searches."""
    min_pixels: int = 60
    """Pixels of the object that each view must show; a scene with a view of fewer is left out. Set by hand."""


def example(recipe: SceneRecipe, index: int) -> tuple[U8, U8] | None:
    """Four windows of the ``index``-th scene of a recipe, as the network takes them, and their silhouettes
    (V, SIDE, SIDE); None where a view does not show the object."""
    rng = np.random.default_rng([recipe.seed, index, 7])
    views, bounds = render_scene(Procedural(recipe.seed, index + 1)[index], rng)
    if min(int(view.mask.sum()) for view in views if view.mask is not None) < recipe.min_pixels:
        return None
    region, searching = _region(bounds, rng)
    prompts = Prompts(roi=region)
    try:
        windows = make_windows(views, region, prompts, recipe.window)
    except ReconstructionError:  # the region reaches behind a camera
        return None
    height = support_height(windows, region, anywhere=searching)[0] if rng.random() < 0.8 else None
    pairs = plane_matching.compare(windows, height, searching) if height is not None else [[] for _ in views]
    x = objectness.inputs(windows, pairs)
    y = np.zeros((len(views), objectness.SIDE, objectness.SIDE), np.uint8)
    for truth, view, window in zip(y, views, windows, strict=True):
        assert view.mask is not None
        small = resample(view.mask.astype(np.float32), view.camera, window.camera)
        h, w = fitted_size(window, objectness.SIDE)
        truth[:h, :w] = np.rint(255 * cv2.resize(small, (w, h), interpolation=cv2.INTER_AREA))
    return x, y


def _region(bounds: np.ndarray, rng: Rng) -> tuple[Box, bool]:
    """A region of interest as a person gives it, or the wide one in which an object is searched."""
    size, center = np.ptp(bounds, axis=0), bounds.mean(0)
    searching = bool(rng.random() < 0.4)
    if searching:
        size = np.full(3, size.max() * rng.uniform(1.5, 4.5))
        center = center + rng.uniform(-0.15, 0.15, 3) * size
    else:
        size = np.maximum(size * rng.uniform(1.05, 2.0), 0.02)
        center = center + rng.uniform(-0.4, 0.4, 3) * (size - np.ptp(bounds, axis=0))
    return Box(rigid(np.eye(3), center), size), searching


def _shard(job: tuple[Path, SceneRecipe, int, int]) -> int:
    folder, recipe, first, last = job
    made = [example(recipe, i) for i in range(first, last)]
    kept = [pair for pair in made if pair is not None]
    path = _path(folder, recipe.seed, first)
    partial = path.with_name(f".{path.name}")
    side = objectness.SIDE
    x = [np.zeros((0, objectness.CHANNELS, side, side), np.uint8)] + [x for x, _ in kept]
    y = [np.zeros((0, side, side), np.uint8)] + [y for _, y in kept]
    np.savez(partial, x=np.concatenate(x), y=np.concatenate(y))
    partial.rename(path)
    return len(kept)


def _path(folder: Path, seed: int, first: int) -> Path:
    return folder / f"{seed:04d}-{first:07d}.npz"


def missing_scenes(folder: Path, recipe: SceneRecipe) -> list[int]:
    """The first scenes of the recipe's shards that the folder lacks."""
    starts = range(0, recipe.count, recipe.per_shard)
    return [first for first in starts if not _path(folder, recipe.seed, first).exists()]


def write_scenes(folder: Path, recipe: SceneRecipe, workers: int = 1, log: Callable[[str], None] = print) -> None:
    """Write every shard of a recipe that the folder lacks: windows x (N, CHANNELS, SIDE, SIDE) and silhouettes y
    (N, SIDE, SIDE), uint8. Shards of another seed may lie beside them."""
    folder = check_writable(folder)
    todo = missing_scenes(folder, recipe)
    jobs = [(folder, recipe, first, min(first + recipe.per_shard, recipe.count)) for first in todo]
    shards = -(-recipe.count // recipe.per_shard)
    log(f"{folder}: {shards - len(jobs)} of {shards} shards are there, writing {len(jobs)}")
    if not jobs:
        return
    start = time.monotonic()
    for done, _ in enumerate(in_processes(_shard, jobs, workers, folder), 1):
        left = (time.monotonic() - start) / done * (len(jobs) - done) / 60
        log(Counted(f"{folder}: {done}/{len(jobs)} shards, {left:.0f} min to go", done / len(jobs)))


def read_scenes(shard: Path) -> tuple[U8, U8]:
    """A shard's windows (N, CHANNELS, SIDE, SIDE) and silhouettes (N, SIDE, SIDE). Raises BAD_CAPTURE."""
    side = objectness.SIDE
    with boundary(ErrorCode.BAD_CAPTURE, shard, "delete it and render the folder again"), np.load(shard) as data:
        x, y = data["x"], data["y"]
        if x.shape[1:] != (objectness.CHANNELS, side, side) or y.shape != (len(x), side, side):
            raise ValueError(f"it holds arrays {x.shape} and {y.shape}")
        return x, y


def holds_scenes(folder: Path) -> bool:
    """Whether a folder holds shards of scenes, not of views."""
    return any(folder.glob("[0-9]*.npz"))


def scene_sheet(folder: Path, scenes: int = 16) -> U8:
    """RGB picture (H, W, 3) of four windows of each of the first scenes, two scenes in a row, silhouettes outlined."""
    windows, silhouettes = read_scenes(min(folder.glob("[0-9]*.npz")))
    tiles = []
    for x, y in zip(windows[: 4 * scenes], silhouettes[: 4 * scenes], strict=True):
        picture = np.ascontiguousarray(x[:3].transpose(1, 2, 0))
        outlines, _ = cv2.findContours((y > 127).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        tiles.append(cv2.drawContours(picture, outlines, -1, (0, 255, 0), 1))
    rows = [np.hstack(tiles[k : k + 8]) for k in range(0, len(tiles) - len(tiles) % 8, 8)]
    return np.vstack(rows)
