"""A signed distance field -> a clean, watertight, light mesh: marching cubes, denoising, decimation."""

from __future__ import annotations

import contextlib

import numpy as np
import torch
from scipy import ndimage

from mvgamba_ros.config.surface_config import SurfaceConfig
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.distance_field import DistanceField
from mvgamba_ros.surface.denoise import denoise
from mvgamba_ros.surface.simplification import decimate, divide, uneven
from mvgamba_ros.types import F64, I32, Mesh

GREY = 160
"""Of vertices before a mesh is painted."""
MIN_FACES = 12
"""Faces of a box, the simplest solid of the shapes that are reconstructed; a definition, not a setting."""
ZERO_GUARD = 1e-3
"""Least distance of a voxel from the surface, voxels: a vertex exactly on a voxel makes faces without area. A numerical
guard, far below what a mesh shows."""


def field_to_mesh(
    field: DistanceField,
    max_faces: int,
    support_height: float | None = None,
    denoised: bool = False,
    config: SurfaceConfig = SurfaceConfig(),
) -> Mesh:
    """The zero surface of ``field``, world metres, grey, watertight, faces counter-clockwise from outside.

    ``max_faces``: decimated to at most so many, some of which divide the long edges of flat sides. ``support_height``:
    nothing lies below this world z; the mesh is closed by a flat face there. ``denoised``: see `denoise`. Small
    connected parts go and hollows without an opening are filled, see `solid`.

    Raises EMPTY_SURFACE where nothing is inside, BAD_OPTION where ``max_faces`` is too few for any solid.
    """
    clean = solid(field, support_height, config)
    return solid_to_mesh(clean, max_faces, support_height is not None, denoised, config)


def solid_to_mesh(
    clean: DistanceField,
    max_faces: int,
    supported: bool = False,
    denoised: bool = False,
    config: SurfaceConfig = SurfaceConfig(),
) -> Mesh:
    """`field_to_mesh` of a field from `solid`. ``supported``: it ends flat on a plane, which denoising does not move.

    Raises BAD_OPTION where ``max_faces`` is too few for any solid.
    """
    if max_faces < MIN_FACES:
        raise ReconstructionError(ErrorCode.BAD_OPTION, f"max_faces {max_faces}: a solid takes at least {MIN_FACES}")
    negligible = config.negligible * clean.voxel
    vertices, faces = _marching_cubes(_coarsened(clean, config) if denoised else clean)
    if denoised:
        vertices, faces = decimate(vertices, faces, max(max_faces, config.denoise_min_faces), negligible, config)
        low = vertices[:, 2].min() if supported else -np.inf
        vertices = denoise(vertices, faces, config)
        vertices[:, 2] = np.maximum(vertices[:, 2], low)
    vertices, faces = decimate(vertices, faces, max_faces, negligible, config)
    if len(faces) > config.curved_share * max_faces and uneven(vertices, faces, config):
        with contextlib.suppress(ReconstructionError):  # many parts have no face to spare
            coarse = decimate(vertices, faces, round(config.curved_share * max_faces), negligible, config)
            vertices, faces = divide(*coarse, max_faces, config)
    return _grey(vertices, faces)


def surface_of(clean: DistanceField) -> Mesh:
    """Every face of the zero surface of a field from `solid`: for casting rays at, not for keeping."""
    vertices, faces = _marching_cubes(clean)
    return _grey(vertices, faces)


def solid(
    field: DistanceField, support_height: float | None = None, config: SurfaceConfig = SurfaceConfig()
) -> DistanceField:
    """``field`` above ``support_height`` without floaters and closed hollows, negative all along its border, its grid
    one layer wider on every side.

    Floaters are connected parts below ``config.min_part_share`` of the largest one's volume. Hollows without an opening
    are filled: no view can have seen them. Raises EMPTY_SURFACE where nothing is inside.
    """
    values, voxel = field.values, field.voxel
    if support_height is not None:
        height = field.origin[2] + voxel * np.arange(values.shape[2]) - support_height
        values = np.minimum(values, height.astype(np.float32))
    values = np.pad(values, 1, constant_values=-voxel).astype(np.float32)
    values = np.where(np.abs(values) < ZERO_GUARD * voxel, np.float32(-ZERO_GUARD * voxel), values)
    labels, count = ndimage.label(values > 0)
    if count == 0:
        raise ReconstructionError(
            ErrorCode.EMPTY_SURFACE,
            "the reconstruction is empty: nothing is left inside all silhouettes; check masks, poses and the height "
            "of the support",
        )
    volumes = np.bincount(labels.ravel())[1:]
    small = np.flatnonzero(volumes < config.min_part_share * volumes.max()) + 1
    if len(small):
        values[np.isin(labels, small)] = -voxel
    outside, hollows = ndimage.label(values <= 0)
    if hollows > 1:  # the padding makes the true outside one region, that of the first corner
        values[(outside > 0) & (outside != outside[0, 0, 0])] = voxel
    return DistanceField(values, field.origin - voxel, voxel)


def _grey(vertices: F64, faces: I32) -> Mesh:
    return Mesh(vertices, faces, np.full((len(vertices), 3), GREY, np.uint8))


def _thickness(clean: DistanceField) -> float:
    """Twice the volume over the surface, voxels: of a long bar half its side, of a plate its thickness."""
    inside = clean.inside
    sides = sum(np.count_nonzero(np.diff(inside, axis=axis)) for axis in range(3))
    return 2.0 * np.count_nonzero(inside) / (sides / 1.5)  # a surface askew has half as many sides again as its area


def _coarsened(clean: DistanceField, config: SurfaceConfig) -> DistanceField:
    """Every second voxel of ``clean`` where the solid is thick and these give its surface as well, else all."""
    if _thickness(clean) <= config.coarse_min_thickness:
        return clean
    beyond = [(0, 1 - n % 2) for n in clean.values.shape]  # the border stays outside all round
    coarse = np.pad(clean.values[::2, ::2, ::2], beyond, constant_values=-clean.voxel)
    size = [2 * n - 1 for n in coarse.shape]
    interpolated = torch.nn.functional.interpolate(
        torch.from_numpy(coarse)[None, None], size=size, mode="trilinear", align_corners=True
    ).numpy()[0, 0][tuple(slice(n) for n in clean.values.shape)]
    if np.minimum(clean.values, -interpolated).max() > config.coarse_max_loss * clean.voxel:
        return clean
    return DistanceField(coarse, clean.origin, 2.0 * clean.voxel)


def _marching_cubes(clean: DistanceField) -> tuple[F64, I32]:
    """The surface of a `solid`, watertight by construction (Lewiner et al., "Efficient implementation of marching
    cubes' cases with topological guarantees", 2003): vertices (V, 3) world metres, faces (F, 3)."""
    from skimage.measure import marching_cubes

    vertices, faces, _, _ = marching_cubes(clean.values, 0.0, gradient_direction="ascent")
    return clean.origin + clean.voxel * vertices.astype(np.float64), faces.astype(np.int32)
