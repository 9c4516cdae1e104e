"""A reconstruction as a folder: mesh.ply, cloud.ply, gaussians.ply, the textured mesh, preview.png, views/, and last
report.json, which lists the others. Several of one scene as a folder of such folders, with scene.png and scene.json,
which lists all.

The folder appears whole and is replaced as a whole. Nothing is deleted that the report in it does not list, or that was
changed since.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mvgamba_ros.errors import ErrorCode, boundary
from mvgamba_ros.geometry.se3 import matrix_to_quat
from mvgamba_ros.io.atomic_writes import check_place, whole_folder, write_file, write_files
from mvgamba_ros.io.image_files import encode_png
from mvgamba_ros.io.lock import LOCK, cannot_write
from mvgamba_ros.io.mesh_files import write_mesh
from mvgamba_ros.io.model_files import model_frame, write_model
from mvgamba_ros.io.ply import write_cloud, write_gaussians
from mvgamba_ros.io.transforms_json import write_capture
from mvgamba_ros.reconstruction import PoseCorrection, Reconstruction
from mvgamba_ros.types import U8, PointCloud, TextureMap, View

REPORT, SCENE = "report.json", "scene.json"
LARGEST_REPORT = 10_000_000
"""Bytes. One that is larger is another file."""


def check_writable(folder: str | Path) -> Path:
    """Makes ``folder`` and tries it with a file, so that a job need not find out at its end. Raises CANNOT_WRITE."""
    folder = Path(folder)
    with cannot_write(folder):
        folder = folder.expanduser()
        str(folder).encode()  # Open3D ends the process where a name is not UTF-8
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    return folder


def check_results_folder(folder: str | Path) -> Path:
    """The absolute path of a folder for `write_results`, "~" and symbolic links resolved; makes its parents. Raises
    CANNOT_WRITE where `write_results` would."""
    path = Path(folder)
    with cannot_write(path):
        path = path.expanduser().resolve()
        str(path).encode()
    check_place(path, unlisted)
    return path


def write_results(
    folder: str | Path,
    result: Reconstruction,
    preview: U8 | None = None,
    views: Sequence[View] = (),
    about: Mapping[str, Any] | None = None,
    also: Callable[[Path], object] | None = None,
) -> list[Path]:
    """Writes ``result`` as ``folder``, in place of a former result there, and returns the files, absolute.

    Args:
        folder: Missing, empty, or a folder that this wrote and nobody changed since; no symbolic link.
        result: What to write.
        preview: (H, W, 3) RGB.
        views: Written as a capture into views/.
        about: Goes before everything else in the report.
        also: Called with the folder that is being filled, to write more files into it; they are listed as the others.

    Raises:
        ReconstructionError: CANNOT_WRITE, with ``folder`` as it was.
    """
    target = Path(folder)
    with cannot_write(target):
        target = Path(os.path.abspath(target.expanduser()))  # noqa: PTH100  (resolve would follow a link)
    with whole_folder(target, unlisted) as part:
        files = fill_results(part, result, preview, views, about, also)
    return [target / name for name in files]


def fill_results(
    part: Path,
    result: Reconstruction,
    preview: U8 | None,
    views: Sequence[View] = (),
    about: Mapping[str, Any] | None = None,
    also: Callable[[Path], object] | None = None,
) -> list[str]:
    """The files of `write_results` in ``part``, and their names."""
    write_mesh(part / "mesh.ply", result.mesh)
    write_cloud(part / "cloud.ply", result.cloud)
    if result.gaussians is not None:
        write_gaussians(part / "gaussians.ply", result.gaussians)
    if result.texture is not None:
        write_model(part, result)
    if preview is not None:
        write_file(part / "preview.png", encode_png(preview))
    if views:
        write_capture(part / "views", views)
    if also is not None:
        also(part)
    return list_files(part, REPORT, {**(about or {}), **report(result)})


def list_files(part: Path, name: str, content: Mapping[str, Any]) -> list[str]:
    """Writes ``content`` and what files there are as ``name``; returns their names, its own last."""
    files = {file: _identity((part / file).read_bytes()) for file in sorted(_files(part))}
    write_file(part / name, (json.dumps({**_finite(content), "files": files}, indent=1) + "\n").encode())
    return [*files, name]


def add_to_results(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Writes files, by their names, into a result's ``folder`` and lists them in its report, and in that of the scene
    that it is one object of, so that each still is a result and is replaced with them. Raises BAD_CAPTURE where it is
    no result, CANNOT_WRITE with all as it was."""
    folder = folder.resolve()
    with boundary(ErrorCode.BAD_CAPTURE, folder / REPORT, "cannot be read as a result's report"):
        report = json.loads((folder / REPORT).read_text(encoding="utf-8"))
        report["files"] |= {name: _identity(content) for name, content in contents.items()}
    written = {**contents, REPORT: (json.dumps(report, indent=1) + "\n").encode()}
    write_files(folder, written, REPORT)
    scene = folder.parent / SCENE
    if is_listed(folder / REPORT, scene):
        listed = json.loads(scene.read_bytes())
        listed["files"] |= {f"{folder.name}/{name}": _identity(content) for name, content in written.items()}
        write_file(scene, (json.dumps(listed, indent=1) + "\n").encode())


