"""Photo-consistency: how far a point of the surface lies from its own picture in another view.

Seitz, Curless, Diebel, Scharstein and Szeliski, "A comparison and evaluation of multi-view stereo reconstruction
algorithms", CVPR 2006, call a surface photo-consistent where its pictures in all views agree. Here a view's picture is
warped through the surface into a neighbouring view, brought to the same exposure, and what is left of a difference
becomes a displacement by the picture's own gradient: the normal flow of Horn and Schunck, "Determining optical flow",
1981. So it is in the unit of the errors that it stands for, of poses, intrinsics or shape, and does not grow with
contrast.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from mvgamba_ros.config.photo_consistency_config import PhotoConsistencyConfig
from mvgamba_ros.geometry.camera import crop, projection
from mvgamba_ros.geometry.occlusion import visible
from mvgamba_ros.geometry.raster import depth_inside, part_around
from mvgamba_ros.geometry.rays import pixel_rays
from mvgamba_ros.geometry.se3 import inverse
from mvgamba_ros.parallel import each
from mvgamba_ros.rendering.mesh_raycaster import RenderedMesh
from mvgamba_ros.types import F32, F64, Bool, Camera, View


@dataclass(frozen=True)
class _Patch:
    """The part of a view that shows the surface: ``grey`` smoothed; ``depth`` and ``normals`` of the rendered mesh, 0
    outside of the silhouette and at its outline; ``noise`` of the smoothed picture, grey levels."""

    camera: Camera
    T_world_camera: F64
    grey: F32
    depth: F32
    normals: F32
    noise: float


def photo_residual(
    views: Sequence[View], rendered: Sequence[RenderedMesh], config: PhotoConsistencyConfig = PhotoConsistencyConfig()
) -> float:
    """Median displacement of the surface's picture between neighbouring views, millimetres on the surface; NaN where
    fewer than ``config.min_pixels`` have texture that two views see.

    Args:
        views: Undistorted, with masks.
        rendered: The mesh in each of them.
        config: How pictures are compared.
    """
    patches = each(lambda view, image: _patch(view, image, config), views, rendered)
    found = each(lambda pair: _displacements(patches[pair[0]], patches[pair[1]], config), _neighbours(views))
    displacements = np.concatenate([*found, np.zeros(0, np.float32)])
    return float(np.median(displacements)) if len(displacements) >= config.min_pixels else float("nan")


def _neighbours(views: Sequence[View]) -> list[tuple[int, int]]:
    """Each view with the two whose optical axes are nearest to its own, each pair once."""
    axes = np.stack([view.T_world_camera[:3, 2] for view in views])
    cosines = axes @ axes.T
    np.fill_diagonal(cosines, -2.0)
    nearest = np.argsort(-cosines, axis=1)[:, : min(2, len(views) - 1)]
    return sorted({(min(a, b), max(a, b)) for a, row in enumerate(nearest.tolist()) for b in row})


def _patch(view: View, rendered: RenderedMesh, config: PhotoConsistencyConfig) -> _Patch:
    # the background reaches so far into a smoothed picture
    both = depth_inside(visible(view) & rendered.mask) > config.outline_margin
    rows, columns = part_around(both, 2)
    image = view.image[rows, columns]
    height, width = image.shape[:2]
    y0, x0 = rows.start or 0, columns.start or 0
    camera = crop(view.camera, x0, y0, x0 + width, y0 + height, width, height)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    # the median of a second difference, of which smooth shading and most texture leave little (Immerkaer, 1996)
    corner = cv2.filter2D(grey, -1, np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32))
    noise = 1.4826 * float(np.median(np.abs(corner))) / 6.0 / (2.0 * config.smoothing * np.sqrt(np.pi))
    depth = np.where(both, rendered.depth, np.float32(0))[rows, columns]
    smooth = np.asarray(cv2.GaussianBlur(grey, (0, 0), config.smoothing), np.float32)
    return _Patch(camera, view.T_world_camera, smooth, depth, rendered.normals[rows, columns], noise)


def _displacements(a: _Patch, b: _Patch, config: PhotoConsistencyConfig) -> F32:
    """Of the textured points (N,) that both see, from their place in ``b`` to that of their picture in ``a``,
    millimetres."""
    pictures, seen = _warp(a, b, config)
    seen &= np.maximum(pictures, b.grey) < config.max_level
    if seen.sum() < config.min_pixels:
        return np.zeros(0, np.float32)
    exposure = math.sqrt(float(np.median(pictures[seen]) + 1.0) / float(np.median(b.grey[seen]) + 1.0))
    in_a = _without_shading(pictures / exposure, seen, config.shading_sigma)
    in_b = _without_shading(b.grey * exposure, seen, config.shading_sigma)
    mean = 0.5 * (in_a + in_b)
    slope = np.hypot(cv2.Sobel(mean, cv2.CV_32F, 1, 0), cv2.Sobel(mean, cv2.CV_32F, 0, 1)) / 8.0
    # both pictures' noise is in the difference; it must be small against what a pixel's displacement makes
    steep = max(config.min_gradient, config.noise_ratio * float(np.hypot(a.noise / exposure, b.noise * exposure)))
    inner = cv2.erode(seen.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    textured = np.flatnonzero(inner & (slope > steep))
    difference = np.abs(in_a - in_b).take(textured)
    pixel = b.depth.take(textured) * np.float32(1e3 / b.camera.K[0, 0])
    return np.minimum(difference / slope.take(textured) * pixel, np.float32(config.max_displacement))


def _warp(a: _Patch, b: _Patch, config: PhotoConsistencyConfig) -> tuple[F32, Bool]:
    """The picture of ``a`` as ``b`` would see it, and where both see the surface from well above its horizon."""
    rays = pixel_rays(b.camera).astype(np.float32)
    points = rays * b.depth[..., None]
    T_a_b = inverse(a.T_world_camera) @ b.T_world_camera
    P = (projection(a.camera, np.eye(4)) @ T_a_b).astype(np.float32)
    x, y, z = np.moveaxis(points @ P[:, :3].T + P[:, 3], -1, 0)
    known = (b.depth > 0.0) & (z > 0.0)
    scale = 1.0 / np.where(known, z, np.float32(1))
    column, row = np.where(known, x * scale - 0.5, np.float32(-9)), np.where(known, y * scale - 0.5, np.float32(-9))
    # bilinear depth of neighbours that are all there; at a border it mixes with 0 and does not match
    behind = np.asarray(cv2.remap(a.depth, column, row, cv2.INTER_LINEAR), np.float32)
    seen = known & (np.abs(behind - z) < config.occlusion_tolerance * z)
    normals = b.normals @ b.T_world_camera[:3, :3].astype(np.float32)
    eye = np.linalg.inv(T_a_b)[:3, 3].astype(np.float32)
    for towards in (-rays, eye - points):
        cosine = np.einsum("hwk,hwk->hw", normals, towards) / np.sqrt(np.einsum("hwk,hwk->hw", towards, towards))
        seen &= cosine > config.min_cosine
    return np.asarray(cv2.remap(a.grey, column, row, cv2.INTER_LINEAR), np.float32), seen


def _without_shading(picture: F32, where: Bool, sigma: float) -> F32:
    """Less its Gaussian mean over what is True in ``where``: shading and vignetting go."""
    inside = where.astype(np.float32)
    mean = cv2.GaussianBlur(picture * inside, (0, 0), sigma) / np.maximum(cv2.GaussianBlur(inside, (0, 0), sigma), 1e-3)
    return np.asarray((picture - mean) * inside, np.float32)
