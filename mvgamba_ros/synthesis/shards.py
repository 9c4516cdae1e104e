"""Rendered objects on disk: folders of plain .npy arrays that a training run maps into memory.

A data folder holds ``manifest.json`` and ``shard_00000``, ``shard_00001``, ... A shard appears whole (it is written
beside its place and renamed), so that training may start while more are written, and a writer that was stopped goes on
where it was.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mvgamba_ros.config.bounds import bounded
from mvgamba_ros.errors import ErrorCode, ReconstructionError, boundary
from mvgamba_ros.io.lock import locked
from mvgamba_ros.io.results import check_writable
from mvgamba_ros.synthesis.data_format import ARRAYS, DEPTH_UNIT, SURFACE_POINTS
from mvgamba_ros.synthesis.orbit_render import RingRig, orbit_views
from mvgamba_ros.synthesis.pose_sampling import CameraRig
from mvgamba_ros.synthesis.render import render
from mvgamba_ros.synthesis.sources import Source
from mvgamba_ros.synthesis.textured_mesh import TexturedMesh
from mvgamba_ros.types import Counted
from mvgamba_ros.worker_processes import in_processes

REMEDY = "delete it and render the folder again"


@dataclass(frozen=True)
class ShardRecipe(ABC):
    """What a data folder holds; its manifest repeats it, and a folder is only ever filled by the recipe it began with.

    The same recipe always gives the same examples, whatever the number of processes that render them.
    """

    source: str = "procedural"
    """Where the objects come from: names of object sources or folders of meshes, with shares (`open_source`)."""
    seed: int = 1
    """Of the objects and of everything sampled around them."""
    count: int = bounded(12_000, 1, math.inf)
    """Objects in the folder. 6,000 to 12,000 are learned from for some 30,000 samples before they repeat."""
    per_shard: int = bounded(128, 1, math.inf)
    """Objects in a shard, the unit that is written whole: less than a minute's work on one core."""
    points: int = bounded(SURFACE_POINTS, 1, math.inf)
    """Points of the true surface stored with each object."""

    @property
    def shards(self) -> int:
        return -(-self.count // self.per_shard)

    @abstractmethod
    def rendered(self, mesh: TexturedMesh, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
        """One example, of the arrays that `render` makes."""


@dataclass(frozen=True)
class DataRecipe(ShardRecipe):
    """Objects as a wrist camera sees them."""

    rig: CameraRig = field(default_factory=CameraRig)
    """The cameras, and how the object stands before them."""

    def rendered(self, mesh: TexturedMesh, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
        return render(mesh, self.rig, rng, self.points)


@dataclass(frozen=True)
class OrbitRecipe(ShardRecipe):
    """Objects afloat before a paper's cameras."""

    rig: RingRig = field(default_factory=RingRig)
    """The cameras and the light."""

    def rendered(self, mesh: TexturedMesh, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
        return orbit_views(mesh, self.rig, rng, self.points)


def example(source: Source, index: int, recipe: ShardRecipe) -> dict[str, NDArray[Any]]:
    """Object ``index`` of the source (counted round again past its end), rendered: see `render`."""
    mesh = source[index % len(source)]
    out = recipe.rendered(mesh, np.random.default_rng([recipe.seed, index, 1]))
    return {**out, "family": np.array(mesh.family)}


def _write_shard(folder: Path, source: Source, recipe: ShardRecipe, shard: int) -> float:
    """Render and store one shard; returns the seconds it took."""
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


_job: tuple[Path, Source, ShardRecipe]


def _start_worker(*job: Any) -> None:
    global _job
    _job = job


def _work(shard: int) -> float:
    return _write_shard(*_job, shard)


def missing_shards(folder: Path, recipe: ShardRecipe) -> list[int]:
    """The numbers of the recipe's shards that the folder lacks.

    Raises BAD_OPTION when the folder was begun with another recipe.
    """
    check_manifest(folder / "manifest.json", json.loads(_manifest(recipe)))
    return [shard for shard in range(recipe.shards) if not (folder / f"shard_{shard:05d}").exists()]


def check_manifest(path: Path, wanted: dict[str, Any]) -> None:
    """Raises BAD_OPTION where the manifest of a data folder is there and cannot be read, or is not as ``wanted``."""
    try:
        begun = json.loads(path.read_text()) if path.exists() else None
    except (OSError, ValueError) as error:
        raise ReconstructionError(
            ErrorCode.BAD_OPTION, f"{path} cannot be read ({error}): delete it, or give another folder"
        ) from error
    if begun is not None and begun != wanted:
        raise ReconstructionError(
            ErrorCode.BAD_OPTION, f"{path} was written with another recipe: give the same options, or another folder"
        )


def _manifest(recipe: ShardRecipe) -> str:
    return json.dumps({"recipe": asdict(recipe), "depth_unit_m": DEPTH_UNIT, "arrays": ARRAYS}, indent=1)


def write_shards(
    folder: Path, source: Source, recipe: ShardRecipe, workers: int = 1, log: Callable[[str], None] = print
) -> None:
    """Write every shard of a recipe that the folder lacks, with a line of progress for each, in ``workers`` processes.

    Raises BAD_OPTION when the folder was begun with another recipe, or the source is empty.
    """
    missing_shards(folder, recipe)  # refuses before anything is written
    if not len(source):
        raise ReconstructionError(ErrorCode.BAD_OPTION, f"source {recipe.source}: holds no objects; name another")
    folder = check_writable(folder)
    with locked(folder):
        _fill(folder, source, recipe, workers, log)


def _fill(folder: Path, source: Source, recipe: ShardRecipe, workers: int, log: Callable[[str], None]) -> None:
    todo = missing_shards(folder, recipe)
    (folder / "manifest.json").write_text(_manifest(recipe))
    for left in folder.glob(".shard_*"):
        shutil.rmtree(left)
    log(f"{folder}: {recipe.shards - len(todo)} of {recipe.shards} shards are there, writing {len(todo)}")
    if not todo:
        return
    start = time.monotonic()
    for done, _ in enumerate(in_processes(_work, todo, workers, folder, _start_worker, (folder, source, recipe)), 1):
        spent = time.monotonic() - start
        rate = done * recipe.per_shard / spent
        left_s = spent / done * (len(todo) - done)
        line = f"{folder}: {done}/{len(todo)} shards, {rate:.2f} objects/s, {left_s / 60:.0f} min to go"
        log(Counted(line, done / len(todo)))


def _objects_in(shard: Path) -> int:
    with boundary(ErrorCode.BAD_CAPTURE, f"{shard} is damaged", REMEDY):
        return len(np.load(shard / "support_height.npy", mmap_mode="r"))


class Shards:
    """Data folders as one sequence of objects, for ``rank`` of ``world`` processes (shards rank, rank + world, ...).

    ``folders``: one folder, or several whose shards follow each other. ``shards[i]`` is a dict of numpy arrays: those
    of `render` and ``family``. Arrays are mapped when first read, in whichever process reads them, so an instance may
    be handed to data loader workers. Raises BAD_CAPTURE when the folders hold no shard for this rank.
    """

    def __init__(self, folders: Path | str | Sequence[Path | str], rank: int = 0, world: int = 1) -> None:
        several = [folders] if isinstance(folders, str | Path) else folders
        self.folders, self.rank, self.world = [Path(folder) for folder in several], rank, world
        self._open: dict[Path, dict[str, NDArray[Any]]] = {}
        self.refresh()
        if not self._paths:
            raise ReconstructionError(
                ErrorCode.BAD_CAPTURE,
                f"{', '.join(map(str, self.folders))}: no shard for rank {rank} of {world}; write more with "
                "`mvgamba data render`",
            )

    def refresh(self) -> None:
        """Take in the shards that were written since."""
        paths = [path for folder in self.folders for path in sorted(folder.glob("shard_[0-9]*"))]
        self._paths = paths[self.rank :: self.world]
        self._ends = np.cumsum([_objects_in(path) for path in self._paths])

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
            with boundary(ErrorCode.BAD_CAPTURE, path, REMEDY):
                self._open[path] = {k: np.load(path / f"{k}.npy", mmap_mode="r") for k in (*ARRAYS, "family")}
                if {len(array) for array in self._open[path].values()} != {_objects_in(path)}:
                    raise ValueError("its arrays are of different lengths")
        row = index - (int(self._ends[shard - 1]) if shard else 0)
        return {k: a[row] for k, a in self._open[path].items()}
