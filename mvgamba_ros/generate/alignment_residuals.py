"""What is left between an aligned shape and what was seen, with its derivatives: outlines, depth, the support plane."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from mvgamba_ros.generate.alignment_config import AlignmentConfig
from mvgamba_ros.generate.seen_object import Picture, SeenObject
from mvgamba_ros.generate.similarity import Similarity
from mvgamba_ros.geometry.rays import pixel_rays
from mvgamba_ros.rendering.mesh_raycaster import Raycaster, RenderedMesh
from mvgamba_ros.types import F64, Bool


@dataclass(frozen=True)
class Residuals:
    """``values`` (N,), ``jacobian`` (N, 7) by the step of `Similarity.stepped`, and the ``sigma`` of each value, all in
    the same unit."""

    values: F64
    jacobian: F64
    sigma: float


def residuals(
    caster: Raycaster, seen: SeenObject, placed: Similarity, about: F64, config: AlignmentConfig
) -> list[Residuals]:
    """All groups of residuals of the mesh of ``caster`` under ``placed``; steps are around the world point
    ``about``."""
    size = placed.scale * float(np.ptp(caster.mesh.vertices, axis=0).max())
    found: list[Residuals] = []
    for picture in seen.pictures:
        rendered = caster.render(picture.camera, placed.canonical_camera(picture.T_world_camera))
        if rendered.mask.any():
            found += _outline(picture, rendered, placed, about, config.shape_sigma * size)
            found += _depth(picture, rendered, placed, about, config, config.shape_sigma * size)
    if seen.support_height is not None and seen.stands_below():
        vertices = placed.points(caster.mesh.vertices)
        lowest = vertices[vertices[:, 2].argmin()][None]
        slopes = _along(np.array([[0.0, 0.0, 1.0]]), lowest, about)
        found.append(Residuals(lowest[:, 2] - seen.support_height, slopes, config.plane_sigma * size))
    return found


def _outline(
    picture: Picture, rendered: RenderedMesh, placed: Similarity, about: F64, sigma: float
) -> Iterator[Residuals]:
    """Both ways: each pixel of the shape's outline across the mask's outline, and each of the mask's to the nearest of
    the shape's, along the mask's normals; pixels, ``sigma`` in metres."""
    mine, theirs = _border(rendered.mask) & picture.inside, _border(picture.mask) & _border_inside(picture.inside)
    if not mine.any() or not theirs.any():
        return
    depth = rendered.depth[mine] * placed.scale
    points = picture.eye + (pixel_rays(picture.camera)[mine] * depth[:, None]) @ picture.T_world_camera[:3, :3].T
    pixel_sigma = max(0.5, sigma * picture.camera.K[0, 0] / float(np.median(depth)))
    normals = picture.outward[mine]
    yield Residuals(picture.outside_by[mine] + 0.5, _in_pixels(picture, normals, points, about), pixel_sigma)
    at, to = np.argwhere(mine)[:, ::-1].astype(np.float64), np.argwhere(theirs)[:, ::-1].astype(np.float64)
    nearest = cKDTree(at).query(to)[1]
    normals = picture.outward[theirs]
    values = np.einsum("nk,nk->n", normals, at[nearest] - to)
    yield Residuals(values, _in_pixels(picture, normals, points[nearest], about), pixel_sigma)


def _border(mask: Bool) -> Bool:
    """The pixels of a mask beside pixels off it."""
    return np.asarray(mask & ~ndimage.binary_erosion(mask, border_value=1))


def _border_inside(inside: Bool) -> Bool:
    """Away from where the picture ends: an outline there is the picture's."""
    return np.asarray(ndimage.binary_erosion(inside, iterations=2, border_value=1))


def _in_pixels(picture: Picture, normals: F64, points: F64, about: F64) -> F64:
    """(N, 7) derivatives of the projections of world ``points`` (N, 3) along ``normals`` (N, 2)."""
    R, K = picture.T_world_camera[:3, :3], picture.camera.K
    x, y, z = ((points - picture.eye) @ R).T
    fx, fy = normals[:, 0] * K[0, 0] / z, normals[:, 1] * K[1, 1] / z
    in_camera = np.stack([fx, fy, -(fx * x + fy * y) / z], axis=1)
    return _along(in_camera @ R.T, points, about)


def _depth(
    picture: Picture, rendered: RenderedMesh, placed: Similarity, about: F64, config: AlignmentConfig, sigma: float
) -> Iterator[Residuals]:
    """Distances from measured points to the shape along its normals, metres."""
    if np.count_nonzero(picture.depth) <= config.min_depth_share * picture.mask.sum():
        return
    both = np.flatnonzero(rendered.mask & (picture.depth > 0.0))
    if not len(both):
        return
    both = both[:: max(1, len(both) // config.max_points)]
    measured = picture.points.reshape(-1, 3)[both]
    normals = rendered.normals.reshape(-1, 3)[both].astype(np.float64) @ placed.R.T
    rays = pixel_rays(picture.camera).reshape(-1, 3)[both] @ picture.T_world_camera[:3, :3].T
    on_mesh = picture.eye + rays * (rendered.depth.ravel()[both] * placed.scale)[:, None]
    values = np.einsum("nk,nk->n", normals, on_mesh - measured)
    yield Residuals(values, _along(normals, on_mesh, about), sigma)


def _along(directions: F64, points: F64, about: F64) -> F64:
    """(N, 7) derivatives of ``points`` (N, 3) along ``directions`` (N, 3)."""
    arms = points - about
    return np.concatenate(
        [np.cross(arms, directions), directions, np.einsum("nk,nk->n", directions, arms)[:, None]], axis=1
    )
