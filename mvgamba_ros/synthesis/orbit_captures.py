"""Objects before a paper's cameras as captures: what `mvgamba eval` reads, with left-out views and the true shape."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.io.atomic_writes import write_file, write_files
from mvgamba_ros.io.image_files import encode_png, read_image
from mvgamba_ros.io.lock import locked
from mvgamba_ros.io.mesh_files import write_mesh
from mvgamba_ros.io.results import check_writable
from mvgamba_ros.io.transforms_json import write_capture
from mvgamba_ros.synthesis.orbit_cameras import orbit_preset
from mvgamba_ros.synthesis.orbit_render import RingRig, centred, orbit_views
from mvgamba_ros.synthesis.robot_captures import outer_surface
from mvgamba_ros.synthesis.shards import check_manifest
from mvgamba_ros.synthesis.sources import Source
from mvgamba_ros.synthesis.textured_mesh import TexturedMesh
from mvgamba_ros.types import U8, Camera, Counted, View
from mvgamba_ros.worker_processes import in_processes

SHEET_TILE = 96
"""Side of a picture of the contact sheet, pixels."""
Y_UP = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])


@dataclass(frozen=True)
class CaptureRecipe:
    """What a folder of such captures holds."""

    source: str
    """Where the objects come from, as of `open_source`."""
    rig: RingRig
    """The cameras and the light."""
    up: str = "z"
    """The upright axis, z or y, of meshes in formats that do not state theirs."""
    seed: int = 1
    """Of the light, and of what a mesh lacks, its size or its colours."""


@dataclass(frozen=True)
class _Job:
    folder: Path
    source: Source
    recipe: CaptureRecipe
    index: int
    name: str


def write_orbit_captures(
    folder: Path,
    source: Source,
    recipe: CaptureRecipe,
    first: int = 0,
    count: int | None = None,
    workers: int = 1,
    log: Callable[[str], None] = print,
) -> dict[str, str]:
    """A capture for each object of ``source`` that the folder lacks, and ``sheet.png``, a contact sheet of all.

    A capture appears whole. It has ``transforms.json`` with the preset's inputs, ``transforms_test.json`` with its
    other cameras, and ``truth.ply``, what of the surface can be reached from outside. Metres, centred on the origin.

    Args:
        folder: Is made; one that was begun with another recipe is refused.
        source: The objects.
        recipe: What is written of them.
        first: Index of the first object.
        count: Objects at most; None: all.
        workers: Processes.
        log: Takes a line of progress after each object.

    Returns:
        Why an object was left out, by name.

    Raises:
        ReconstructionError: BAD_OPTION, CANNOT_WRITE; BAD_CAPTURE where no object at all can be rendered.
    """
    orbit_preset(recipe.rig.preset)
    manifest: dict[str, Any] = json.loads(json.dumps({"orbit": asdict(recipe)}))
    check_manifest(folder / "manifest.json", manifest)
    if not len(source):
        raise ReconstructionError(ErrorCode.BAD_OPTION, f"source {recipe.source}: holds no objects; name another")
    indices = range(len(source))[first:][:count]
    names = {index: object_name(source, index) for index in indices}
    folder = check_writable(folder)
    left_out: dict[str, str] = {}
    with locked(folder):
        write_file(folder / "manifest.json", json.dumps(manifest, indent=1).encode())
        for part in folder.glob(".part-*"):
            shutil.rmtree(part)
        todo = [_Job(folder, source, recipe, k, names[k]) for k in indices if not (folder / names[k]).is_dir()]
        log(f"{folder}: {len(indices) - len(todo)} of {len(indices)} objects are there, rendering {len(todo)}")
        made = map(_work, todo) if min(workers, len(todo)) < 2 else in_processes(_work, todo, workers, folder)
        for done, (name, why) in enumerate(made, 1):
            if why:
                left_out[name] = why
            log(Counted(f"{folder}: {done}/{len(todo)} {name}{f': left out: {why}' if why else ''}", done / len(todo)))
        there = [folder / name for name in names.values() if (folder / name).is_dir()]
        if not there:
            raise ReconstructionError(
                ErrorCode.BAD_CAPTURE,
                f"{folder}: none of {len(indices)} objects could be rendered; see the lines above",
            )
        write_file(folder / "sheet.png", encode_png(_sheet(there)))
    return left_out


def object_name(source: Source, index: int) -> str:
    """Of an object's folder: the source's own name of it where it has one, else its number."""
    named: Any = getattr(source, "name_of", None)
    name = named(index) if named else f"{index:05d}"
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_") or f"{index:05d}"


def _work(job: _Job) -> tuple[str, str]:
    """The object's name, and why it is left out, or nothing."""
    part = job.folder / f".part-{job.name}"
    try:
        mesh = job.source[job.index]
        if not mesh.upright and job.recipe.up == "y":
            mesh = TexturedMesh(
                **{**mesh.__dict__, "vertices": mesh.vertices @ Y_UP.T, "normals": mesh.normals @ Y_UP.T}
            )
        _write(part, mesh, job.recipe, job.index)
    except (ReconstructionError, ValueError, MemoryError) as error:
        shutil.rmtree(part, ignore_errors=True)
        return job.name, error.message if isinstance(error, ReconstructionError) else f"{type(error).__name__}: {error}"
    part.rename(job.folder / job.name)
    return job.name, ""


