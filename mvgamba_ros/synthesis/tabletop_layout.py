"""Objects on a table: one in the middle, others apart, near, against it, leaning on it or lying on top."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from mvgamba_ros.synthesis.everyday_objects import everyday_object
from mvgamba_ros.synthesis.families import FAMILIES, make
from mvgamba_ros.synthesis.pose_sampling import sample_stable_pose
from mvgamba_ros.synthesis.ray_scene import RayScene
from mvgamba_ros.synthesis.shading import Rng, rotate_normals
from mvgamba_ros.synthesis.sources import Source, open_source
from mvgamba_ros.synthesis.tabletop_rig import TabletopRig
from mvgamba_ros.synthesis.textured_mesh import TexturedMesh
from mvgamba_ros.synthesis.thin_objects import thin_object
from mvgamba_ros.types import F64

SLACK = 3e-4
"""Left between objects that touch, metres."""
SUPPORT = 3e-3
"""How near below a stacked object something must be to carry it, metres."""
TRIES = 6


@dataclass(frozen=True)
class _Group:
    """What stands already: its rays, and points on it."""

    rays: RayScene
    points: F64


def lay_out(rig: TabletopRig, rng: Rng) -> tuple[list[TexturedMesh], set[str]]:
    """Objects that stand on z = 0, the first about the origin, none inside another; and what is special in it."""
    counts = np.array(rig.counts) / np.sum(rig.counts)
    count = 1 + int(rng.choice(len(counts), p=counts))
    first = _standing(draw_object(rig, rng), rng)
    placed, kinds = [first], set()
    for _ in range(count - 1):
        twin = rng.random() < rig.twin
        mesh = first if twin else draw_object(rig, rng)
        found, how = _another(mesh, placed, rig, rng)
        if found is not None:
            placed.append(found)
            kinds |= {how, "twin"} if twin else {how}
    return placed, kinds


@lru_cache(maxsize=1)
def _source(spec: str) -> Source:
    return open_source(spec, 1, 10_000)


def draw_object(rig: TabletopRig, rng: Rng) -> TexturedMesh:
    """One object by the rig's shares of shapes, or of its source; its longest side within ``rig.side``, metres."""
    if rig.source:
        source = _source(rig.source)
        mesh = source[int(rng.integers(len(source)))]
    elif rng.random() < rig.thin:
        mesh = thin_object(rng)
    elif rng.random() < rig.everyday:
        mesh = everyday_object(rng)
    else:
        shares = np.array([share for _, share in FAMILIES.values()])
        mesh = make(list(FAMILIES)[rng.choice(len(shares), p=shares / shares.sum())], rng)
    side = float(np.ptp(mesh.vertices, axis=0).max())
    return replace(mesh, vertices=mesh.vertices * (float(np.clip(side, *rig.side)) / side))


def _turned(mesh: TexturedMesh, R: F64) -> TexturedMesh:
    vertices = mesh.vertices @ R.T
    mesh = rotate_normals(mesh, vertices)
    low, high = vertices.min(0), vertices.max(0)
    return replace(mesh, vertices=vertices - [*(low + high)[:2] / 2, low[2]])


def yaw(angle: float) -> F64:
    """The rotation (3, 3) about z by ``angle`` radians."""
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def _standing(mesh: TexturedMesh, rng: Rng) -> TexturedMesh:
    """In a stable pose over the origin, its lowest point at z = 0."""
    R = np.eye(3) if mesh.upright and rng.random() < 0.7 else sample_stable_pose(mesh.vertices, rng)
    return _turned(mesh, yaw(rng.uniform(0, 2 * np.pi)) @ R)


def _moved(mesh: TexturedMesh, step: F64) -> TexturedMesh:
    return replace(mesh, vertices=mesh.vertices + step)


def surface_points(mesh: TexturedMesh, rng: Rng, count: int = 900) -> F64:
    """Points (N, 3) on a mesh: its vertices, or some of them, and as many in its faces, in proportion to area."""
    vertices = mesh.vertices
    if len(vertices) > count:
        vertices = vertices[rng.choice(len(vertices), count, replace=False)]
    a, b, c = (mesh.vertices[mesh.faces[:, k]] for k in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    face = rng.choice(len(area), count, p=area / area.sum())
    u, v = rng.random((2, count, 1))
    fold = u + v > 1
    u, v = np.where(fold, 1 - u, u), np.where(fold, 1 - v, v)
    return np.concatenate([vertices, a[face] + u * (b - a)[face] + v * (c - a)[face]])


def _group(placed: list[TexturedMesh], rng: Rng) -> _Group:
    vertices = np.concatenate([mesh.vertices for mesh in placed])
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in placed)])
    faces = np.concatenate([mesh.faces + np.int32(start) for mesh, start in zip(placed, starts, strict=False)])
    return _Group(RayScene(vertices, faces), np.concatenate([surface_points(mesh, rng) for mesh in placed]))


def _free_path(mesh: TexturedMesh, group: _Group, direction: F64, rng: Rng) -> tuple[float, F64]:
    """How far the mesh may go along a unit direction until it meets the group, metres (inf: it never does), and where
    the two meet then."""
    own = surface_points(mesh, rng)
    best, at = math.inf, np.zeros(3)
    for rays, points, sign in ((group.rays, own, 1.0), (RayScene(mesh.vertices, mesh.faces), group.points, -1.0)):
        ahead = np.broadcast_to(sign * direction, points.shape).astype(np.float32)
        t, _, _ = rays.cast(points.astype(np.float32), ahead)
        k = int(t.argmin())
        if t[k] < best:
            best = float(t[k])
            at = points[k] + (direction * best if sign > 0 else 0.0)
    return best, at


