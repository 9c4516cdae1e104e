"""Several reconstructions of one scene as a folder: one of `mvgamba_ros.io.results` for each, named by its id,
scene.png, and last scene.json, which lists all files and says what failed.

It appears and is replaced as a whole, as the folder of one reconstruction is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mvgamba_ros.errors import ReconstructionError
from mvgamba_ros.geometry.se3 import matrix_to_quat
from mvgamba_ros.io.atomic_writes import whole_folder, write_file
from mvgamba_ros.io.image_files import encode_png
from mvgamba_ros.io.results import SCENE, check_results_folder, fill_results, list_files, report, unlisted
from mvgamba_ros.io.transforms_json import write_capture
from mvgamba_ros.reconstruction import Reconstruction
from mvgamba_ros.types import U8, Box, View

PICTURE = "scene.png"
VIEWS = "views"
BESIDE_OBJECTS = (PICTURE, VIEWS, SCENE)
"""What `write_scene` itself puts beside the objects' folders, whose names must be others."""


@dataclass(frozen=True)
class SceneEntry:
    """One object of a scene.

    Attributes:
        name: Its id.
        region: The box that it was sought in, world, metres; None where it was named by pixels alone.
        found: What was reconstructed, or why nothing was.
        preview: (H, W, 3) RGB; None: its folder gets no picture.
        folder: Its folder's name; empty: its id.
        page: Its report.html; None: its folder gets none.
    """

    name: str
    region: Box | None
    found: Reconstruction | ReconstructionError
    preview: U8 | None = None
    folder: str = ""
    page: bytes | None = None


def write_scene(
    folder: str | Path,
    entries: Sequence[SceneEntry],
    picture: U8 | None = None,
    views: Sequence[View] = (),
    about: Mapping[str, Any] | None = None,
    also: Callable[[Path], object] | None = None,
) -> list[Path]:
    """Writes ``folder``, in place of a former result there, and returns the files, absolute.

    Args:
        folder: Missing, empty, or a folder that this or `mvgamba_ros.io.results.write_results` wrote and nobody changed
            since; no symbolic link.
        entries: A folder is made for each that did not fail.
        picture: (H, W, 3) RGB, scene.png.
        views: Written as a capture into views/.
        about: Goes before everything else in scene.json.
        also: Called with the folder that is being filled, to write more files into it; they are listed as the others.

    Raises:
        ReconstructionError: CANNOT_WRITE, with ``folder`` as it was.
    """
    target = check_results_folder(folder)
    with whole_folder(target, unlisted) as part:
        for entry in entries:
            if isinstance(entry.found, Reconstruction):
                own = part / (entry.folder or entry.name)
                own.mkdir()
                if entry.page is not None:
                    write_file(own / "report.html", entry.page)
                fill_results(own, entry.found, entry.preview, about={"id": entry.name})
        if picture is not None:
            write_file(part / PICTURE, encode_png(picture))
        if views:
            write_capture(part / VIEWS, views)
        if also is not None:
            also(part)
        files = list_files(part, SCENE, {**(about or {}), "objects": [_plain(entry) for entry in entries]})
    return [target / name for name in files]


def _plain(entry: SceneEntry) -> dict[str, Any]:
    region = None if entry.region is None else _box(entry.region)
    known: dict[str, Any] = {"id": entry.name, "region": region}
    if isinstance(entry.found, ReconstructionError):
        error = entry.found
        return {**known, "error": {"code": error.code.name, "number": int(error.code), "message": error.message}}
    about = report(entry.found)
    known["folder"] = entry.folder or entry.name
    return {**known, "error": None, **{name: about[name] for name in ("box", "quality", "mesh", "notes", "seconds")}}


def _box(box: Box) -> dict[str, Any]:
    return {
        "center_m": box.T_world_box[:3, 3].tolist(),
        "orientation_wxyz": matrix_to_quat(box.T_world_box[:3, :3]).tolist(),
        "size_m": box.size.tolist(),
    }
