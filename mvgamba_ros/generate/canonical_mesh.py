"""Meshes that other packages make, in the canonical frame, and how those packages are called."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import numpy as np

from mvgamba_ros.errors import ErrorCode, ReconstructionError, cause
from mvgamba_ros.types import F64, U8, Mesh

GREY = 180
"""Of vertices without a colour."""
Z_UP: F64 = np.eye(3)
Z_UP_FROM_Y_UP: F64 = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
"""Takes the axes of glTF (y up, z to the viewer) to z up: what was in front, at +z, is at -y."""


def canonical_mesh(name: str, vertices: Any, faces: Any, colors: U8 | None, R_canonical_theirs: F64) -> Mesh:
    """A mesh that the generator ``name`` made, in the canonical frame: turned, its box's middle at the origin, its
    longest side from -1 to 1, triangles oriented outward.

    Args:
        name: For messages.
        vertices: (V, 3), any unit, a tensor or an array.
        faces: (F, 3) indices.
        colors: (V, 3) uint8 RGB; None: grey.
        R_canonical_theirs: (3, 3) rotation that makes their up axis z.

    Raises:
        ReconstructionError: EMPTY_SURFACE for a mesh without triangles, of values that are not finite, without volume,
            or whose triangles name vertices that are not there.
    """
    points = _array(vertices).astype(np.float64).reshape(-1, 3)
    triangles = _array(faces).astype(np.int64).reshape(-1, 3)
    if not len(points) or not len(triangles):
        raise _empty(name, "no triangles")
    if not np.isfinite(points).all():
        raise _empty(name, "vertices that are not finite")
    if triangles.min() < 0 or triangles.max() >= len(points):
        raise _empty(name, f"triangles of vertices {triangles.min()} to {triangles.max()}, of {len(points)}")
    points = points @ R_canonical_theirs.T
    low, high = points.min(axis=0), points.max(axis=0)
    if not (high > low).all():
        raise _empty(name, "a mesh without volume")
    points = (points - (low + high) / 2) / ((high - low).max() / 2)
    a, b, c = points[triangles].transpose(1, 0, 2)
    if np.einsum("fi,fi->", a, np.cross(b, c)) < 0.0:  # six times the volume
        triangles = triangles[:, ::-1]
    if colors is None:
        colors = np.full(points.shape, GREY, np.uint8)
    return Mesh(points, np.ascontiguousarray(triangles, dtype=np.int32), np.ascontiguousarray(colors, dtype=np.uint8))


def as_bytes(colors: Any) -> U8:
    """Colours (V, 3 or more) in [0, 1] as (V, 3) uint8."""
    return (_array(colors)[:, :3].astype(np.float64).clip(0.0, 1.0) * 255.0).round().astype(np.uint8)


def import_installed(name: str, module: str, attribute: str, install: str) -> Any:
    """``attribute`` of ``module``, of the package that the generator ``name`` needs. Raises MISSING_PACKAGE, which ends
    with how to ``install`` it."""
    try:
        return getattr(import_module(module), attribute)
    except (Exception, SystemExit) as error:  # whatever an install that is half done makes of itself
        raise ReconstructionError(
            ErrorCode.MISSING_PACKAGE, f"generator {name}: {module} cannot be imported ({cause(error)}): {install}"
        ) from error


@contextmanager
def hub_access(fetch: bool) -> Iterator[None]:
    """Around another package's loading: unless ``fetch``, the Hugging Face hub is its cache on this machine."""
    if fetch:
        yield
        return
    constants: Any
    try:
        constants = import_module("huggingface_hub.constants")  # which reads the environment now, and not again
    except ImportError:
        constants = SimpleNamespace(HF_HUB_OFFLINE=False)
    kept, before = os.environ.get("HF_HUB_OFFLINE"), constants.HF_HUB_OFFLINE
    os.environ["HF_HUB_OFFLINE"], constants.HF_HUB_OFFLINE = "1", True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
        if kept is None:
            del os.environ["HF_HUB_OFFLINE"]
        else:
            os.environ["HF_HUB_OFFLINE"] = kept


def _array(value: Any) -> np.ndarray:
    return np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)


def _empty(name: str, what: str) -> ReconstructionError:
    return ReconstructionError(ErrorCode.EMPTY_SURFACE, f"generator {name} made {what}: try another seed or picture")
