"""What ~/save writes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.io.capture import write_capture
from mvgamba_ros.io.mesh import write_mesh
from mvgamba_ros.io.ply import write_cloud, write_gaussians
from mvgamba_ros.types import Reconstruction, View


def save(folder: str, result: Reconstruction, views: Sequence[View], object_id: str, frame: str) -> list[str]:
    """Writes mesh.ply, cloud.ply, report.json, views/ (a capture folder `mvgamba reconstruct` reads) and, where the
    method made them, gaussians.ply. Answers their absolute paths. Raises CANNOT_WRITE.
    """
    target = Path(folder).expanduser().absolute()
    try:
        target.mkdir(parents=True, exist_ok=True)
        files = [target / "mesh.ply", target / "cloud.ply", target / "report.json"]
        write_mesh(files[0], result.mesh)
        write_cloud(files[1], result.cloud)
        report = _report(result, len(views), object_id, frame)
        files[2].write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        if result.gaussians is not None:
            files.append(target / "gaussians.ply")
            write_gaussians(files[-1], result.gaussians)
        files.append(write_capture(target / "views", views))
    except OSError as error:
        raise ReconstructionError(
            ErrorCode.CANNOT_WRITE, f"{target}: {error.strerror}: name a folder that this user may write"
        ) from error
    return [str(path) for path in files]


def _report(result: Reconstruction, view_count: int, object_id: str, frame: str) -> dict[str, Any]:
    """Lengths in metres, in ``frame``."""
    quality = result.quality
    return {
        "id": object_id,
        "frame": frame,
        "method": result.method,
        "views": view_count,
        "points": len(result.cloud.points),
        "faces": len(result.mesh.faces),
        "box": {"T_frame_box": result.box.T_world_box.tolist(), "size": result.box.size.tolist()},
        "quality": {
            "silhouette_iou": float(quality.silhouette_iou),
            "color_error": float(quality.color_error),
            "coverage": float(quality.coverage),
            "low": bool(quality.low),
            "reasons": list(quality.reasons),
        },
        "seconds": dict(result.seconds),
    }
