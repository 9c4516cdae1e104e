"""Mesh files through trimesh: PLY, GLB, OBJ and STL. Coordinates stay metres in the world frame, in GLB too. GLB and
STL hold float32, PLY float64 where that is too coarse (`mvgamba_ros.io.ply.position_type`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mvgamba_ros.errors import ErrorCode, ReconstructionError, boundary
from mvgamba_ros.io.atomic_writes import write_file
from mvgamba_ros.io.mesh_headers import check_mesh_header
from mvgamba_ros.io.ply import position_type, widen_positions
from mvgamba_ros.types import Mesh

FORMATS = (".ply", ".glb", ".obj", ".stl")
TRUST = {"seen": np.uint8, "expected_error_mm": np.float32}
"""Vertex properties of a PLY file that say how far to trust the surface, as `Mesh` has them."""


def write_mesh(path: str | Path, mesh: Mesh) -> None:
    """Write by the name's extension, with vertex colours where the format has them (STL does not), and with `TRUST` in
    PLY where the mesh has it.

    Raises CANNOT_WRITE, also for an unknown extension.
    """
    import trimesh

    path = Path(path)
    _check_format(path, ErrorCode.CANNOT_WRITE)
    trust = {name: getattr(mesh, name) for name in TRUST if path.suffix.lower() == ".ply"}
    shape = trimesh.Trimesh(
        mesh.vertices,
        mesh.faces,
        vertex_colors=mesh.colors,
        vertex_attributes={name: values for name, values in trust.items() if values is not None},
        process=False,
    )
    content: Any = shape.export(file_type=path.suffix.lower()[1:])
    content = content.encode() if isinstance(content, str) else content
    if path.suffix.lower() == ".ply" and position_type(mesh.vertices) == "<f8":
        content = widen_positions(content, mesh.vertices)
    write_file(path, content)


def read_mesh(path: str | Path) -> Mesh:
    """The file's triangles as one mesh, grey where it has no vertex colours, with `TRUST` where a PLY has it. Raises
    BAD_CAPTURE."""
    import trimesh

    path = Path(path)
    _check_format(path, ErrorCode.BAD_CAPTURE)
    with boundary(ErrorCode.BAD_CAPTURE, path, "cannot be read as a mesh; write it anew"):
        check_mesh_header(path)
        shape = trimesh.load(path, force="mesh", process=False)
        if not isinstance(shape, trimesh.Trimesh) or not len(shape.faces):
            raise ReconstructionError(ErrorCode.BAD_CAPTURE, f"{path}: holds no triangles")
        colors = np.full((len(shape.vertices), 3), 160, np.uint8)
        if isinstance(shape.visual, trimesh.visual.ColorVisuals) and shape.visual.kind == "vertex":
            colors = np.asarray(shape.visual.vertex_colors)[:, :3].astype(np.uint8)
        table = shape.metadata.get("_ply_raw", {}).get("vertex", {}).get("data", {})
        names = _names(table)
        trust = {name: np.asarray(table[name]).ravel().astype(kind) for name, kind in TRUST.items() if name in names}
        vertices, faces = np.asarray(shape.vertices, dtype=np.float64), np.asarray(shape.faces, dtype=np.int32)
        if not np.isfinite(vertices).all():
            raise ReconstructionError(ErrorCode.BAD_CAPTURE, f"{path}: has vertices that are not finite")
        if faces.min() < 0 or faces.max() >= len(vertices):
            raise ReconstructionError(ErrorCode.BAD_CAPTURE, f"{path}: has faces of vertices that are not there")
        return Mesh(vertices, faces, colors, **trust)


def _names(table: Any) -> tuple[str, ...]:
    """Of the columns of a PLY element as trimesh keeps them: an array of records, or a mapping for a text file."""
    return tuple(table.dtype.names or ()) if isinstance(table, np.ndarray) else tuple(table)


def _check_format(path: Path, code: ErrorCode) -> None:
    if path.suffix.lower() not in FORMATS:
        raise ReconstructionError(code, f"{path}: a mesh file ends in {', '.join(FORMATS)}")
