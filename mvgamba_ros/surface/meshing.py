"""A field of distances -> a clean, watertight, light mesh."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import ndimage

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.distance_field import DistanceField
from mvgamba_ros.surface.denoise import denoise
from mvgamba_ros.types import F64, I32, Bool, Mesh

if TYPE_CHECKING:
    import manifold3d
    import open3d

LEAST_PART = 0.05
"""Separate parts smaller than this share of the largest one are floaters, not the object."""
NEGLIGIBLE = 0.25
"""Of a voxel: what a field on a grid says less surely than this costs faces for nothing."""
THICK, LOST = 16.0, 0.4
"""A solid thicker than so many voxels, nowhere so many voxels inside where its every second voxel says outside, is
marched at every second one before it is denoised: on held-out procedural objects chamfer distances grow by 0.1 %, and
a mesh takes less than half the time. Of thinner ones, tools and pans, edges would suffer; a wire would be lost."""
DENOISED_FACES = 5000
"""A mesh is denoised at no fewer faces than this: fewer are as long as the shape's own bends."""
BENT = 0.6
UNEVEN = 3.0
"""Where a hundredth of the edges is `UNEVEN` times as long as the median, the share `BENT` of the faces is spent where
the surface bends, and the others divide what is long and flat."""
FIRST_DIVISION = 1.9
"""The length of edges that is tried for it first, of what they would have if all faces were alike."""
NEARLY, DIVISIONS = 0.95, 7
"""So much of the faces is enough, and so many lengths are tried at most."""
GREY = 160


def field_to_mesh(
    shape: DistanceField,
    max_faces: int = 5000,
    support_height: float | None = None,
    least_part: float = LEAST_PART,
    denoised: bool = False,
) -> Mesh:
    """The zero surface of ``shape``'s field, grey, watertight, faces counter-clockwise from outside.

    ``max_faces``: decimated to at most so many, some of which divide the long edges of flat sides. ``support_height``:
    nothing lies below this world z; the mesh is closed by a flat face there. ``least_part``: connected parts below this
    share of the largest one's volume go. Hollows without an opening are filled: no view can have seen them.
    ``denoised``: see `denoise`.

    Raises EMPTY_SURFACE where nothing is inside, BAD_OPTION where ``max_faces`` is too few for any solid.
    """
    return solid_to_mesh(solid(shape, support_height, least_part), max_faces, support_height is not None, denoised)


def solid_to_mesh(clean: DistanceField, max_faces: int = 5000, stands: bool = False, denoised: bool = False) -> Mesh:
    """`field_to_mesh` of what `solid` has made. ``stands``: it ends flat on a plane, which denoising does not move."""
    if max_faces < 12:
        raise ReconstructionError(ErrorCode.BAD_OPTION, f"max_faces {max_faces}: a solid takes at least 12")
    negligible = NEGLIGIBLE * clean.voxel
    vertices, faces = _march(_coarsened(clean) if denoised else clean)
    if denoised:
        vertices, faces = decimate(vertices, faces, max(max_faces, DENOISED_FACES), negligible)
        low = vertices[:, 2].min() if stands else -np.inf
        vertices = denoise(vertices, faces)
        vertices[:, 2] = np.maximum(vertices[:, 2], low)
    vertices, faces = decimate(vertices, faces, max_faces, negligible)
    if len(faces) > BENT * max_faces and uneven(vertices, faces):
        with contextlib.suppress(ReconstructionError):  # many parts have no face to spare
            coarse = decimate(vertices, faces, round(BENT * max_faces), negligible)
            vertices, faces = divide(*coarse, max_faces)
    return Mesh(vertices, faces, np.full((len(vertices), 3), GREY, np.uint8))


