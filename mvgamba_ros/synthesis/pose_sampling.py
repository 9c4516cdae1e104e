"""Pose sampling: how an object stands on a plane, or floats, and where the cameras around it are."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mvgamba_ros.config.bounds import bounded
from mvgamba_ros.geometry.se3 import rigid
from mvgamba_ros.synthesis.data_format import INPUT_VIEWS
from mvgamba_ros.synthesis.draw import rotation
from mvgamba_ros.types import F64

Rng = np.random.Generator


RINGS = {8: (0.0,), 6: (20.0, -10.0)}
"""Evenly spaced cameras on a ring and their elevations in turn, degrees: level ones, every second of which are those of
MVGamba, LGM, ImageDream and MVDream, and those of Zero123++."""


@dataclass(frozen=True)
class CameraRig:
    """The cameras around an object and how it stands before them. Input views come first, from 10 to 80 degrees of
    elevation; the others, from -30 to 85 degrees, only supervise."""

    views: int = bounded(12, 1, math.inf)
    """Views of an object: eight inputs, and four that show it from elsewhere."""
    inputs: int = bounded(INPUT_VIEWS, 1, math.inf)
    """The first so many views are inputs."""
    size: int = bounded(96, 1, math.inf)
    """Side of a stored view, pixels: not less than the network's crops, or it learns from enlarged pictures."""
    standing: float = 0.8
    """Share of objects that stand on the support plane; the others float, in any orientation."""
    distance: tuple[float, float] = (0.25, 0.9)
    """Camera to object, metres, where a wrist camera works; farther where the object would not fit the image."""
    width: int = 640
    """Of the image that the view is cropped from, pixels."""
    height: int = 480
    """Of the same image, pixels."""
    fov_deg: tuple[float, float] = (40.0, 75.0)
    """Horizontal field of view of that image, degrees: the lenses of common wrist cameras."""
    rings: float = bounded(0.0, 0.0, 1.0)
    """Share of objects whose inputs stand on a ring (`RINGS`), as the cameras of multi-view generators do: level, aimed
    at the middle, around an object that mostly floats; half of them without light or shadow."""
    ring_distance: tuple[float, float] = (1.8, 3.6)
    """Distance of a ring's cameras, radii of the object's bounding sphere: 1.5 of its longest side are 1.7 to 3."""
    margin: tuple[float, float] = (0.05, 0.2)
    """What a crop adds to the side of the object's bounding sphere, as a share of it."""


def sample_stable_pose(vertices: F64, rng: Rng) -> F64:
    """A rotation (3, 3) that stands the vertices in a stable pose: a face of their convex hull down, the hull's centre
    above that face. Poses are drawn in proportion to the face's area over its distance from the centre squared."""
    from scipy.spatial import ConvexHull

    hull = ConvexHull(vertices)
    normals, offsets = hull.equations[:, :3], hull.equations[:, 3]
    triangle = vertices[hull.simplices]
    area = np.linalg.norm(np.cross(triangle[:, 1] - triangle[:, 0], triangle[:, 2] - triangle[:, 0]), axis=1) / 2
    centroid = triangle.mean(1)
    # the hull's centre of mass, from the tetrahedra between its faces and a point inside
    inside = vertices[hull.vertices].mean(0)
    volume = -(inside @ normals.T + offsets) * area
    centre = ((centroid * 0.75 + inside * 0.25) * volume[:, None]).sum(0) / volume.sum()
    distance = -(centre @ normals.T + offsets)
    slack = 1e-4 * np.ptp(vertices, axis=0).max()
    weight = np.where(distance > slack, area / np.maximum(distance, slack) ** 2, 0)
    nearest = int(np.where(weight > 0, distance, np.inf).argmin())  # always stable
    tries = rng.choice(len(weight), 40, p=weight / weight.sum())
    for face in (*tries, nearest):
        foot = centre + normals[face] * distance[face]
        if (normals @ foot + offsets).max() < slack:
            break
    down = normals[face]
    return _turn_onto(down, np.array([0.0, 0.0, -1.0]))


def _turn_onto(a: F64, b: F64) -> F64:
    """The least rotation that takes unit a to unit b."""
    v, c = np.cross(a, b), float(a @ b)
    if c < -1 + 1e-9:
        return np.diag([1.0, -1.0, -1.0])
    V = np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])
    return np.eye(3) + V + V @ V / (1 + c)


def sample_ring(rig: CameraRig, rng: Rng) -> int:
    """How many of an object's inputs stand on a ring, one of `RINGS`; 0: none."""
    if not rig.rings or rng.random() >= rig.rings:  # without rings nothing is drawn
        return 0
    return int(rng.choice([n for n in RINGS if n <= rig.inputs]))