def _write(folder: Path, mesh: TexturedMesh, recipe: CaptureRecipe, index: int) -> None:
    rng = np.random.default_rng([recipe.seed, index, 3])
    preset = orbit_preset(recipe.rig.preset)
    arrays = orbit_views(mesh, recipe.rig, rng)
    grey = (255 - preset.grey) * (1 - arrays["alpha"][..., None] / 255)
    images = np.rint(arrays["rgb"] - grey).clip(0, 255).astype(np.uint8)
    size = recipe.rig.pixels
    views = [
        View(image, Camera(K.astype(np.float64), size, size), T.astype(np.float64), alpha > 127)
        for image, K, T, alpha in zip(images, arrays["K"], arrays["T_world_camera"], arrays["alpha"], strict=True)
    ]
    if not all(view.mask is not None and view.mask.any() for view in views):
        raise ValueError("it is not seen in every view")
    seen = len(preset.inputs)
    write_capture(folder, views[:seen])
    write_capture(folder, views[seen:], "transforms_test.json")
    write_mesh(folder / "truth.ply", outer_surface(centred(mesh, recipe.rig.preset), rng))
    about = {"family": mesh.family, "preset": recipe.rig.preset, "cameras": preset.cameras, "source": preset.source}
    write_files(folder, {"orbit.json": json.dumps(about, indent=1).encode()}, last="orbit.json")


def _sheet(captures: Sequence[Path]) -> U8:
    """A row of pictures for each capture, its name below, in columns."""
    import cv2

    cells = []
    for capture in captures[:200]:
        files = sorted((capture / "images").glob("[0-9][0-9][0-9][0-9].png"))[:4]
        row = [cv2.resize(read_image(file), (SHEET_TILE, SHEET_TILE), interpolation=cv2.INTER_AREA) for file in files]
        caption = np.full((14, SHEET_TILE * len(row), 3), 255, np.uint8)
        cv2.putText(caption, capture.name, (2, 11), cv2.FONT_HERSHEY_SIMPLEX, 0.36, (90, 90, 90), 1, cv2.LINE_AA)
        cells.append(np.concatenate([np.concatenate(row, 1), caption]))
    columns = max(1, round(np.sqrt(len(cells) / 2.5)))
    cells += [np.full_like(cells[0], 255)] * (-len(cells) % columns)
    return np.concatenate([np.concatenate(cells[k : k + columns], 1) for k in range(0, len(cells), columns)])