def is_listed(file: Path, report: Path) -> bool:
    """Whether ``report``, that of a result or of a scene, is there and lists ``file``, which is beside or below it."""
    try:
        with report.open("rb") as content:
            return str(file.relative_to(report.parent)) in json.loads(content.read(LARGEST_REPORT))["files"]
    except (OSError, RecursionError, ValueError, KeyError, TypeError):
        return False


def unlisted(folder: Path) -> str:
    """Why ``folder`` is more than a result that `write_results` or `write_scene` wrote; empty where it is just that."""
    name = SCENE if (folder / SCENE).exists() else REPORT
    try:
        with (folder / name).open("rb") as file:
            listed = json.loads(file.read(LARGEST_REPORT))["files"]
        found = _files(folder) - {name}
        if strange := sorted(found - set(listed)):
            return f"holds {strange[0]}, which the {name} there does not list"
        for name in sorted(found):
            if (folder / name).is_symlink() or _identity((folder / name).read_bytes()) != listed[name]:
                return f"holds {name}, which was changed since it was written"
    except (OSError, RecursionError, ValueError, KeyError, TypeError):
        return f"holds something, and no {REPORT} that lists it"
    return ""


def _files(folder: Path) -> set[str]:
    """Of everything in ``folder`` but the lock and folders that are not empty, the path in it."""
    found = set()
    for path in folder.rglob("*"):
        if path.is_symlink() or not path.is_dir() or not any(path.iterdir()):
            found.add(str(path.relative_to(folder)))
    return found - {LOCK}


def _identity(content: bytes) -> dict[str, Any]:
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def report(result: Reconstruction) -> dict[str, Any]:
    """Everything but the geometry itself, as plain JSON values; metres, seconds, quaternions wxyz. With all of
    ``result.settings``."""
    import trimesh

    quality, box = result.quality, result.box
    shape = trimesh.Trimesh(result.mesh.vertices, result.mesh.faces, process=False)
    return {
        "method": result.method,
        "views": len(result.masks),
        "mesh": {
            "vertices": len(result.mesh.vertices),
            "faces": len(result.mesh.faces),
            "closed": bool(shape.is_watertight),
            "volume_m3": float(shape.volume) if shape.is_watertight else None,
        },
        "cloud_points": len(result.cloud.points),
        "gaussians": 0 if result.gaussians is None else len(result.gaussians.means),
        "box": {
            "center_m": box.T_world_box[:3, 3].tolist(),
            "orientation_wxyz": matrix_to_quat(box.T_world_box[:3, :3]).tolist(),
            "size_m": box.size.tolist(),
        },
        "quality": {name: _plain(value) for name, value in vars(quality).items()},
        "poses": None if result.poses is None else _poses(result.poses),
        "surface": _parts(result.cloud),
        "texture": None if result.texture is None else _texture(result, result.texture),
        "support_height_m": result.support_height,
        "notes": list(result.notes),
        **result.settings,
        "seconds": {**result.seconds, "total": sum(result.seconds.values())},
    }


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return _number(value) if isinstance(value, float) else value


def _number(value: float) -> float | None:
    """JSON has neither NaN nor infinity."""
    return value if math.isfinite(value) else None


def _finite(value: Any) -> Any:
    """JSON values, with None for each number in them that is none, as of a region that was given."""
    if isinstance(value, Mapping):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return _number(value) if isinstance(value, float) else value


def _poses(correction: PoseCorrection) -> dict[str, Any]:
    return {
        "hand_eye": correction.hand_eye.tolist(),
        "hand_eye_sigma_mm": _number(correction.hand_eye_sigma_mm),
        "hand_eye_sigma_deg": _number(correction.hand_eye_sigma_deg),
        "view_mm": correction.view_mm.tolist(),
        "view_deg": correction.view_deg.tolist(),
        "residual_before_px": _number(correction.residual_before_px),
        "residual_after_px": _number(correction.residual_after_px),
        "left_out": list(correction.left_out),
    }


def _texture(result: Reconstruction, texture: TextureMap) -> dict[str, Any]:
    height, width = texture.seen.shape
    return {
        "size_px": [width, height],
        "seen_share": texture.seen_share,
        "made_by": texture.made_by,
        "T_world_model": model_frame(result).tolist(),
    }


def _parts(cloud: PointCloud) -> dict[str, Any]:
    """Of the surface that some view saw and of that which is guessed: share of the area and mean expected error."""
    if cloud.seen is None or cloud.expected_error_mm is None:
        return {}
    seen = cloud.seen > 0
    return {
        name: {
            "share": float(part.mean()),
            "expected_error_mm": float(cloud.expected_error_mm[part].mean()) if part.any() else None,
        }
        for name, part in (("seen", seen), ("guessed", ~seen))
    }
