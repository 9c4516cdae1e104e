"""How far a reconstruction is from the object that the simulation holds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from mvgamba_ros.geometry.boxes import oriented_box
from mvgamba_ros.types import F64, Box, Mesh

SAMPLES = 30_000
F_DISTANCE = 0.005  # metres


@dataclass(frozen=True)
class Comparison:
    """``chamfer``: mean of the two mean distances, metres. ``f_score``: F at 5 mm, [0, 1]. ``center_error``: metres
    between the boxes' centres; ``size_error``: the largest difference of a side, metres."""

    chamfer: float
    f_score: float
    center_error: float
    size_error: float


def compare(mesh: Mesh, box: Box, truth: Mesh) -> Comparison:
    """``mesh`` and ``box`` against the true surface, all in one frame. Sides are compared longest with longest, as
    which one is called x is not given by the object."""
    a, b = surface_points(mesh, SAMPLES), surface_points(truth, SAMPLES)
    to_truth, to_mesh = (np.asarray(cKDTree(q).query(p)[0], np.float64) for p, q in ((a, b), (b, a)))
    precision, recall = (float(np.mean(d < F_DISTANCE)) for d in (to_truth, to_mesh))
    true_box = oriented_box(truth)
    return Comparison(
        chamfer=float(to_truth.mean() + to_mesh.mean()) / 2.0,
        f_score=2.0 * precision * recall / max(precision + recall, 1e-9),
        center_error=float(np.linalg.norm(box.T_world_box[:3, 3] - true_box.T_world_box[:3, 3])),
        size_error=float(np.abs(np.sort(box.size) - np.sort(true_box.size)).max()),
    )


def surface_points(mesh: Mesh, count: int) -> F64:
    """(count, 3) points spread evenly over the surface, always the same ones."""
    import trimesh

    surface = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    return np.asarray(trimesh.sample.sample_surface(surface, count, seed=0)[0], np.float64)
