"""Files of examples for the instance network, and reading them back a batch at a time."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mvgamba_ros.errors import ErrorCode, ReconstructionError, boundary
from mvgamba_ros.io.lock import locked
from mvgamba_ros.io.results import check_writable
from mvgamba_ros.segmentation.multiview.region_cells import RegionCells, joined, region_cells
from mvgamba_ros.segmentation.multiview.window_layers import LAYERS, SIDE
from mvgamba_ros.synthesis.tabletop_rig import TabletopRecipe
from mvgamba_ros.synthesis.tabletop_shards import TabletopScenes, missing_tabletop, shard_of, write_tabletop
from mvgamba_ros.training.instance_examples import ExampleRecipe, InstanceExample, camera_of, examples
from mvgamba_ros.types import Box, Counted
from mvgamba_ros.worker_processes import in_processes

DEFAULT_EXAMPLES = ExampleRecipe()
SCENES = "scenes"


@dataclass(frozen=True)
class InstanceRecipe:
    """What a folder of examples holds, and the tabletops that they are of, in its folder ``scenes``."""

    seed: int = 1
    """Of the scenes and of the regions that are asked about."""
    count: int = 6_000
    """Scenes."""
    examples: ExampleRecipe = field(default_factory=ExampleRecipe)
    """Which regions of each."""


@dataclass(frozen=True)
class InstanceBatch:
    """B regions in V views each: ``layers`` (B * V, len(LAYERS), SIDE, SIDE) uint8, ``truth`` (B * V, 2, SIDE, SIDE)
    uint8, ``middles`` (B, MIDDLES, rows, columns), ``wide`` (B,) bool, as in `InstanceExample`."""

    layers: Tensor
    truth: Tensor
    middles: Tensor
    wide: Tensor
    cells: RegionCells


def missing_instances(folder: Path, recipe: InstanceRecipe) -> list[int]:
    """The numbers of the recipe's shards whose examples the folder lacks."""
    scenes = TabletopRecipe(recipe.seed, recipe.count)
    shards = range(-(-recipe.count // scenes.per_shard))
    lacking = set(missing_tabletop(folder / SCENES, scenes))
    return [k for k in shards if k in lacking or not _file(folder, shard_of(folder / SCENES, k)).exists()]


def write_instances(folder: Path, recipe: InstanceRecipe, workers: int = 1, log: Callable[[str], None] = print) -> None:
    """Render the scenes of a recipe and write their examples, what the folder lacks of either."""
    write_tabletop(folder / SCENES, TabletopRecipe(recipe.seed, recipe.count), workers, log)
    write_examples(folder / SCENES, folder, recipe.examples, workers, log)


def missing_examples(scenes: Path, folder: Path) -> list[Path]:
    """The shards of scenes whose examples ``folder`` lacks."""
    return [shard for shard in sorted(scenes.glob("tabletop_[0-9]*")) if not _file(folder, shard).exists()]


def _file(folder: Path, shard: Path) -> Path:
    return folder / f"examples_{shard.name.removeprefix('tabletop_')}.npz"


def write_examples(
    scenes: Path,
    folder: Path,
    recipe: ExampleRecipe = DEFAULT_EXAMPLES,
    workers: int = 1,
    log: Callable[[str], None] = print,
) -> None:
    """Write the examples of every shard of ``scenes`` (`synthesis.tabletop_shards`) that ``folder`` lacks."""
    folder = check_writable(folder)
    with locked(folder):
        todo = missing_examples(scenes, folder)
        log(f"{folder}: examples of {len(todo)} shards of scenes to write")
        start = time.monotonic()
        jobs = [(scenes, shard, _file(folder, shard), recipe) for shard in todo]
        made = map(_write, jobs) if workers == 1 else in_processes(_write, jobs, workers, folder)
        for done, _ in enumerate(made, 1):
            left = (time.monotonic() - start) / done * (len(jobs) - done) / 60
            log(Counted(f"{folder}: {done}/{len(jobs)} shards, {left:.0f} min to go", done / len(jobs)))


def _write(job: tuple[Path, Path, Path, ExampleRecipe]) -> None:
    folder, shard, out, recipe = job
    with boundary(ErrorCode.BAD_CAPTURE, shard, "delete it and render the folder again"):
        made = json.loads((folder / "manifest.json").read_text())["recipe"]
        number = int(shard.name.removeprefix("tabletop_"))
    arrays: dict[str, Any] = {}
    views: list[int] = []
    scenes = TabletopScenes(folder, shards=[shard])
    for index in range(len(scenes)):
        rng = np.random.default_rng([made["seed"], number, index, 11])
        for example in examples(scenes[index], rng, recipe):
            k = len(views)
            arrays |= {f"{one.name}{k}": np.asarray(getattr(example, one.name)) for one in fields(example)}
            views.append(len(example.poses))
    partial = out.with_name(f".{out.name}")
    np.savez_compressed(partial, views=np.array(views), **arrays)
    partial.rename(out)


class ExampleFiles:
    """The examples of several files, by number."""

    def __init__(self, files: Sequence[Path]) -> None:
        self.files = list(files)
        self._open: dict[Path, Any] = {}
        self.at: list[tuple[Path, int]] = []
        views: list[int] = []
        for file in self.files:
            with boundary(ErrorCode.BAD_CAPTURE, file, "delete it and write the folder again"):
                counts = self._data(file)["views"]
            self.at += [(file, k) for k in range(len(counts))]
            views += counts.tolist()
        self.views = np.array(views)
        if len(views) == 0:
            raise ReconstructionError(ErrorCode.BAD_OPTION, "no file of examples to learn from")

    def _data(self, file: Path) -> Any:
        if file not in self._open:
            self._open[file] = np.load(file)
        return self._open[file]

    def __len__(self) -> int:
        return len(self.at)

    def __getitem__(self, index: int) -> InstanceExample:
        file, k = self.at[index]
        with boundary(ErrorCode.BAD_CAPTURE, file, "delete it and write the folder again"):
            data = self._data(file)
            found = {one.name: data[f"{one.name}{k}"] for one in fields(InstanceExample)}
            if found["layers"].shape[1:] != (len(LAYERS), SIDE, SIDE):
                raise ValueError(f"it holds layers {found['layers'].shape}")
        return InstanceExample(**{**found, "height": float(found["height"]), "wide": bool(found["wide"])})

    def batch(self, indices: Sequence[int]) -> InstanceBatch:
        """Examples with the same number of views."""
        found = [self[index] for index in indices]
        regions = [cells_of(example) for example in found]
        return InstanceBatch(
            torch.from_numpy(np.concatenate([example.layers for example in found])),
            torch.from_numpy(np.concatenate([example.truth for example in found])),
            torch.from_numpy(np.stack([example.middles for example in found])),
            torch.tensor([example.wide for example in found]),
            joined(regions, SIDE),
        )


def cells_of(example: InstanceExample) -> RegionCells:
    """The cells of an example's region."""
    region = Box(example.region[:4], example.region[4, :3])
    height = None if np.isnan(example.height) else example.height
    return region_cells([camera_of(row) for row in example.cameras], list(example.poses), region, height, SIDE)


class BatchesAhead:
    """The batches that ``draw`` names by the number of the step, from ``first`` on. Each is read in a thread while the
    one before it is in work: reading is mostly unpacking."""

    def __init__(self, files: ExampleFiles, draw: Callable[[int], list[int]], first: int = 0) -> None:
        self.files, self.draw, self.number = files, draw, first
        self._pool = ThreadPoolExecutor(1)
        self._next = self._read()

    def _read(self) -> Future[InstanceBatch]:
        indices = self.draw(self.number)
        self.number += 1
        return self._pool.submit(self.files.batch, indices)

    def __call__(self) -> InstanceBatch:
        batch = self._next.result()
        self._next = self._read()
        return batch
