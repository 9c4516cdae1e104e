"""Photometric mesh refinement: vertices move along their normals to where the views' pictures of the surface agree,
while the mesh's outlines stay or, with `RefinementConfig.outline_pull`, go to the silhouettes.

Depths of a network, fused, are right to a pixel or two; the pictures themselves know better wherever there is texture.
Vu, Labatut, Pons and Keriven, "High accuracy and visibility-consistent dense multiview stereo", PAMI 2012, move a mesh
down the gradient of the photo-consistency of its pictures; Hernandez Esteban and Schmitt, "Silhouette and stereo fusion
for 3D object modeling", 2004, add a force from the outlines. Here both are rows of one least-squares problem in the
vertices' displacements, regularised by the Dirichlet energy of a step, and solved by damped Gauss-Newton steps, from
smooth pictures to sharp ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from scipy.sparse import csr_matrix, diags
from scipy.sparse.linalg import cg

from mvgamba_ros.config.refinement_config import RefinementConfig
from mvgamba_ros.config.texture_config import TextureConfig
from mvgamba_ros.geometry.camera import crop, project, resample
from mvgamba_ros.geometry.occlusion import visible
from mvgamba_ros.geometry.raster import part_around, signed_distance
from mvgamba_ros.parallel import each
from mvgamba_ros.rendering.mesh_raycaster import Raycaster
from mvgamba_ros.rendering.visibility import point_cosines, visible_cosines
from mvgamba_ros.surface.mesh_rows import cotangent_laplacian, pixel_motion, spread_rows
from mvgamba_ros.surface.outline_pull import outline_rows
from mvgamba_ros.surface.sample import area_vectors, spread_points, vertex_normals
from mvgamba_ros.types import F32, F64, U8, Mesh, View


def refine_by_photos(mesh: Mesh, views: Sequence[View], support_height: float | None, config: RefinementConfig) -> Mesh:
    """``mesh`` with its vertices moved; its faces stay, so that it remains closed.

    Args:
        mesh: World, metres.
        views: Undistorted, with masks; one view alone holds by its outline only.
        support_height: World z below which no vertex goes, metres.
    """
    if config.max_step == 0.0:
        return mesh
    working = each(lambda view: _working(view, config), views)
    inside = each(lambda view: signed_distance(visible(view)), working)
    for blur in config.blurs:
        pictures = each(lambda k, blur=blur: _picture(working[k].image, inside[k], blur, config), range(len(views)))
        mesh = _step(mesh, working, pictures, blur, support_height, config)
    return mesh


@dataclass(frozen=True)
class _Picture:
    """``value`` (H, W): grey, smoothed, freed of its neighbourhood's mean and contrast; its gradient along x and y per
    pixel; ``inside``: distance from the outline of what is visible, pixels, negative outside."""

    value: F32
    along_x: F32
    along_y: F32
    inside: F32


def _working(view: View, config: RefinementConfig) -> View:
    """The part of a view that shows its silhouette, shrunk."""
    assert view.mask is not None
    height, width = view.mask.shape
    part = part_around(view.mask, round(0.1 * config.side))
    (y0, y1, _), (x0, x1, _) = part[0].indices(height), part[1].indices(width)
    scale = min(1.0, config.side / max(y1 - y0, x1 - x0))
    camera = crop(view.camera, x0, y0, x1, y1, max(1, round((x1 - x0) * scale)), max(1, round((y1 - y0) * scale)))
    image, mask = resample(view.image, view.camera, camera), resample(view.mask, view.camera, camera)
    hidden = None if view.hidden is None else resample(view.hidden, view.camera, camera)
    return replace(view, camera=camera, image=image, mask=mask, hidden=hidden, depth=None)


def _picture(image: U8, inside: F32, blur: float, config: RefinementConfig) -> _Picture:
    weight = (inside > -blur).astype(np.float32)
    reach = config.contrast_window * (blur + 1.0)

    def mean(values: F32) -> F32:
        blurred = cv2.GaussianBlur(values * weight, (0, 0), reach)
        return np.asarray(blurred / np.maximum(cv2.GaussianBlur(weight, (0, 0), reach), 1e-3), np.float32)

    grey = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), blur)
    local = np.asarray(grey - mean(np.asarray(grey, np.float32)), np.float32)
    value = local / np.sqrt(mean(local * local) + config.contrast_floor**2)
    along_x, along_y = (cv2.Sobel(value, cv2.CV_32F, *order, ksize=3, scale=1 / 8) for order in ((1, 0), (0, 1)))
    return _Picture(value, np.asarray(along_x, np.float32), np.asarray(along_y, np.float32), inside)


def _step(
    mesh: Mesh,
    views: Sequence[View],
    pictures: Sequence[_Picture],
    blur: float,
    support_height: float | None,
    config: RefinementConfig,
) -> Mesh:
    """One damped Gauss-Newton step."""
    caster, normals = Raycaster(mesh), vertex_normals(mesh)
    areas = np.linalg.norm(area_vectors(mesh.vertices, mesh.faces), axis=1) / 2.0
    total, size = float(areas.sum()), float(np.ptp(mesh.vertices, axis=0).max())
    own = np.bincount(mesh.faces.ravel(), np.repeat(areas / 3.0, 3), minlength=len(normals)) / total
    A, y = _photo_rows(mesh, normals, views, pictures, blur, caster, config)
    H, g = A.T @ A, A.T @ y
    if config.outline_weight > 0.0:
        B, z = outline_rows(mesh, normals, views, [picture.inside for picture in pictures], caster, config)
        H, g = H + B.T @ B, g + B.T @ z
    H = H + (config.smoothness / total) * cotangent_laplacian(mesh.vertices, mesh.faces)
    H = H + diags(config.damping / size**2 * own + 1e-9)
    move, _ = cg(H, g, rtol=1e-3, maxiter=config.solver_rounds, M=diags(1.0 / H.diagonal()))
    limit = config.max_step * size
    vertices = mesh.vertices + np.clip(move, -limit, limit)[:, None] * normals
    if support_height is not None:
        floor = np.minimum(mesh.vertices[:, 2], support_height)  # what lies lower already stays
        vertices[:, 2] = np.maximum(vertices[:, 2], floor)
    return replace(mesh, vertices=vertices)


def _photo_rows(
    mesh: Mesh,
    normals: F64,
    views: Sequence[View],
    pictures: Sequence[_Picture],
    blur: float,
    caster: Raycaster,
    config: RefinementConfig,
) -> tuple[csr_matrix, F64]:
    """Rows (M, V) and right sides (M,), weighted: displacements of the V vertices along ``normals``, metres, with which
    each point's picture in the view that sees it best agrees with that in every other."""
    face, barycentric = spread_points(mesh, config.points)
    corners = mesh.faces[face]
    points = np.einsum("nk,nkd->nd", barycentric, mesh.vertices[corners])
    along = np.einsum("nk,nkd->nd", barycentric, normals[corners])
    flat = area_vectors(mesh.vertices, mesh.faces)[face]
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-30)
    texture = TextureConfig(min_cosine=config.min_cosine)
    across = _tangents(flat)

    def seen(view: View, picture: _Picture) -> tuple[F64, F64, F64, F64]:
        """How well each point is seen, its value there, that value's change per metre, and its slope (2, N) along the
        surface."""
        pixels = np.nan_to_num(project(view.camera, view.T_world_camera, points)[0], nan=-1.0)
        cosines = point_cosines(points, flat, view.T_world_camera[:3, 3])
        weight = visible_cosines(points, cosines, view, caster, texture).astype(np.float64)
        weight *= _at(picture.inside, pixels) > config.outline_margin * blur
        gradient = np.stack([_at(picture.along_x, pixels), _at(picture.along_y, pixels)], axis=1)
        change, *slope = (np.einsum("nk,nk->n", gradient, pixel_motion(view, points, d)) for d in (along, *across))
        return weight, _at(picture.value, pixels), change, np.stack(slope)

    found = each(seen, views, pictures)
    weights, values, changes, slopes = (np.stack(parts) for parts in zip(*found, strict=True))
    best, everyone = weights.argmax(axis=0), np.arange(len(points))
    rows, sides, owners = [], [], []
    for v in range(len(views)):
        residual = values[v] - values[best, everyone]
        compared = (best != v) & (weights[v] > 0.0) & (np.abs(residual) < config.max_residual)
        index = np.flatnonzero(compared)
        r = residual[index]
        alike = _alike(slopes[v][:, index], slopes[best[index], :, index].T)
        scale = np.sqrt(weights[v, index] * alike / (1.0 + (r / config.residual_scale) ** 2) / config.points)
        rows.append(scale * (changes[v, index] - changes[best[index], index]))
        sides.append(-scale * r)
        owners.append(index)
    owner = np.concatenate(owners)
    return spread_rows(np.concatenate(rows), corners[owner], barycentric[owner], len(normals)), np.concatenate(sides)


