"""Views as a folder that other tools read: a COLMAP workspace, or nerfstudio's transforms.json."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.io.atomic_writes import write_files
from mvgamba_ros.io.colmap_model import write_model
from mvgamba_ros.io.image_files import encode_png
from mvgamba_ros.io.transforms_intrinsics import intrinsics
from mvgamba_ros.io.transforms_json import write_capture
from mvgamba_ros.types import View

MODEL = "sparse/0"


def write_colmap(folder: Path, views: Sequence[View]) -> Path:
    """Writes ``folder`` as a COLMAP workspace: ``images``, ``masks`` where views have some, and the model without
    points in ``sparse/0``, which it returns. Depth is left out, COLMAP's own is another. Raises CANNOT_WRITE."""
    names = [f"{index:04d}.png" for index in range(len(views))]
    model = write_model(names, [view.camera for view in views], [view.T_world_camera for view in views])
    contents = {f"images/{name}": encode_png(view.image) for name, view in zip(names, views, strict=True)}
    for name, view in zip(names, views, strict=True):
        if view.mask is not None:
            contents[f"masks/{name}.png"] = encode_png(view.mask.astype(np.uint8) * 255)
    contents |= {f"{MODEL}/{name}": content for name, content in model.items()}
    write_files(folder, contents, last=f"{MODEL}/images.txt")
    return folder / MODEL


def write_nerfstudio(folder: Path, views: Sequence[View]) -> Path:
    """Writes ``folder`` as `mvgamba_ros.io.transforms_json.write_capture` does; returns its list. Raises CANNOT_WRITE
    also where the views have several camera models, of which nerfstudio reads one."""
    models = {intrinsics(view.camera)["camera_model"] for view in views}
    if len(models) > 1:
        raise ReconstructionError(
            ErrorCode.CANNOT_WRITE,
            f"{folder}: nerfstudio reads one camera model a capture, these views have {', '.join(sorted(models))}: "
            "export them to colmap",
        )
    return write_capture(folder, views)


WRITERS: dict[str, Callable[[Path, Sequence[View]], Path]] = {"colmap": write_colmap, "nerfstudio": write_nerfstudio}
"""What writes a format, by its name."""


def export_views(folder: Path, views: Sequence[View], form: str, scale: float = 1.0) -> Path:
    """Writes views in a format of `WRITERS`; returns the file or folder that lists them.

    Args:
        folder: Missing or empty; it is made.
        views: What `mvgamba_ros.io.capture_readers.read_capture` returns.
        form: A name of `WRITERS`.
        scale: Metres of one unit of the views' lengths: positions and depth are multiplied by it.

    Raises:
        ReconstructionError: CANNOT_WRITE, BAD_OPTION for a scale that is none.
    """
    if not 0.0 < scale < 1e9:
        raise ReconstructionError(ErrorCode.BAD_OPTION, f"scale {scale:g}: give metres of one unit, above 0")
    check_empty(folder)
    return WRITERS[form](folder, [_scaled(view, scale) for view in views])


def check_empty(folder: Path) -> None:
    """Raises CANNOT_WRITE where ``folder`` is a file, or holds any."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ReconstructionError(ErrorCode.CANNOT_WRITE, f"{folder} is there and not empty: name another folder")


def _scaled(view: View, scale: float) -> View:
    T_world_camera = view.T_world_camera.copy()
    T_world_camera[:3, 3] *= scale
    depth = None if view.depth is None else view.depth * np.float32(scale)
    return replace(view, T_world_camera=T_world_camera, depth=depth)
