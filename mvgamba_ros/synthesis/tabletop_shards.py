"""Tabletop scenes on disk: folders of plain .npy arrays, pictures and labels encoded, that a training run maps.

A folder holds ``manifest.json`` and ``tabletop_00000``, ``tabletop_00001``, ... A shard appears whole, so that training
may start while more are written, and a writer that was stopped goes on where it was.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mvgamba_ros.errors import ErrorCode, ReconstructionError, boundary
from mvgamba_ros.io.lock import locked
from mvgamba_ros.io.results import check_writable
from mvgamba_ros.synthesis.shards import check_manifest
from mvgamba_ros.synthesis.sources import open_source
from mvgamba_ros.synthesis.tabletop import TabletopScene, tabletop_scene
from mvgamba_ros.synthesis.tabletop_rig import TabletopRecipe
from mvgamba_ros.types import F32, U8, Camera, Counted, View
from mvgamba_ros.worker_processes import in_processes

DEPTH_STEP = 5e-4
"""Metres in a step of a stored depth, of 65535."""
ENCODED = ("jpeg", "label", "depth")
"""Of each view, one after the other, as bytes: the picture as the camera sends it; PNG of 8 bits; PNG of 16 bits in
`DEPTH_STEP`. ``<name>_ends`` (scenes, views) says where each ends."""
PLAIN = ("K", "poses", "bounds", "bounds_ends", "support_height", "kinds")
"""(scenes, views, 3, 3), (scenes, views, 4, 4), (objects of all scenes, 2, 3), (scenes,), (scenes,), (scenes,)."""
REMEDY = "delete it and render the folder again"


def _manifest(recipe: TabletopRecipe) -> dict[str, Any]:
    kept = {key: value for key, value in asdict(recipe).items() if key != "count"}
    if not recipe.rig.source:
        del kept["rig"]["source"]  # folders of the families were begun without it
    made: dict[str, Any] = json.loads(json.dumps({"recipe": kept, "depth_step_m": DEPTH_STEP}))
    return made


def missing_tabletop(folder: Path, recipe: TabletopRecipe) -> list[int]:
    """The numbers of the recipe's shards that the folder lacks; the last one is whole, whatever the recipe's count.

    Raises BAD_OPTION when the folder was begun with a recipe that differs in more than its count.
    """
    check_manifest(folder / "manifest.json", _manifest(recipe))
    return [k for k in range(-(-recipe.count // recipe.per_shard)) if not shard_of(folder, k).exists()]


def shard_of(folder: Path, number: int) -> Path:
    """Where a folder has its shard of that number."""
    return folder / f"tabletop_{number:05d}"


def _write(job: tuple[Path, TabletopRecipe, int]) -> None:
    folder, recipe, number = job
    first = number * recipe.per_shard
    scenes = [tabletop_scene(recipe.seed, k, recipe.rig) for k in range(first, first + recipe.per_shard)]
    arrays: dict[str, NDArray[Any]] = {
        "K": np.array([[view.camera.K for view in scene.views] for scene in scenes]),
        "poses": np.array([[view.T_world_camera for view in scene.views] for scene in scenes]),
        "bounds": np.concatenate([scene.bounds for scene in scenes]),
        "bounds_ends": np.cumsum([len(scene.bounds) for scene in scenes]),
        "support_height": np.array([scene.support_height for scene in scenes]),
        "kinds": np.array([" ".join(scene.kinds) for scene in scenes]),
    }
    for name, several in (
        ("jpeg", [content for scene in scenes for content in scene.jpegs]),
        ("label", [_png(label) for scene in scenes for label in scene.instances]),
        ("depth", [_png(_steps(view.depth)) for scene in scenes for view in scene.views]),
    ):
        arrays[name] = np.frombuffer(b"".join(several), np.uint8)
        arrays[f"{name}_ends"] = np.cumsum([len(content) for content in several]).reshape(len(scenes), -1)
    partial = folder / f".tabletop_{number:05d}"
    shutil.rmtree(partial, ignore_errors=True)  # of a writer that was killed: `locked` lets one write at a time
    partial.mkdir()
    for name, array in arrays.items():
        np.save(partial / f"{name}.npy", array)
    partial.rename(shard_of(folder, number))


def _steps(depth: F32 | None) -> NDArray[np.uint16]:
    assert depth is not None
    return np.rint(np.clip(depth / DEPTH_STEP, 0, 65535)).astype(np.uint16)


def _png(picture: NDArray[Any]) -> bytes:
    return cv2.imencode(".png", picture)[1].tobytes()


def write_tabletop(folder: Path, recipe: TabletopRecipe, workers: int = 1, log: Callable[[str], None] = print) -> None:
    """Write every shard of a recipe that the folder lacks, with a line of progress for each, in ``workers`` processes.

    Raises BAD_OPTION when the folder was begun with a recipe that differs in more than its count.
    """
    missing_tabletop(folder, recipe)  # refuses before anything is written
    if recipe.rig.source and not len(open_source(recipe.rig.source, 1, 1)):
        raise ReconstructionError(ErrorCode.BAD_OPTION, f"source {recipe.rig.source}: holds no objects; name another")
    folder = check_writable(folder)
    with locked(folder):
        todo = missing_tabletop(folder, recipe)
        (folder / "manifest.json").write_text(json.dumps(_manifest(recipe), indent=1))
        shards = -(-recipe.count // recipe.per_shard)
        log(f"{folder}: {shards - len(todo)} of {shards} shards are there, writing {len(todo)}")
        if not todo:
            return
        start = time.monotonic()
        jobs = [(folder, recipe, number) for number in todo]
        made = map(_write, jobs) if workers == 1 else in_processes(_write, jobs, workers, folder)
        for done, _ in enumerate(made, 1):
            left = (time.monotonic() - start) / done * (len(todo) - done) / 60
            log(Counted(f"{folder}: {done}/{len(todo)} shards, {left:.0f} min to go", done / len(todo)))


def holds_tabletop(folder: Path) -> bool:
    """Whether a folder holds shards of tabletop scenes."""
    return any(folder.glob("tabletop_[0-9]*"))


class TabletopScenes:
    """Folders of tabletop scenes as one sequence: ``scenes[i]`` is the `TabletopScene` that was written, depth rounded
    to `DEPTH_STEP`.

    Arrays are mapped when first read, in whichever process reads them. Raises BAD_CAPTURE where there is no shard, or
    where one is damaged.
    """

    def __init__(self, folders: Path | str | Sequence[Path | str], shards: Sequence[Path] | None = None) -> None:
        several = [folders] if isinstance(folders, str | Path) else folders
        found = [path for folder in several for path in sorted(Path(folder).glob("tabletop_[0-9]*"))]
        self._paths = found if shards is None else [path for path in found if path in shards]
        if not self._paths:
            raise ReconstructionError(
                ErrorCode.BAD_CAPTURE,
                f"{', '.join(map(str, several))}: no tabletop scenes; write some with `mvgamba data tabletop`",
            )
        self._ends = np.cumsum([len(self._load(path, "support_height")) for path in self._paths])
        self._open: dict[Path, dict[str, NDArray[Any]]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": {}}

    def _load(self, path: Path, name: str) -> NDArray[Any]:
        with boundary(ErrorCode.BAD_CAPTURE, path, REMEDY):
            array: NDArray[Any] = np.load(path / f"{name}.npy", mmap_mode="r")
            return array

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, index: int) -> TabletopScene:
        if not 0 <= index < len(self):
            raise IndexError(f"scene {index} of {len(self)}")
        shard = int(np.searchsorted(self._ends, index, side="right"))
        path, row = self._paths[shard], index - (int(self._ends[shard - 1]) if shard else 0)
        if path not in self._open:
            names = [*PLAIN, *ENCODED, *(f"{name}_ends" for name in ENCODED)]
            self._open[path] = {name: self._load(path, name) for name in names}
        with boundary(ErrorCode.BAD_CAPTURE, path, REMEDY):
            return _scene(self._open[path], row)


def _scene(arrays: dict[str, NDArray[Any]], row: int) -> TabletopScene:
    def pieces(name: str) -> list[U8]:
        ends = arrays[f"{name}_ends"]
        stops = [int(end) for end in ends[row]]
        starts = [int(ends[row - 1, -1]) if row else 0, *stops[:-1]]
        return [np.array(arrays[name][a:b]) for a, b in zip(starts, stops, strict=True)]

    jpegs = pieces("jpeg")
    labels = [_picture(piece, cv2.IMREAD_UNCHANGED) for piece in pieces("label")]
    depths = [_picture(piece, cv2.IMREAD_UNCHANGED) * np.float32(DEPTH_STEP) for piece in pieces("depth")]
    pictures = [np.ascontiguousarray(_picture(piece, cv2.IMREAD_COLOR)[..., ::-1]) for piece in jpegs]
    height, width = labels[0].shape
    views = [
        View(image, Camera(np.array(K), width, height), np.array(T), depth=depth)
        for image, K, T, depth in zip(pictures, arrays["K"][row], arrays["poses"][row], depths, strict=True)
    ]
    first = int(arrays["bounds_ends"][row - 1]) if row else 0
    return TabletopScene(
        views=views,
        instances=labels,
        bounds=np.array(arrays["bounds"][first : int(arrays["bounds_ends"][row])]),
        support_height=float(arrays["support_height"][row]),
        kinds=tuple(str(arrays["kinds"][row]).split()),
        jpegs=tuple(piece.tobytes() for piece in jpegs),
    )


def _picture(content: U8, flags: int) -> NDArray[Any]:
    picture = cv2.imdecode(content, flags)
    if picture is None:
        raise ValueError("it holds a picture that cannot be decoded")
    return np.asarray(picture)
