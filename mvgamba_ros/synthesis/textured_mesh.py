"""A mesh with appearance, and the closed primitives that procedural objects are put together from.

Parts may overlap: only what a ray meets first from outside counts, so a union needs no boolean. Each part on its own is
closed and wound counter-clockwise seen from outside. Lengths are metres, z is up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mvgamba_ros.types import F32, F64, I32, U8

CREASE_COSINE = float(np.cos(np.radians(40.0)))
"""Faces that meet at a steeper angle than this are shaded with an edge between them."""


@dataclass(frozen=True)
class Material:
    """How a part reflects light: ``specular`` strength in [0, 1], Blinn-Phong ``shininess``, ``metallic`` in [0, 1]
    (a metal tints its highlights with its own colour and has little diffuse light)."""

    specular: float = 0.2
    shininess: float = 30.0
    metallic: float = 0.0


@dataclass(frozen=True)
class Part:
    """Bare geometry. ``vertices`` (V, 3), ``faces`` (F, 3), ``uv`` (F, 3, 2) in [0, 1] (v down the texture),
    ``tile`` (F,) which of the part's textures a face shows."""

    vertices: F64
    faces: I32
    uv: F32
    tile: I32

    def moved(self, f: Callable[[F64], F64]) -> Part:
        """The part with ``f`` applied to its vertices; ``f`` must not mirror."""
        return replace(self, vertices=f(self.vertices))

    def at(self, x: float, y: float, z: float) -> Part:
        return self.moved(lambda p: p + np.array([x, y, z]))

    def turned(self, R: F64) -> Part:
        return self.moved(lambda p: p @ R.T)

    @property
    def tiles(self) -> int:
        return int(self.tile.max()) + 1


@dataclass(frozen=True)
class TexturedMesh:
    """An object to render: metres, z up.

    ``vertices`` (V, 3) float64, ``faces`` (F, 3) int32, ``normals`` (F, 3, 3) float32 unit shading normals per corner,
    ``uv`` (F, 3, 2) float32, ``tile`` (F,) index into ``textures`` (T, S, S, 3) uint8 sRGB, ``material`` (F,) index
    into ``materials``. ``upright``: z is the direction it is made to stand in. ``family`` names what it is.
    """

    vertices: F64
    faces: I32
    normals: F32
    uv: F32
    tile: I32
    textures: U8
    material: I32
    materials: tuple[Material, ...]
    family: str
    upright: bool = True


def crease_normals(vertices: F64, faces: I32) -> F32:
    """Shading normals per corner (F, 3, 3): smooth over vertices that coincide, flat across creases."""
    extent = float(np.ptp(vertices, axis=0).max()) or 1.0
    grid = np.rint((vertices - vertices.min(0)) / (extent * 1e-5)).astype(np.int64)
    _, weld = np.unique((grid[:, 0] * 200_003 + grid[:, 1]) * 200_003 + grid[:, 2], return_inverse=True)
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    area_normal = np.cross(b - a, c - a)
    corner = weld[faces]
    summed = np.stack(
        [np.bincount(corner.ravel(), np.repeat(area_normal[:, k], 3), minlength=weld.max() + 1) for k in range(3)], 1
    )
    smooth = summed / np.maximum(np.linalg.norm(summed, axis=1, keepdims=True), 1e-30)
    flat = area_normal / np.maximum(np.linalg.norm(area_normal, axis=1, keepdims=True), 1e-30)
    out = smooth[corner]
    crease = np.einsum("fkc,fc->fk", out, flat) < CREASE_COSINE
    return np.where(crease[..., None], flat[:, None], out).astype(np.float32)


def assemble(parts: Sequence[tuple[Part, Sequence[U8], Material]], family: str, upright: bool = True) -> TexturedMesh:
    """Parts with their textures (each (S, S, 3), as many as the part has tiles) -> one object."""
    faces, uv, tile, material, normals = [], [], [], [], []
    textures: list[U8] = []
    first_vertex = 0
    for index, (part, images, _) in enumerate(parts):
        faces.append(part.faces + first_vertex)
        uv.append(part.uv)
        tile.append(part.tile + len(textures))
        material.append(np.full(len(part.faces), index, np.int32))
        normals.append(crease_normals(part.vertices, part.faces))
        textures.extend(images[: part.tiles])
        first_vertex += len(part.vertices)
    return TexturedMesh(
        vertices=np.concatenate([p.vertices for p, _, _ in parts]),
        faces=np.concatenate(faces).astype(np.int32),
        normals=np.concatenate(normals),
        uv=np.concatenate(uv).astype(np.float32),
        tile=np.concatenate(tile).astype(np.int32),
        textures=np.stack(textures),
        material=np.concatenate(material),
        materials=tuple(m for _, _, m in parts),
        family=family,
        upright=upright,
    )