def solid(shape: DistanceField, support_height: float | None = None, least_part: float = LEAST_PART) -> DistanceField:
    """``shape`` above ``support_height`` without floaters and closed hollows, negative all along its border, its grid
    one layer wider on every side. Raises EMPTY_SURFACE where nothing is inside."""
    field, voxel = shape.values, shape.voxel
    if support_height is not None:
        height = shape.origin[2] + voxel * np.arange(field.shape[2]) - support_height
        field = np.minimum(field, height.astype(np.float32))
    field = np.pad(field, 1, constant_values=-voxel).astype(np.float32)
    # a vertex exactly on a voxel makes faces without area
    field = np.where(np.abs(field) < 1e-3 * voxel, np.float32(-1e-3 * voxel), field)
    labels, count = ndimage.label(field > 0)
    if count == 0:
        raise ReconstructionError(
            ErrorCode.EMPTY_SURFACE,
            "the reconstruction is empty: nothing is left inside all silhouettes; check masks, poses and the height "
            "of the support",
        )
    volumes = np.bincount(labels.ravel())[1:]
    small = np.flatnonzero(volumes < least_part * volumes.max()) + 1
    if len(small):
        field[np.isin(labels, small)] = -voxel
    outside, hollows = ndimage.label(field <= 0)
    if hollows > 1:  # the padding makes the true outside one region, that of the first corner
        field[(outside > 0) & (outside != outside[0, 0, 0])] = voxel
    return DistanceField(field, shape.origin - voxel, voxel)


def decimate(vertices: F64, faces: I32, max_faces: int, negligible: float) -> tuple[F64, I32]:
    """A closed mesh with at most ``max_faces``; one that is light enough stays as it is.

    Manifold first drops what moves the surface by less than ``negligible`` (metres), cheaply; Open3D's quadric edge
    collapses (Garland and Heckbert, 1997) spend the faces left where the surface bends. Collapses can pinch a surface
    into edges of four faces; where they do, Manifold, which keeps every mesh closed, goes on with a larger tolerance.

    Raises BAD_OPTION where nothing closed is left of the surface at ``max_faces``.
    """
    if len(faces) <= max_faces:
        return vertices, faces
    body = _body(vertices, faces).simplify(negligible)
    vertices, faces = _arrays(body)
    if len(faces) > max_faces:
        mesh = _open3d(vertices, faces).simplify_quadric_decimation(max_faces)
        vertices, faces = _compact(np.asarray(mesh.vertices), _without_folds(np.asarray(mesh.triangles)))
    fewest = len(faces)
    while len(faces) > max_faces or not is_watertight(faces):
        negligible *= 1.5
        body = body.simplify(negligible)
        vertices, faces = _arrays(body)
        if not len(faces):  # many small parts can vanish at once, before there are few enough of them
            raise ReconstructionError(
                ErrorCode.BAD_OPTION,
                f"max_faces {max_faces} is too few for this surface of many parts: allow at least {fewest}",
            )
        fewest = len(faces)
    return vertices, faces


def uneven(vertices: F64, faces: I32) -> bool:
    """Whether some of the edges are much longer than most."""
    sides = _lengths(vertices, faces)
    return bool(np.quantile(sides, 0.99) > UNEVEN * np.median(sides))


def _lengths(vertices: F64, faces: I32) -> F64:
    """(F, 3): of each face's edges."""
    return np.linalg.norm(vertices[faces] - vertices[np.roll(faces, 1, axis=1)], axis=2)


def divide(vertices: F64, faces: I32, max_faces: int) -> tuple[F64, I32]:
    """The same closed surface with its longest edges divided, as far as ``max_faces`` allows.

    Colours lie at vertices: between those of a large flat face they would be smeared.
    """
    body = finest = _body(vertices, faces)
    # if all faces were alike, their edges would be about as long as this; far below it lie millions of faces
    alike = (2.3 * body.surface_area() / max_faces) ** 0.5
    low, high = 0.5 * alike, float(_lengths(vertices, faces).max())
    length = min(FIRST_DIVISION * alike, high)
    for _ in range(DIVISIONS):
        divided = body.refine_to_length(length)
        count = divided.num_tri()
        if count <= max_faces:
            finest, high = divided, length
        else:
            low = length
        if NEARLY * max_faces <= count <= max_faces:
            break
        length *= (count / (0.5 * (1.0 + NEARLY) * max_faces)) ** 0.8  # faces grow about so fast as edges get shorter
        if not low < length < high:
            length = (low * high) ** 0.5
    return _arrays(finest)


