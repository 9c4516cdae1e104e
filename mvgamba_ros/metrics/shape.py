"""Errors of a shape against the true one, by points sampled on both: accuracy, completeness, chamfer, F-score."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from mvgamba_ros.types import F64, Mesh

SAMPLES = 30_000
"""Points on each surface. Like `LIMITS_MM` a part of the protocol that defines the reported figures, not a setting."""
LIMITS_MM = (3, 5, 10)
"""Distances of the F-scores, millimetres."""


def surface_points(mesh: Mesh, count: int = SAMPLES) -> F64:
    """(count, 3) points spread evenly over the mesh by area, the same ones each time."""
    import trimesh

    return np.asarray(
        trimesh.sample.sample_surface(trimesh.Trimesh(mesh.vertices, mesh.faces, process=False), count, seed=0)[0]
    )


def shape_errors(found: F64, truth: F64) -> dict[str, float]:
    """``found`` (N, 3) against ``truth`` (M, 3), both in metres.

    ``accuracy_mm``: mean distance from found to truth; ``completeness_mm``: from truth to found; ``chamfer_mm``:
    their mean; ``F@kmm``: harmonic mean of the shares nearer than k mm (Tatarchenko et al., 2019), 0 to 1.
    """
    to_truth = np.asarray(cKDTree(truth).query(found)[0]) * 1e3
    to_found = np.asarray(cKDTree(found).query(truth)[0]) * 1e3
    errors = {
        "accuracy_mm": float(to_truth.mean()),
        "completeness_mm": float(to_found.mean()),
        "chamfer_mm": float((to_truth.mean() + to_found.mean()) / 2),
    }
    for limit in LIMITS_MM:
        precision, recall = float((to_truth < limit).mean()), float((to_found < limit).mean())
        errors[f"F@{limit}mm"] = 2 * precision * recall / max(precision + recall, 1e-9)
    return errors