def _grid_faces(rows: int, columns: int) -> I32:
    """Two triangles per cell of a (rows, columns) grid of vertices."""
    i = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = i[:-1, :-1].ravel(), i[:-1, 1:].ravel(), i[1:, 1:].ravel(), i[1:, :-1].ravel()
    return np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)]).astype(np.int32)


def superellipse(n: int, exponent: float = 2.0) -> F64:
    """Closed section (n, 2) of half-width 1, counter-clockwise; exponent 2 is a circle, large a square, 1 a diamond."""
    a = np.arange(n) * (2 * np.pi / n)
    direction = np.stack([np.cos(a), np.sin(a)], 1)
    return direction / (np.abs(direction) ** exponent).sum(1, keepdims=True) ** (1.0 / exponent)


def polygon(corners: F64, n: int) -> F64:
    """A section of about ``n`` points that runs along a polygon (k, 2), corners kept."""
    edges = np.roll(corners, -1, 0) - corners
    lengths = np.linalg.norm(edges, axis=1)
    counts = np.maximum(np.rint(n * lengths / lengths.sum()).astype(int), 1)
    return np.concatenate([c + e * (np.arange(m) / m)[:, None] for c, e, m in zip(corners, edges, counts, strict=True)])


def loft(profile: F64, section: F64) -> Part:
    """A section (n, 2), counter-clockwise and star-shaped about 0, carried up a profile (k, 2 or 3) of rows (scale, z)
    or (scale x, scale y, z).

    The profile starts and ends on the axis (scale 0), which closes the part; it may turn back inside, as a cup's wall
    does. With a circle for section this is a surface of revolution. One tile: u around, v along the profile from its
    end (top) to its start.
    """
    scale, z = (profile[:, [0, 0]], profile[:, 1]) if profile.shape[1] == 2 else (profile[:, :2], profile[:, 2])
    ring = np.concatenate([section, section[:1]])
    n, k = len(ring), len(profile)
    points = np.empty((k, n, 3))
    points[..., :2] = scale[:, None] * ring[None]
    points[..., 2] = z[:, None]
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(np.c_[scale[:, 0], z], axis=0), axis=1))])
    around = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(ring, axis=0), axis=1))])
    u, v = np.meshgrid(around / around[-1], 1 - along / along[-1])
    return _sheet(points, u, v)


