"""Procedural objects on a table as the camera at a robot's wrist photographs them, with masks, depth and true shapes.

What the package's trust in its own answers is calibrated on and measured by, where captures of real objects must not
be.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from mvgamba_ros.config.bounds import bounded
from mvgamba_ros.synthesis.backgrounds import join, render_views
from mvgamba_ros.synthesis.families import DrawnObjects, Procedural
from mvgamba_ros.synthesis.pose_sampling import aimed_pose, sample_stable_pose
from mvgamba_ros.synthesis.ray_scene import RayScene
from mvgamba_ros.synthesis.render import reaches_outside
from mvgamba_ros.synthesis.shading import Rng, rotate_normals
from mvgamba_ros.synthesis.textured_mesh import TexturedMesh
from mvgamba_ros.types import F64, Camera, Mesh, View


@dataclass(frozen=True)
class OrbitRig:
    """How a wrist camera goes round an object on a table. All set by hand, as robots do it."""

    views: int = bounded(8, 1, 64)
    """Pictures of a capture, evenly around; every second or every other of them make smaller sets."""
    width: int = bounded(640, 16, 8192)
    """Of the pictures, pixels."""
    height: int = bounded(480, 16, 8192)
    """Of the pictures, pixels."""
    focal: tuple[float, float] = bounded((0.85, 1.06), 0.1, 10.0)
    """Focal length as a share of the width: 544 to 678 pixels of 640."""
    distance: tuple[float, float] = bounded((0.35, 0.8), 0.05, 10.0)
    """Camera to object, metres; farther where the object would not fit the picture."""
    elevation_deg: tuple[float, float] = bounded((25.0, 60.0), 0.0, 90.0)
    """Of the orbit above the table, degrees."""
    jitter_deg: float = bounded(6.0, 0.0, 45.0)
    """Sigma of each camera's place about the orbit's even ones, degrees."""
    side: tuple[float, float] = bounded((0.05, 0.22), 0.001, 10.0)
    """Longest side of the objects, metres; those of the families are scaled into it."""
    crowded: float = bounded(0.25, 0.0, 1.0)
    """Share of captures with one to three other objects about."""
    gap: tuple[float, float] = bounded((0.03, 0.12), 0.0, 10.0)
    """Between the spheres around the object and around another one, seen from above, metres."""


@dataclass(frozen=True)
class RobotCapture:
    """Posed ``views`` with the object's visible pixels as masks and z-depth in metres, and the ``truth``: what of the
    object's surface can be reached from outside, metres, in the views' world frame, where the table is z = 0."""

    name: str
    views: list[View]
    truth: Mesh


def robot_capture(
    seed: int, index: int, rig: OrbitRig = OrbitRig(), drawn: type[DrawnObjects] = Procedural
) -> RobotCapture:
    """The ``index``-th capture of a ``seed``, of objects as ``drawn``: always the same."""
    rng = np.random.default_rng([seed, index, 11])
    at = np.array([*rng.uniform(-0.1, 0.1, 2), 0.0])
    objects = drawn(seed, 4 * (index + 1))
    thing = _standing(objects[4 * index], at, rig, rng)
    beside = None
    if rng.random() < rig.crowded:
        for k in range(int(rng.integers(1, 4))):
            other = _standing(objects[4 * index + 1 + k], at, rig, rng)
            reach = sum(float(np.ptp(mesh.vertices[:, :2], axis=0).max()) / 2 for mesh in (thing, other))
            away = rng.uniform(0, 2 * np.pi)
            step = (reach + rng.uniform(*rig.gap)) * np.array([np.cos(away), np.sin(away), 0.0])
            other = replace(other, vertices=other.vertices + step)
            beside = other if beside is None else join(beside, other)
    cameras, poses = _orbit(thing.vertices, rig, rng)
    views = render_views(thing, 0.0, cameras, poses, rng, beside)
    return RobotCapture(f"{seed:04d}-{index:03d}-{thing.family}", views, outer_surface(thing, rng))


def _standing(mesh: TexturedMesh, at: F64, rig: OrbitRig, rng: Rng) -> TexturedMesh:
    """The object in a stable pose on the table around ``at``, with a longest side in the rig's range."""
    vertices = mesh.vertices
    if not (mesh.upright and rng.random() < 0.7):
        vertices = vertices @ sample_stable_pose(vertices, rng).T
    yaw = rng.uniform(0, 2 * np.pi)
    c, s = math.cos(yaw), math.sin(yaw)
    vertices = vertices @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]).T
    turned = rotate_normals(mesh, vertices)
    side = float(np.ptp(vertices, axis=0).max())
    vertices = vertices * (float(np.clip(side, *rig.side)) / side)
    low, high = vertices.min(0), vertices.max(0)
    return replace(turned, vertices=vertices + at - [*(low + high)[:2] / 2, low[2]])


def _orbit(vertices: F64, rig: OrbitRig, rng: Rng) -> tuple[list[Camera], list[F64]]:
    """Cameras around the vertices (N, 3), and their poses."""
    centre = (vertices.min(0) + vertices.max(0)) / 2
    radius = float(np.linalg.norm(vertices - centre, axis=1).max())
    focal = rig.width * rng.uniform(*rig.focal)
    K = np.array([[focal, 0, rig.width / 2], [0, focal, rig.height / 2], [0, 0, 1]])
    K[:2, 2] += rng.normal(0, 0.01, 2) * rig.width
    nearest = 1.15 * radius / math.sin(math.atan(rig.height / 2 / focal))
    usual, orbit, start = rng.uniform(*rig.distance), rng.uniform(*rig.elevation_deg), rng.uniform(0, 2 * np.pi)
    poses = []
    for view in range(rig.views):
        azimuth = start + 2 * np.pi * view / rig.views + math.radians(rng.normal(0, rig.jitter_deg))
        elevation = math.radians(np.clip(orbit + rng.normal(0, rig.jitter_deg), *rig.elevation_deg))
        away = np.array([math.cos(azimuth) * math.cos(elevation), math.sin(azimuth) * math.cos(elevation), 0.0])
        away[2] = math.sin(elevation)
        distance = max(usual * math.exp(rng.normal(0, 0.05)), nearest)
        aim = centre + rng.uniform(-0.1, 0.1, 3) * radius
        poses.append(aimed_pose(centre + distance * away, aim, rng.normal(0, math.radians(5))))
    return [Camera(K, rig.width, rig.height)] * rig.views, poses


def outer_surface(mesh: TexturedMesh, rng: Rng) -> Mesh:
    """Without the faces inside of other parts, which no straight line leads out of."""
    corners = mesh.vertices[mesh.faces]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(cross, axis=1)
    normals = (cross / np.maximum(area, 1e-30)[:, None]).astype(np.float32)
    rays = RayScene(mesh.vertices, mesh.faces)
    lift = np.float32(1e-5 + 1e-4 * np.ptp(mesh.vertices))
    outside = np.zeros(len(corners), bool)
    inward = np.full((4, 3), 1 / 3)
    inward[1:] = 0.8 * np.eye(3) + 0.2 / 3
    for weights in inward:  # the middle, and near each corner
        left = np.flatnonzero(~outside & (area > 0))
        points = (weights @ corners[left]).astype(np.float32) + lift * normals[left]
        outside[left] = reaches_outside(rays, points, normals[left], rng)
    return Mesh(mesh.vertices, mesh.faces[outside], np.full((len(mesh.vertices), 3), 160, np.uint8))