def _body(vertices: F64, faces: I32) -> manifold3d.Manifold:
    from manifold3d import Manifold, Mesh

    return Manifold(Mesh(vertices.astype(np.float32), faces.astype(np.uint32)))


def _arrays(body: manifold3d.Manifold) -> tuple[F64, I32]:
    mesh = body.to_mesh()
    return np.asarray(mesh.vert_properties, np.float64)[:, :3], np.asarray(mesh.tri_verts).astype(np.int32)


def _compact(vertices: F64, faces: I32) -> tuple[F64, I32]:
    """Without vertices that no face uses."""
    used, index = np.unique(faces, return_inverse=True)
    return vertices[used], index.reshape(-1, 3).astype(np.int32)


def is_watertight(faces: I32) -> bool:
    """Every edge is shared by exactly two faces, which run along it in opposite directions."""
    edges = faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2).astype(np.int64)
    n = int(faces.max()) + 1 if len(faces) else 1
    there, back = np.sort(edges[:, 0] * n + edges[:, 1]), np.sort(edges[:, 1] * n + edges[:, 0])
    return len(faces) > 0 and bool((there[1:] != there[:-1]).all()) and bool((there == back).all())


def _without_folds(faces: I32) -> I32:
    """Faces without those of no area and without pairs that cover each other, back to back."""
    faces = faces[(faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])]
    _, index, count = np.unique(np.sort(faces, axis=1), axis=0, return_inverse=True, return_counts=True)
    single: Bool = (count == 1)[index.ravel()]
    return faces[single]


def _thickness(clean: DistanceField) -> float:
    """Twice the volume over the surface, voxels: of a long bar half its side, of a plate its thickness."""
    inside = clean.inside
    sides = sum(np.count_nonzero(np.diff(inside, axis=axis)) for axis in range(3))
    return 2.0 * np.count_nonzero(inside) / (sides / 1.5)  # a surface askew has half as many sides again as its area


def _coarsened(clean: DistanceField) -> DistanceField:
    """Every second voxel of ``clean`` where these tell its surface as well, else all; see `THICK`."""
    if _thickness(clean) <= THICK:
        return clean
    beyond = [(0, 1 - n % 2) for n in clean.values.shape]  # the border stays outside all round
    field = np.pad(clean.values[::2, ::2, ::2], beyond, constant_values=-clean.voxel)
    size = [2 * n - 1 for n in field.shape]
    told = torch.nn.functional.interpolate(
        torch.from_numpy(field)[None, None], size=size, mode="trilinear", align_corners=True
    ).numpy()[0, 0][tuple(slice(n) for n in clean.values.shape)]
    if np.minimum(clean.values, -told).max() > LOST * clean.voxel:
        return clean
    return DistanceField(field, clean.origin, 2.0 * clean.voxel)


def _march(clean: DistanceField) -> tuple[F64, I32]:
    """The surface of a `solid`, watertight by construction: Lewiner's marching cubes."""
    from skimage.measure import marching_cubes

    vertices, faces, _, _ = marching_cubes(clean.values, 0.0, gradient_direction="ascent")
    return clean.origin + clean.voxel * vertices.astype(np.float64), faces.astype(np.int32)


def _open3d(vertices: F64, faces: I32) -> open3d.geometry.TriangleMesh:
    import open3d as o3d

    return o3d.geometry.TriangleMesh(o3d.utility.Vector3dVector(vertices), o3d.utility.Vector3iVector(faces))