def _tangents(normals: F64) -> tuple[F64, F64]:
    """Two unit vectors (N, 3) each across unit ``normals`` (N, 3) and across each other."""
    beside = np.where(np.abs(normals[:, 2:]) < 0.9, [[0.0, 0.0, 1.0]], [[1.0, 0.0, 0.0]])
    first = np.cross(normals, beside)
    first /= np.maximum(np.linalg.norm(first, axis=1, keepdims=True), 1e-30)
    return first, np.cross(normals, first)


def _alike(one: F64, other: F64) -> F64:
    """(N,) in [0, 1]: cosine between slopes (2, N) of two pictures along the surface, 0 where they disagree. A print's
    agree; shading by a light on the camera, or a mirrored lamp, slopes another way in each picture."""
    sizes = np.linalg.norm(one, axis=0) * np.linalg.norm(other, axis=0)
    cosine: F64 = np.maximum((one * other).sum(axis=0) / np.maximum(sizes, 1e-30), 0.0)
    return cosine


def _at(picture: F32, pixels: F64) -> F64:
    """(N,) of a picture at ``pixels`` (N, 2), between pixel centres."""
    x, y = ((pixels - 0.5).astype(np.float32).T).reshape(2, -1, 1)
    sampled: F64 = cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[:, 0].astype(np.float64)
    return sampled
