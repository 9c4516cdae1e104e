"""A result's folder, read back to be shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from mvgamba_ros.errors import ErrorCode, boundary
from mvgamba_ros.io.capture_readers import read_capture
from mvgamba_ros.io.mesh_files import read_mesh
from mvgamba_ros.io.ply import read_gaussians
from mvgamba_ros.io.results import REPORT
from mvgamba_ros.types import PointCloud, View
from mvgamba_ros.viewer.shown_scene import Shape


def is_result(path: Path) -> bool:
    """Whether ``path`` is a folder that `mvgamba_ros.io.results.write_results` wrote."""
    return (path / REPORT).is_file() and (path / "mesh.ply").is_file()


def read_shape(folder: Path) -> tuple[Shape, list[View]]:
    """What a result's ``folder`` holds, and its views where it has them. Raises BAD_CAPTURE."""
    textured, T_world_model = b"", np.eye(4)
    with boundary(ErrorCode.BAD_CAPTURE, folder / REPORT, "cannot be read as a result's report"):
        report = json.loads((folder / REPORT).read_text(encoding="utf-8"))
        if report.get("texture") and (folder / "mesh.glb").is_file():
            textured = (folder / "mesh.glb").read_bytes()
            T_world_model = np.array(report["texture"]["T_world_model"], np.float64).reshape(4, 4)
    shape = Shape(
        mesh=read_mesh(folder / "mesh.ply"),
        cloud=_read_cloud(folder / "cloud.ply"),
        gaussians=read_gaussians(folder / "gaussians.ply") if (folder / "gaussians.ply").is_file() else None,
        textured=textured,
        T_world_model=T_world_model,
    )
    views = list(read_capture(folder / "views")) if (folder / "views").is_dir() else []
    return shape, views


def _read_cloud(path: Path) -> PointCloud | None:
    import trimesh

    if not path.is_file():
        return None
    with boundary(ErrorCode.BAD_CAPTURE, path, "cannot be read as a point cloud"):
        cloud: Any = trimesh.load(path)
        points = np.asarray(cloud.vertices, np.float64)
        return PointCloud(points, np.zeros_like(points), np.asarray(cloud.colors)[:, :3].astype(np.uint8))
