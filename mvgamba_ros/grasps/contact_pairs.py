"""Pairs of points on a surface that two pads could hold it by: antipodal, and no wider than the gripper opens.

From points drawn by area, rays go into the solid, along the surface's normal and askew within the friction cone; where
one leaves it is the other contact. So the two sides of a wall are a pair, and so are the outsides of a hollow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mvgamba_ros.config.grasp_config import GraspConfig, Gripper
from mvgamba_ros.grasps.surface_scene import Scene, Solid, unit
from mvgamba_ros.types import F64, Bool

THINNEST = 5e-4
"""Metres. What is thinner is a sliver of the mesh."""
SAME_SIDE = 0.5
"""Cosine between normals up to which a pad touches both surfaces: beyond an edge lies another side."""
NEIGHBOURS = 8
"""Drawn points that a contact's normal is the mean of, at most."""


@dataclass(frozen=True)
class Pairs:
    """N pairs of contacts: ``first`` and ``second`` (N, 3), metres from the solid's centre; ``antipodal`` (N,): opposed
    within the friction cone; ``fits`` (N,): no wider than the gripper opens with room to spare."""

    first: F64
    second: F64
    antipodal: Bool
    fits: Bool


def contact_pairs(
    solid: Solid, scene: Scene, gripper: Gripper, config: GraspConfig, random: np.random.Generator
) -> Pairs:
    """The pairs along rays from ``config.samples`` points of the surface, in random order."""
    points, face = sample(solid, config.samples, random)
    normals = _PadNormals(points, unit(solid.crosses[face]), max(gripper.finger_width, gripper.pad_length) / 2.0)
    inward = -normals.at(points, unit(solid.crosses[face]))
    cone = np.arctan(gripper.friction)
    askew = unit(inward + np.tan(cone) * random.uniform(-1.0, 1.0, inward.shape) / np.sqrt(3.0))
    starts, rays = np.concatenate([points, points]), np.concatenate([inward, askew])
    ray, distance, hit = scene.crossings(starts, rays)
    outward = unit(solid.crosses)[hit]
    leaves = (np.einsum("nk,nk->n", outward, rays[ray]) > 0.0) & (distance > THINNEST)
    ray, distance, hit, outward = ray[leaves], distance[leaves], hit[leaves], outward[leaves]
    order = random.permutation(len(ray))
    ray, distance, hit, outward = ray[order], distance[order], hit[order], outward[order]
    first, direction = starts[ray], rays[ray]
    second = first + distance[:, None] * direction
    opposed = np.einsum("nk,nk->n", normals.at(second, outward), direction)
    with_cone = np.einsum("nk,nk->n", np.concatenate([inward, inward])[ray], direction)
    room = gripper.max_opening - 2.0 * config.clearance - solid.sigma[solid.faces[hit, 0]] - _sigma(solid, face, ray)
    return Pairs(first, second, np.minimum(opposed, with_cone) >= np.cos(cone), distance <= room)


def _sigma(solid: Solid, face: Any, ray: Any) -> F64:
    return np.tile(solid.sigma[solid.faces[face, 0]], 2)[ray]


def sample(solid: Solid, count: int, random: np.random.Generator) -> tuple[F64, Any]:
    """``count`` points (N, 3) drawn by area, spread evenly over the faces in their order, and the face (N,) of each."""
    area = np.cumsum(np.linalg.norm(solid.crosses, axis=1))
    drawn = (np.arange(count) + random.uniform(size=count)) / count * area[-1]
    face = np.minimum(np.searchsorted(area, drawn), len(area) - 1)
    a, b, c = solid.corners[face].transpose(1, 0, 2)
    u, v = np.sqrt(random.uniform(size=count)), random.uniform(size=count)
    return a + (u * (1.0 - v))[:, None] * (b - a) + (u * v)[:, None] * (c - a), face


class _PadNormals:
    """Normals as a pad of ``radius`` metres feels them: the mean over what of the drawn ``points`` (N, 3) with their
    ``normals`` (N, 3) lies below it on the same side."""

    def __init__(self, points: F64, normals: F64, radius: float) -> None:
        from scipy.spatial import cKDTree

        self._tree, self._normals, self._radius = cKDTree(points), normals, radius

    def at(self, points: F64, normals: F64) -> F64:
        """(M, 3) unit, at ``points`` (M, 3) of faces with ``normals`` (M, 3)."""
        count = min(NEIGHBOURS, len(self._normals))
        found = self._tree.query(points, k=count, distance_upper_bound=self._radius)
        near, index = (np.asarray(values).reshape(len(points), count) for values in found)
        around = self._normals[np.minimum(index, len(self._normals) - 1)]
        same = np.isfinite(near) & (np.einsum("mkc,mc->mk", around, normals) > SAME_SIDE)
        return unit((same[..., None] * around).sum(axis=1) + normals)


def least_width(vertices: F64) -> float:
    """The least distance between two parallel planes that hold ``vertices`` (V, 3) between them, one of them on a face
    of the convex hull; metres."""
    from scipy.spatial import ConvexHull

    hull = ConvexHull(vertices)
    normals = np.unique(hull.equations[:, :3].round(3), axis=0)
    extents = np.ptp(vertices[hull.vertices] @ unit(normals).T, axis=0)
    return float(extents.min())
