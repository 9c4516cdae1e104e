"""Rendered objects on disk: folders of plain .npy arrays that a training run maps into memory.

A data folder holds ``manifest.json`` and ``shard_00000``, ``shard_00001``, ... A shard appears whole (it is written
beside its place and renamed), so that training may start while more are written, and a writer that was stopped goes on
where it was.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.synthesis.place import Rig
from mvgamba_ros.synthesis.render import DEPTH_UNIT, POINTS, render
from mvgamba_ros.synthesis.sources import Source

ARRAYS = ("rgb", "alpha", "depth_front", "depth_back", "K", "T_world_camera", "points", "normals", "support_height")


@dataclass(frozen=True)
class Recipe:
    """What a data folder holds. ``source`` names where the objects come from, for people and the manifest."""

    source: str
    seed: int
    count: int
    per_shard: int = 128
    points: int = POINTS
    rig: Rig = field(default_factory=Rig)

    @property
    def shards(self) -> int:
        return -(-self.count // self.per_shard)


def example(source: Source, index: int, recipe: Recipe) -> dict[str, NDArray[Any]]:
    """Object ``index`` of the source (counted round again past its end), rendered: see `render`."""
    mesh = source[index % len(source)]
    out = render(mesh, recipe.rig, np.random.default_rng([recipe.seed, index, 1]), recipe.points)
    return {**out, "family": np.array(mesh.family)}


def _write_shard(folder: Path, source: Source, recipe: Recipe, shard: int) -> float:
    """Render and store one shard; answers the seconds it took."""
    start = time.monotonic()
    last = min((shard + 1) * recipe.per_shard, recipe.count)
    made = [example(source, i, recipe) for i in range(shard * recipe.per_shard, last)]
    name = f"shard_{shard:05d}"
    partial = folder / f".{name}.{os.getpid()}"
    partial.mkdir(parents=True)
    for key in (*ARRAYS, "family"):
        np.save(partial / f"{key}.npy", np.stack([m[key] for m in made]))
    partial.rename(folder / name)
    return time.monotonic() - start


_job: tuple[Path, Source, Recipe]


def _start_worker(*job: Any) -> None:
    global _job
    _job = job


def _work(shard: int) -> float:
    return _write_shard(*_job, shard)


def write_shards(
    folder: Path, source: Source, recipe: Recipe, workers: int = 1, say: Callable[[str], None] = print
) -> None:
    """Write every shard of a recipe that the folder lacks, with a line of progress for each.

    Raises ``BAD_OPTION`` when the folder was begun with another recipe.
    """
    folder.mkdir(parents=True, exist_ok=True)
    manifest = {"recipe": asdict(recipe), "depth_unit_m": DEPTH_UNIT, "arrays": ARRAYS}
    path = folder / "manifest.json"
    text = json.dumps(manifest, indent=1)
    if path.exists() and json.loads(path.read_text()) != json.loads(text):
        raise ReconstructionError(
            ErrorCode.BAD_OPTION,
            f"{path} was written with another recipe: give the same options, or another folder",
        )
    path.write_text(text)
    for left in folder.glob(".shard_*"):
        shutil.rmtree(left)
    todo = [s for s in range(recipe.shards) if not (folder / f"shard_{s:05d}").exists()]
    say(f"{folder}: {recipe.shards - len(todo)} of {recipe.shards} shards are there, writing {len(todo)}")
    start = time.monotonic()
    context = multiprocessing.get_context("spawn")
    with context.Pool(workers, _start_worker, (folder, source, recipe)) as pool:
        for done, _ in enumerate(pool.imap_unordered(_work, todo), 1):
            spent = time.monotonic() - start
            rate = done * recipe.per_shard / spent
            left_s = spent / done * (len(todo) - done)
            say(f"{done}/{len(todo)} shards, {rate:.2f} objects/s, {left_s / 60:.0f} min to go")


class Shards:
    """A data folder as a sequence of objects, for ``rank`` of ``world`` processes (shards rank, rank + world, ...).

    ``shards[i]`` is a dict of numpy arrays: those of `render` and ``family``. Arrays are mapped when first read, in
    whichever process reads them, so an instance may be handed to data loader workers. Raises ``BAD_CAPTURE`` when
    the folder holds no shard for this rank.
    """

    def __init__(self, folder: Path | str, rank: int = 0, world: int = 1) -> None:
        self.folder, self.rank, self.world = Path(folder), rank, world
        self._open: dict[Path, dict[str, NDArray[Any]]] = {}
        self.refresh()
        if not self._paths:
            raise ReconstructionError(
                ErrorCode.BAD_CAPTURE,
                f"{self.folder} holds no shard for rank {rank} of {world}: write more with `mvgamba data`",
            )

    def refresh(self) -> None:
        """Take in the shards that were written since."""
        self._paths = sorted(self.folder.glob("shard_[0-9]*"))[self.rank :: self.world]
        sizes = [len(np.load(p / "support_height.npy", mmap_mode="r")) for p in self._paths]
        self._ends = np.cumsum(sizes)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": {}}

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, index: int) -> dict[str, NDArray[Any]]:
        if not 0 <= index < len(self):
            raise IndexError(f"object {index} of {len(self)}")
        shard = int(np.searchsorted(self._ends, index, side="right"))
        path = self._paths[shard]
        if path not in self._open:
            self._open[path] = {k: np.load(path / f"{k}.npy", mmap_mode="r") for k in (*ARRAYS, "family")}
        row = index - (int(self._ends[shard - 1]) if shard else 0)
        return {k: a[row] for k, a in self._open[path].items()}
