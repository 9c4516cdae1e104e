"""Where a mesh's outlines lie beside the silhouettes, and how its vertices would have to move."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from scipy.sparse import csr_matrix, vstack

from mvgamba_ros.config.refinement_config import RefinementConfig
from mvgamba_ros.geometry.occlusion import beside_hidden
from mvgamba_ros.parallel import each
from mvgamba_ros.rendering.mesh_raycaster import Raycaster
from mvgamba_ros.surface.mesh_rows import pixel_motion, spread_rows
from mvgamba_ros.types import F32, F64, Mesh, View


def outline_rows(
    mesh: Mesh, normals: F64, views: Sequence[View], inside: Sequence[F32], caster: Raycaster, config: RefinementConfig
) -> tuple[csr_matrix, F64]:
    """Rows (M, V) and right sides (M,), weighted: displacements of the V vertices along ``normals``, metres, with which
    the mesh's outline in each view stays, or goes by ``config.outline_pull`` to that of the silhouette.

    ``inside`` (H, W) of each view: distance from the silhouette's outline, pixels, negative outside.
    """
    parts = each(lambda view, distance: _of_view(mesh, normals, view, distance, caster, config), views, inside)
    errors = np.concatenate([error for _, error in parts])
    weight = np.sqrt(config.outline_weight / max(len(errors), 1) / (1.0 + (errors / config.outline_scale) ** 2))
    rows = vstack([rows for rows, _ in parts], format="csr")
    return rows.multiply(weight[:, None]).tocsr(), weight * config.outline_pull * errors


def _of_view(
    mesh: Mesh, normals: F64, view: View, inside: F32, caster: Raycaster, config: RefinementConfig
) -> tuple[csr_matrix, F64]:
    """Rows (M, V), pixels per metre, and how far (M,) the silhouette reaches beyond the mesh's outline, pixels."""
    near = (np.abs(inside) < config.max_outline_error + 2.0) & ~beside_hidden(view)
    rows, columns = np.nonzero(near)
    face, barycentric = caster.hits(
        view.camera, view.T_world_camera, (np.column_stack([columns, rows]) + 0.5).astype(np.float64)
    )
    met, missed = np.zeros(near.shape, np.uint8), np.zeros(near.shape, np.uint8)
    met[rows, columns], missed[rows, columns] = face >= 0, face < 0
    cross = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)
    rim = (met[rows, columns] > 0) & (cv2.dilate(missed, cross)[rows, columns] > 0)
    rows, columns, corners, barycentric = rows[rim], columns[rim], mesh.faces[face[rim]], barycentric[rim]
    points = np.einsum("nk,nkd->nd", barycentric, mesh.vertices[corners])
    motion = pixel_motion(view, points, np.einsum("nk,nkd->nd", barycentric, normals[corners]))
    outward = -np.column_stack([_slope(inside, rows, columns, axis) for axis in (1, 0)])
    steep = np.linalg.norm(outward, axis=1)
    outward /= np.maximum(steep, 1e-6)[:, None]
    error = inside[rows, columns].astype(np.float64) - 0.5  # the outermost pixel's centre lies half a pixel inside
    moved = np.einsum("nk,nk->n", motion, outward)
    # where the distance has a ridge, or the normal does not point across the outline, nothing follows
    kept = (np.abs(error) < config.max_outline_error) & (steep > 0.5)
    kept &= moved > config.min_outline_cosine * np.linalg.norm(motion, axis=1)
    return spread_rows(moved[kept], corners[kept], barycentric[kept], len(normals)), error[kept]


def _slope(values: F32, rows: np.ndarray, columns: np.ndarray, axis: int) -> F64:
    """Central difference (N,) of ``values`` (H, W) along an axis at pixels."""
    step = np.array([1, 0]) if axis == 0 else np.array([0, 1])
    height, width = values.shape
    ends = [
        values[np.clip(rows + k * step[0], 0, height - 1), np.clip(columns + k * step[1], 0, width - 1)]
        for k in (1, -1)
    ]
    return (ends[0].astype(np.float64) - ends[1]) / 2.0
