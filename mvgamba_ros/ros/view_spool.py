"""Captured views on disk, so that they outlive the node: one file each, exactly what the buffer holds.

A file appears whole or not at all. One that cannot be read at the next start is set aside and named in the log; it
never stops the node.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from mvgamba_ros.errors import ReconstructionError
from mvgamba_ros.geometry.camera import check_camera
from mvgamba_ros.geometry.se3 import check_rigid
from mvgamba_ros.io.atomic_writes import write_file
from mvgamba_ros.ros.folders import writable_folder
from mvgamba_ros.ros.view_buffer import CapturedView, Mount
from mvgamba_ros.types import Camera, View

PATTERN, BROKEN = "view-*.npz", ".broken"


class ViewSpool:
    """The views of the folder ``spool_dir``, posed in ``frame``, the target frame. An empty name keeps nothing.
    ``warn`` takes a line for the log. Raises BAD_PARAMETER where the folder cannot be written."""

    def __init__(self, spool_dir: str, frame: str, warn: Callable[[str], Any]) -> None:
        self._folder = writable_folder(spool_dir, "spool_dir") if spool_dir else None
        self._frame, self._warn = frame, warn
        self._written: list[tuple[CapturedView, Path]] = []
        self._reserved: list[tuple[CapturedView, Path]] = []

    def restore(self) -> list[CapturedView]:
        """The views of the run before, in the order of capture."""
        self._written = []
        for path in self._files():
            try:
                self._written.append((_read(path, self._frame), path))
            except MemoryError:
                raise
            except Exception as error:  # whatever a cut or foreign file makes its parser raise
                self._warn(f"spool_dir: {path}: {error or type(error).__name__}; set aside as {path.name}{BROKEN}")
                self._change(partial(path.replace, path.with_name(path.name + BROKEN)))
        return [captured for captured, _ in self._written]

    def reserve(self, captured: CapturedView) -> None:
        """Keeps the next place in the order for a view, which `add` writes later: others may be written before."""
        if self._folder is not None:
            self._reserved.append((captured, self._next(self._folder)))

    def add(self, captured: CapturedView) -> None:
        """Writes a view. Where that fails the node goes on with it in memory, and the log says so."""
        if self._folder is None:
            return
        path = next((path for other, path in self._reserved if other is captured), None) or self._next(self._folder)
        self._forget(captured)
        if self._change(partial(_write, path, _fields(captured, self._frame))):
            self._written.append((captured, path))

    def remove(self, captured: CapturedView) -> None:
        """Deletes the file of a view that was restored or added, if there is one."""
        for other, path in self._written:
            if other is captured:
                self._change(partial(path.unlink, missing_ok=True))
        self._written = [pair for pair in self._written if pair[0] is not captured]
        self._forget(captured)

    def _forget(self, captured: CapturedView) -> None:
        self._reserved = [pair for pair in self._reserved if pair[0] is not captured]

    def clear(self) -> None:
        """Deletes the views, not what was set aside."""
        self._written, self._reserved = [], []
        for path in self._files():
            self._change(path.unlink)

    def _next(self, folder: Path) -> Path:
        taken = [*self._files(), *(path for _, path in self._reserved)]
        return folder / f"view-{1 + max(map(_number, taken), default=0):06d}.npz"

    def _files(self) -> list[Path]:
        found = [] if self._folder is None else self._folder.glob(PATTERN)
        return sorted((path for path in found if path.stem.removeprefix("view-").isdecimal()), key=_number)

    def _change(self, change: Callable[[], Any]) -> bool:
        try:
            change()
        except (OSError, ReconstructionError) as error:
            self._warn(f"spool_dir: {error}: the files are not the views held")
            return False
        return True


def _number(path: Path) -> int:
    return int(path.stem.removeprefix("view-"))


def _fields(captured: CapturedView, frame: str) -> dict[str, Any]:
    view, camera = captured.view, captured.view.camera
    fields: dict[str, Any] = {
        "frame": frame,
        "stamp": captured.stamp,
        "image": view.image,
        "T_world_camera": view.T_world_camera,
        "K": camera.K,
        "size": (camera.width, camera.height),
        "distortion_model": camera.distortion_model,
        "distortion": np.array(camera.distortion, np.float64),
    }
    if view.mask is not None:
        fields["mask"] = view.mask
    if view.hidden is not None:
        fields["hidden"] = view.hidden
    if view.depth is not None:
        fields["depth"] = view.depth
    if captured.mounts:
        fields["mounts"] = [(mount.parent, mount.frame) for mount in captured.mounts]
        fields["T_parent_frame"] = [mount.T_parent_frame for mount in captured.mounts]
    return fields


def _write(path: Path, fields: dict[str, Any]) -> None:
    content = BytesIO()
    np.savez(content, **fields)
    write_file(path, content.getvalue())


def _read(path: Path, frame: str) -> CapturedView:
    if not path.is_file():  # to open a pipe may wait for ever
        raise ValueError("not a regular file")
    with np.load(path, allow_pickle=False) as file:
        found = {name: file[name] for name in file.files}
    if str(found["frame"]) != frame:
        raise ValueError(f"its pose is in frame '{found['frame']}', target_frame is '{frame}'")
    width, height = (int(side) for side in found["size"])
    model: Any = str(found["distortion_model"])
    camera = Camera(found["K"], width, height, model, tuple(map(float, found["distortion"])))
    check_camera(camera, path.name)
    for name, dtype, shape in (
        ("image", np.uint8, (height, width, 3)),
        ("mask", np.bool_, (height, width)),
        ("hidden", np.bool_, (height, width)),
        ("depth", np.float32, (height, width)),
    ):
        if name in found and (found[name].dtype, found[name].shape) != (np.dtype(dtype), shape):
            raise ValueError(f"its {name} is {found[name].dtype} {found[name].shape}, its camera {width} x {height}")
    for T in (found["T_world_camera"], *found.get("T_parent_frame", ())):
        check_rigid(T, path.name)
    masks = found.get("mask"), found.get("hidden")
    view = View(found["image"], camera, found["T_world_camera"], masks[0], found.get("depth"), hidden=masks[1])
    names, transforms = found.get("mounts", ()), found.get("T_parent_frame", ())
    mounts = [Mount(str(parent), str(child), T) for (parent, child), T in zip(names, transforms, strict=True)]
    return CapturedView(view, int(found["stamp"]), tuple(mounts))
