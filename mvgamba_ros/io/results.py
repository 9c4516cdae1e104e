"""A reconstruction as files: mesh.ply, cloud.ply, gaussians.ply, report.json, preview.png."""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path
from typing import Any

import cv2

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.se3 import matrix_to_quat
from mvgamba_ros.io.mesh_files import write_mesh
from mvgamba_ros.io.ply import write_cloud, write_gaussians
from mvgamba_ros.reconstruction import PoseCorrection, Reconstruction
from mvgamba_ros.types import U8, PointCloud


def check_writable(folder: str | Path) -> Path:
    """Makes ``folder`` and tries it with a file, so that a job need not find out at its end. Raises CANNOT_WRITE."""
    try:
        folder = Path(folder).expanduser()
        str(folder).encode()  # Open3D ends the process where a name is not UTF-8
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (OSError, RuntimeError, ValueError) as error:  # also ~user of nobody, a name that is no text
        raise ReconstructionError(
            ErrorCode.CANNOT_WRITE, f"{folder}: {getattr(error, 'strerror', error)}; choose another output folder"
        ) from error
    return folder


def write_results(folder: str | Path, result: Reconstruction, preview: U8 | None = None) -> list[Path]:
    """Writes ``result`` into ``folder`` and returns the files. ``preview``: (H, W, 3) RGB. Raises CANNOT_WRITE."""
    folder = check_writable(folder)
    written = [folder / "mesh.ply", folder / "cloud.ply", folder / "report.json"]
    write_mesh(written[0], result.mesh)
    write_cloud(written[1], result.cloud)
    try:
        written[2].write_text(json.dumps(report(result), indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise ReconstructionError(ErrorCode.CANNOT_WRITE, f"{written[2]}: {error.strerror}") from error
    if result.gaussians is not None:
        written.append(folder / "gaussians.ply")
        write_gaussians(written[-1], result.gaussians)
    if preview is not None:
        written.append(folder / "preview.png")
        if not cv2.imwrite(str(written[-1]), preview[..., ::-1]):
            raise ReconstructionError(ErrorCode.CANNOT_WRITE, f"{written[-1]}: cannot be written")
    return written


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