def _another(
    mesh: TexturedMesh, placed: list[TexturedMesh], rig: TabletopRig, rng: Rng
) -> tuple[TexturedMesh | None, str]:
    """The mesh somewhere about what is placed, and how: None where there is no room within reach."""
    group = _group(placed, rng)
    kind = rng.random()
    for _ in range(TRIES):
        anchor = placed[0 if rng.random() < 0.6 else rng.integers(len(placed))]
        if kind < rig.leaning:
            found, how = _leaning(mesh, anchor, group, rng), "leaning"
        elif kind < rig.leaning + rig.stacked:
            found, how = _stacked(mesh, anchor, group, rng), "stacked"
        else:
            break
        if found is not None and _within(found, rig):
            return found, how
    kind = rng.random()
    how = "touching" if kind < rig.touching else "near" if kind < rig.touching + rig.near else "apart"
    for _ in range(TRIES):
        anchor = placed[0 if rng.random() < 0.6 else rng.integers(len(placed))]
        gap = {"touching": SLACK, "near": rng.uniform(0.003, 0.03), "apart": rng.uniform(0.05, 0.15)}[how]
        found = _slid(_standing(mesh, rng), anchor, group, gap, rng)
        if found is not None and _within(found, rig):
            return found, how
    return None, ""


def _within(mesh: TexturedMesh, rig: TabletopRig) -> bool:
    middle = (mesh.vertices.min(0) + mesh.vertices.max(0)) / 2
    return float(np.hypot(*middle[:2])) < rig.reach


def _slid(mesh: TexturedMesh, anchor: TexturedMesh, group: _Group, gap: float, rng: Rng) -> TexturedMesh | None:
    """Slid over the table towards the anchor until ``gap`` is left before it, or before what is in the way."""
    low, high = anchor.vertices.min(0), anchor.vertices.max(0)
    angle = rng.uniform(0, 2 * np.pi)
    towards = -np.array([math.cos(angle), math.sin(angle), 0.0])
    across = (
        np.array([-towards[1], towards[0], 0.0])
        * rng.uniform(-0.3, 0.3)
        * float(np.ptp(anchor.vertices, axis=0)[:2].min())
    )
    start = np.array([*(low + high)[:2] / 2, 0.0]) + across - 1.5 * towards
    there = _moved(mesh, start)
    free, _ = _free_path(there, group, towards, rng)
    return _moved(there, (free - gap) * towards) if math.isfinite(free) else None


def _leaning(mesh: TexturedMesh, anchor: TexturedMesh, group: _Group, rng: Rng) -> TexturedMesh | None:
    """On its end and tilted, its upper part against the anchor; None where it is not long or meets it too low."""
    size = np.ptp(mesh.vertices, axis=0)
    longest = int(size.argmax())
    if size[longest] < 1.25 * np.sort(size)[1] or size[longest] < 0.06:
        return None
    up = np.roll(np.eye(3), (2 - longest) % 3, axis=0)  # the longest axis onto z
    up = up if rng.random() < 0.5 else np.diag([1.0, -1.0, -1.0]) @ up
    angle, tilt = rng.uniform(0, 2 * np.pi), math.radians(rng.uniform(12, 50))
    c, s = math.cos(tilt), math.sin(tilt)
    lean = np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])  # the top goes towards +x
    mesh = _turned(mesh, yaw(angle) @ lean @ yaw(rng.choice([0.0, 0.5]) * np.pi) @ up)
    towards = np.array([math.cos(angle), math.sin(angle), 0.0])
    middle = (anchor.vertices.min(0) + anchor.vertices.max(0)) / 2
    there = _moved(mesh, np.array([*middle[:2], 0.0]) - 1.5 * towards)
    free, at = _free_path(there, group, towards, rng)
    if not math.isfinite(free) or at[2] < 0.35 * float(np.ptp(mesh.vertices[:, 2])):
        return None
    return _moved(there, (free - SLACK) * towards)


def _stacked(mesh: TexturedMesh, anchor: TexturedMesh, group: _Group, rng: Rng) -> TexturedMesh | None:
    """Let down onto the anchor in a stable pose; None where what carries it is not all around below its middle."""
    from scipy.spatial import ConvexHull, QhullError

    mesh = _standing(mesh, rng)
    low, high = anchor.vertices.min(0), anchor.vertices.max(0)
    middle = (low + high)[:2] / 2 + rng.uniform(-0.25, 0.25, 2) * (high - low)[:2]
    there = _moved(mesh, np.array([*middle, 1.0]))
    down = np.array([0.0, 0.0, -1.0])
    free, _ = _free_path(there, group, down, rng)
    if not math.isfinite(free):
        return None
    there = _moved(there, (free - SLACK) * down)
    points = surface_points(there, rng, 2000)
    points = points[points[:, 2] < there.vertices[:, 2].min() + SUPPORT]
    t, _, _ = group.rays.cast(
        (points + np.array([0, 0, 1e-4])).astype(np.float32), np.broadcast_to(down, points.shape).astype(np.float32)
    )
    held = points[t < SUPPORT, :2]
    if len(held) < 8:
        return None
    try:
        base = ConvexHull(held).equations
    except QhullError:  # in a line
        return None
    centre = surface_points(there, rng, 2000)[-2000:, :2].mean(0)
    return there if (base[:, :2] @ centre + base[:, 2] < -2e-3).all() else None