def sample_object_pose(
    vertices: F64, upright: bool, rig: CameraRig, rng: Rng, afloat: bool = False
) -> tuple[F64, float]:
    """A random pose of an object: its vertices (N, 3) in a world frame of any yaw and offset, metres, and the height of
    the plane they stand on (NaN when afloat). ``upright``: its own z is up, and mostly stays so. ``afloat``: the plane
    is never there."""
    standing = rng.random() < rig.standing
    if not standing:
        vertices = vertices @ rotation(rng).T
    elif not (upright and rng.random() < 0.7):
        vertices = vertices @ sample_stable_pose(vertices, rng).T
    yaw = rng.uniform(0, 2 * np.pi)
    c, s = np.cos(yaw), np.sin(yaw)
    vertices = vertices @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]).T
    middle = (vertices.min(0) + vertices.max(0)) / 2
    z0 = rng.uniform(-0.2, 0.8)
    vertices = vertices + np.array([*(rng.uniform(-0.6, 0.6, 2) - middle[:2]), z0 - vertices[:, 2].min()])
    return vertices, z0 if standing and not afloat else float("nan")


def aimed_pose(eye: F64, target: F64, roll: float) -> F64:
    """Camera-to-world pose (4, 4), OpenCV axes; ``roll`` 0 keeps the image's right side horizontal."""
    z = (target - eye) / np.linalg.norm(target - eye)
    level = np.hypot(z[0], z[1])
    x = np.array([z[1], -z[0], 0.0]) / level if level > 1e-9 else np.array([1.0, 0.0, 0.0])
    y = np.array([-z[2] * x[1], z[2] * x[0], z[0] * x[1] - z[1] * x[0]])  # z cross x
    axes = [np.cos(roll) * x + np.sin(roll) * y, np.cos(roll) * y - np.sin(roll) * x, z]
    return rigid(np.stack(axes, axis=1), eye)


def project_sphere(centre: F64, radius: float, f: float) -> F64:
    """(2, 2) least and greatest image coordinates, relative to the principal point, of a sphere in the camera frame."""
    out = np.empty((2, 2))
    for axis in range(2):
        a = np.arctan2(centre[axis], centre[2])
        b = np.arcsin(min(radius / np.hypot(centre[axis], centre[2]), 0.999))
        out[:, axis] = f * np.tan([a - b, a + b])
    return out


def sample_cameras(centre: F64, radius: float, rig: CameraRig, rng: Rng, ring: int = 0) -> tuple[F64, F64]:
    """Crop intrinsics ``K`` (V, 3, 3) and poses ``T_world_camera`` (V, 4, 4) around a bounding sphere, the first
    ``ring`` of them evenly on a ring."""
    f = rig.width / 2 / np.tan(np.radians(rng.uniform(*rig.fov_deg)) / 2)
    nearest = 1.05 * radius / np.sin(np.arctan(rig.height / 2 / f))
    usual = np.exp(rng.uniform(*np.log(rig.distance)))
    orbit = rng.uniform(15, 60) if rng.random() < 0.5 else None
    step = 2 * np.pi / rig.inputs
    order = np.r_[0 : rig.inputs : 2, 1 : rig.inputs : 2]  # the first half already goes all the way round
    start = rng.uniform(0, 2 * np.pi)
    apart = radius * rng.uniform(*rig.ring_distance) if ring else 0.0
    K, T = np.zeros((rig.views, 3, 3)), np.zeros((rig.views, 4, 4))
    for v in range(rig.views):
        if v < ring:
            azimuth = start + v * 2 * np.pi / ring
            elevation = np.radians(RINGS[ring][v % len(RINGS[ring])])
        elif v < rig.inputs:
            azimuth = start + order[v] * step + np.radians(rng.uniform(-30, 30))
            elevation = np.radians(np.clip(rng.normal(orbit, 7) if orbit else rng.uniform(10, 80), 10, 80))
        else:
            azimuth = rng.uniform(0, 2 * np.pi)
            elevation = np.arcsin(rng.uniform(np.sin(np.radians(-30)), np.sin(np.radians(85))))
        distance = max(np.clip(usual * np.exp(rng.normal(0, 0.12)), *rig.distance), nearest) if v >= ring else apart
        ray = np.array([np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)])
        roll = rng.normal(0, np.radians(10)) if rng.random() < 0.8 else rng.uniform(-np.pi, np.pi)
        roll = 0.0 if v < ring else roll
        eye = centre + distance * ray
        # aim beside the object, as far as leaves its sphere inside the image
        room = max(rig.height / 2 / f * distance - 1.05 * radius, 0) * rng.uniform(0, 0.8) * (v >= ring)
        side = rng.uniform(0, 2 * np.pi)
        level = aimed_pose(eye, centre, 0.0)
        T[v] = aimed_pose(eye, centre + room * (np.cos(side) * level[:3, 0] + np.sin(side) * level[:3, 1]), roll)
        box = project_sphere(T[v, :3, :3].T @ (centre - eye), radius, f)
        margin = rng.uniform(*rig.margin)
        tight = np.ptp(box, axis=0).max()
        low = box.mean(0) - tight * (1 + margin) / 2 + rng.uniform(-0.25, 0.25, 2) * margin * tight
        zoom = rig.size / (tight * (1 + margin))
        K[v] = [[f * zoom, 0, -low[0] * zoom], [0, f * zoom, -low[1] * zoom], [0, 0, 1]]
    return K, T