def tube(path: F64, radius: F64 | float, section: F64) -> Part:
    """A section swept along a path (k, 3), ``radius`` (k,) or one; ends closed by flat caps.

    The section's x axis stays as near as it can to where it started (no twist of its own).
    """
    k = len(path)
    r = np.broadcast_to(np.asarray(radius, np.float64), (k,))
    tangent = np.gradient(path, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    x = np.cross(tangent[0], np.eye(3)[np.abs(tangent[0]).argmin()])
    rings = []
    for p, t, size in zip(path, tangent, r, strict=True):
        x = x - t * (x @ t)
        x /= np.linalg.norm(x)
        rings.append(p + size * (section[:, :1] * x + section[:, 1:] * np.cross(t, x)))
    rings = [np.repeat(path[:1], len(section), 0), *rings, np.repeat(path[-1:], len(section), 0)]
    points = np.stack(rings)
    points = np.concatenate([points, points[:, :1]], 1)
    v = np.r_[0, np.linspace(0.03, 0.97, k), 1]
    uu, vv = np.meshgrid(np.linspace(0, 1, points.shape[1]), v)
    return _sheet(points, uu, vv)


def _sheet(points: F64, u: F64, v: F64) -> Part:
    """A (k, n, 3) grid of points, rows from the start of the sweep to its end, wound outward; flat faces dropped."""
    k, n, _ = points.shape
    faces = _grid_faces(k, n)
    vertices = points.reshape(-1, 3)
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    keep = np.linalg.norm(np.cross(b - a, c - a), axis=1) > 1e-12
    faces = faces[keep]
    uv = np.stack([u, v], -1).reshape(-1, 2)[faces].astype(np.float32)
    return Part(vertices, faces, uv, np.zeros(len(faces), np.int32))


def rounded_box(size: Sequence[float], radius: float, steps: int = 4) -> Part:
    """A box about the origin with edges rounded by ``radius``; six tiles: +x, -x, +y, -y, +z, -z, upright on the
    sides."""
    half = np.asarray(size, np.float64) / 2
    radius = float(np.clip(radius, half.min() * 1e-3, half.min() * 0.999))
    bow = np.sin(np.linspace(0, np.pi / 4, steps + 1))
    bow = bow / bow[-1]
    t = np.concatenate([-1 - bow[::-1] + 0.0, 1 + bow]) / 2  # the corner cells, mapped onto each face below
    faces, uv, tile = [], [], []
    vertices: list[F64] = []
    for index, (axis, sign) in enumerate([(0, 1), (0, -1), (1, 1), (1, -1), (2, 1), (2, -1)]):
        right, up = [(1, 2), (0, 2), (0, 1)][axis]
        flip = (sign, -sign, sign)[axis]  # so that the texture reads left to right from outside
        lines = []
        for other in (right, up):
            flat = half[other] - radius
            lines.append(np.sign(t) * (flat + radius * (np.abs(t) * 2 - 1)))
        a, b = np.meshgrid(lines[0] * flip, lines[1][::-1])
        cube = np.zeros((*a.shape, 3))
        cube[..., axis], cube[..., right], cube[..., up] = sign * half[axis], a, b
        inner = np.clip(cube, -(half - radius), half - radius)
        away = cube - inner
        away /= np.linalg.norm(away, axis=-1, keepdims=True)
        s, w = np.meshgrid((lines[0] / half[right] + 1) / 2, 1 - (lines[1][::-1] / half[up] + 1) / 2)
        f = _grid_faces(len(t), len(t))
        points = (inner + radius * away).reshape(-1, 3)
        p, q, r = (points[f[:, k]] for k in range(3))
        outward = np.cross(q - p, r - p)[:, axis].sum() * sign > 0
        f = f if outward else f[:, [0, 2, 1]]
        faces.append(f + sum(len(x) for x in vertices))
        uv.append(np.stack([s, w], -1).reshape(-1, 2)[f].astype(np.float32))
        tile.append(np.full(len(f), index, np.int32))
        vertices.append(points)
    return Part(np.concatenate(vertices), np.concatenate(faces), np.concatenate(uv), np.concatenate(tile))


def hull(points: F64) -> Part:
    """The convex hull of points (N, 3), textured by a box projection (one tile)."""
    from scipy.spatial import ConvexHull

    found = ConvexHull(points)
    faces = found.simplices.astype(np.int32)
    a, b, c = (points[faces[:, k]] for k in range(3))
    normal = np.cross(b - a, c - a)
    inward = (normal * found.equations[:, :3]).sum(1) < 0
    faces[inward] = faces[inward][:, [0, 2, 1]]
    return Part(points, faces, box_uv(points, faces), np.zeros(len(faces), np.int32))


def box_uv(vertices: F64, faces: I32) -> F32:
    """Texture coordinates (F, 3, 2) of a box projection: each face takes the tile of the side it faces."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    normal = np.cross(b - a, c - a)
    axis = np.abs(normal).argmax(1)
    scaled = (vertices - vertices.min(0)) / np.ptp(vertices, axis=0).max()
    planes = np.array([[1, 2], [0, 2], [0, 1]])[axis]
    uv = np.take_along_axis(scaled[faces], np.repeat(planes[:, None], 3, 1), axis=2)
    uv[..., 1] = 1 - uv[..., 1]
    # seen from outside, the first axis of a plane runs to the right on +x, -y and +z only
    side = np.take_along_axis(normal, axis[:, None], 1)[:, 0] * np.array([1, -1, 1])[axis]
    uv[side < 0, :, 0] = 1 - uv[side < 0, :, 0]
    return uv.astype(np.float32)


def bend(p: F64, angle: float) -> F64:
    """Bend along x by ``angle`` radians in all, in the x-y plane; lengths on the axis are kept."""
    if abs(angle) < 1e-6:
        return p
    length = np.ptp(p[:, 0])
    radius = length / angle
    a = (p[:, 0] - p[:, 0].mean()) / radius
    r = radius - p[:, 1]
    return np.stack([np.sin(a) * r, radius - np.cos(a) * r, p[:, 2]], 1)


def twist(p: F64, angle: float) -> F64:
    """Turn about z by ``angle`` radians from bottom to top."""
    a = angle * (p[:, 2] - p[:, 2].min()) / max(np.ptp(p[:, 2]), 1e-9)
    c, s = np.cos(a), np.sin(a)
    return np.stack([c * p[:, 0] - s * p[:, 1], s * p[:, 0] + c * p[:, 1], p[:, 2]], 1)


def taper(p: F64, top: float) -> F64:
    """Scale x and y linearly from 1 at the bottom to ``top`` at the top."""
    s = 1 + (top - 1) * (p[:, 2] - p[:, 2].min()) / max(np.ptp(p[:, 2]), 1e-9)
    return np.stack([p[:, 0] * s, p[:, 1] * s, p[:, 2]], 1)
