"""A mesh as a few convex parts, which collision checks are fast and reliable on.

V-HACD (package vhacdx, by trimesh) divides the shape. Its own hulls cut up to several millimetres into the object, for
they are made of voxels and few corners; here each is extended to the faces of the mesh that belong to it, so that the
whole surface lies inside the parts.

``python -m mvgamba_ros.surface.convex_parts`` is the process that `convex_parts` runs it in: V-HACD would keep all
other threads of Python waiting for seconds.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.types import F64, Mesh

PACKAGE = "vhacdx"
REMEDY = "pip install 'mvgamba_ros[convex]'"
VOXELS = 100_000
"""Of the grid that V-HACD divides. With 400,000 it takes three times as long, and the parts of a mug and of a pan hold
4 to 16 % less that is not object."""
POLL_S = 0.05


def missing_package(count: int) -> str:
    """What ``count`` parts need and is not installed, with the remedy; empty where nothing is missing."""
    if count < 2 or find_spec(PACKAGE) is not None:
        return ""
    return f"convex parts need the package {PACKAGE}: {REMEDY}"


def convex_parts(mesh: Mesh, count: int, cancelled: Callable[[], bool] = lambda: False) -> list[tuple[F64, F64]]:
    """At most ``count`` convex parts that together hold the surface of ``mesh``.

    Args:
        mesh: Metres; need not be closed.
        count: 1 is the convex hull.
        cancelled: Polled while V-HACD works; where it returns True the work is given up.

    Returns:
        Vertices (N, 3), metres, and faces (M, 3) int32, counter-clockwise seen from outside, of each part.

    Raises:
        ReconstructionError: MISSING_PACKAGE where ``count`` is more than 1 and vhacdx is not installed; CANCELLED;
            INTERNAL where V-HACD fails.
    """
    if count < 2:
        return [_hull(mesh.vertices)]
    if missing := missing_package(count):
        raise ReconstructionError(ErrorCode.MISSING_PACKAGE, missing)
    # By files: a pipe that is polled while it is full would have to be fed, too.
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as made, tempfile.TemporaryFile() as printed:
        np.savez(given, vertices=mesh.vertices, faces=mesh.faces, count=count)
        given.seek(0)
        process = subprocess.Popen([sys.executable, "-m", __name__], stdin=given, stdout=made, stderr=printed)
        try:
            while (status := process.poll()) is None:
                if cancelled():
                    raise ReconstructionError(ErrorCode.CANCELLED, "cancelled while the convex parts were made")
                time.sleep(POLL_S)
        finally:
            process.kill()
            process.wait()
        if status:
            printed.seek(0)
            last = (printed.read().decode(errors="replace").strip().splitlines() or ["it wrote nothing"])[-1]
            raise ReconstructionError(ErrorCode.INTERNAL, f"V-HACD ended with status {status}: {last}")
        made.seek(0)
        with np.load(made) as parts:
            return [(parts[f"vertices_{k}"], parts[f"faces_{k}"]) for k in range(len(parts.files) // 2)]


def _hull(points: F64) -> tuple[F64, F64]:
    from trimesh.convex import convex_hull

    hull = convex_hull(points)
    return np.asarray(hull.vertices, np.float64), np.asarray(hull.faces, np.int32)


def _divide(vertices: F64, faces: F64, count: int) -> list[tuple[F64, F64]]:
    """The work itself, in the process of its own."""
    from trimesh import Trimesh
    from trimesh.decomposition import convex_decomposition

    mesh = Trimesh(vertices, faces, process=False)
    parts = [
        Trimesh(**part).convex_hull for part in convex_decomposition(mesh, maxConvexHulls=count, resolution=VOXELS)
    ]
    centers = mesh.triangles_center
    # Outside a convex part by how much: the greatest distance above the planes of its faces.
    distances = [
        (centers @ part.face_normals.T - np.einsum("fk,fk->f", part.face_normals, part.triangles[:, 0])).max(axis=1)
        for part in parts
    ]
    nearest = np.argmin(distances, axis=0)
    return [
        _hull(np.concatenate([part.vertices, mesh.triangles[nearest == k].reshape(-1, 3)]))
        for k, part in enumerate(parts)
    ]


def _main() -> None:
    with np.load(io.BytesIO(sys.stdin.buffer.read())) as given:
        made = _divide(given["vertices"], given["faces"], int(given["count"]))
    written = io.BytesIO()
    named: dict[str, Any] = {}
    for k, (vertices, faces) in enumerate(made):
        named |= {f"vertices_{k}": vertices, f"faces_{k}": faces}
    np.savez(written, **named)
    sys.stdout.buffer.write(written.getvalue())


if __name__ == "__main__":
    _main()
