"""A mesh to cast rays at, with what is known of each face."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mvgamba_ros.types import F64, I64, Bool, Mesh

TO_SIGMA = float(np.sqrt(np.pi / 2.0))
"""Standard deviation of a normal distribution by its mean distance from 0."""


@dataclass(frozen=True)
class Solid:
    """A mesh around its own centre, its faces in an order that follows from where they lie.

    Attributes:
        center: (3,) world, metres: the origin of what follows.
        vertices: (V, 3) metres.
        faces: (F, 3).
        sigma: (V,) standard deviation of each vertex's displacement, metres.
        seen: (F,) share of the face's corners that some view saw.
    """

    center: F64
    vertices: F64
    faces: I64
    sigma: F64
    seen: F64

    @cached_property
    def corners(self) -> F64:
        """(F, 3, 3)."""
        return self.vertices[self.faces]

    @cached_property
    def crosses(self) -> F64:
        """(F, 3) outward, as long as twice the face's area."""
        a, b, c = self.corners.transpose(1, 0, 2)
        return np.cross(b - a, c - a)

    @cached_property
    def vertex_normals(self) -> F64:
        """(V, 3) unit, outward; 0 at vertices of no face."""
        return unit(
            np.stack(
                [
                    np.bincount(self.faces.ravel(), np.repeat(self.crosses[:, k], 3), len(self.vertices))
                    for k in range(3)
                ],
                axis=1,
            )
        )

    @cached_property
    def volume(self) -> float:
        """Cubic metres; negative where the faces are clockwise seen from outside."""
        return float(self._parts.sum())

    @cached_property
    def center_of_mass(self) -> F64:
        """(3,) of a solid of one density."""
        return (self._parts[:, None] * self.corners.sum(axis=1)).sum(axis=0) / (4.0 * self.volume)

    @cached_property
    def _parts(self) -> F64:
        a, b, c = self.corners.transpose(1, 0, 2)
        return np.einsum("fk,fk->f", a, np.cross(b, c)) / 6.0


def make_solid(mesh: Mesh) -> Solid:
    """``mesh`` as a `Solid`: the same one, to the bit, for every order of its faces and of each face's corners."""
    used = mesh.vertices[np.unique(mesh.faces)]  # one of no face may lie anywhere
    center = (used.min(axis=0) + used.max(axis=0)) / 2.0
    vertices = mesh.vertices - center
    faces = mesh.faces.astype(np.int64)
    first = np.argmin(np.argsort(np.lexsort(vertices.T))[faces], axis=1)
    faces = np.take_along_axis(faces, (first[:, None] + np.arange(3)) % 3, axis=1)
    faces = faces[np.lexsort(vertices[faces].mean(axis=1).T)]
    error = np.zeros(len(vertices)) if mesh.expected_error_mm is None else 1e-3 * mesh.expected_error_mm
    seen = np.ones(len(vertices)) if mesh.seen is None else mesh.seen > 0
    return Solid(center, vertices, faces, TO_SIGMA * error.astype(np.float64), seen[faces].mean(axis=1))


class Scene:
    """Vertices (V, 3) and faces (F, 3) to cast rays at."""

    def __init__(self, vertices: F64, faces: I64) -> None:
        import open3d as o3d

        tensor: Any = o3d.core.Tensor  # its stubs lack float32 arrays
        self._tensor = tensor
        self._scene = o3d.t.geometry.RaycastingScene()
        self._scene.add_triangles(self._tensor(vertices.astype(np.float32)), self._tensor(faces.astype(np.uint32)))

    def first(self, origins: F64, directions: F64) -> Hits:
        """The first hit of each ray; both (..., 3), directions of unit length."""
        rays = np.concatenate([origins, np.broadcast_to(directions, origins.shape)], axis=-1).astype(np.float32)
        cast = self._scene.cast_rays(self._tensor(rays))
        return Hits(
            distance=cast["t_hit"].numpy().astype(np.float64),
            face=cast["primitive_ids"].numpy().astype(np.int64),
            outward=cast["primitive_normals"].numpy().astype(np.float64),
        )

    def crossings(self, origins: F64, directions: F64) -> tuple[I64, F64, I64]:
        """Every hit of rays (N, 3): its ray's number (M,), the distance (M,) and the face (M,), by ray and distance."""
        rays = np.concatenate([origins, directions], axis=1).astype(np.float32)
        found = self._scene.list_intersections(self._tensor(rays))
        ray, distance = found["ray_ids"].numpy().astype(np.int64), found["t_hit"].numpy().astype(np.float64)
        order = np.lexsort((distance, ray))
        return ray[order], distance[order], found["primitive_ids"].numpy().astype(np.int64)[order]


@dataclass(frozen=True)
class Hits:
    """Of rays (...): ``distance``, infinite where nothing is hit; ``face``, of no meaning there; ``outward`` (..., 3),
    the face's unit normal."""

    distance: F64
    face: I64
    outward: F64

    def enter(self, directions: F64) -> Bool:
        """(...) whether a ray comes from outside; True where it hits nothing."""
        return (np.einsum("...k,...k->...", self.outward, directions) < 0.0) | ~np.isfinite(self.distance)


def unit(vectors: F64) -> F64:
    """``vectors`` (..., 3) with length 1; those of length 0 stay."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.maximum(lengths, 1e-300)
