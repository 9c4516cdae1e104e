"""Objects before procedural backgrounds: views with a table, shadows and an environment map, and true silhouettes.

What the objectness network learns from. The table is anything a table may be made of, nearly half of the time in the
object's own colours; on it there may be mats and sheets of paper, blank, printed or with fiducial markers, under the
object or beside it. Some objects float before a wall or nothing, as on a gantry.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from mvgamba_ros.geometry.rays import rays
from mvgamba_ros.synthesis.draw import rotation
from mvgamba_ros.synthesis.pose_sampling import CameraRig, sample_cameras, sample_object_pose
from mvgamba_ros.synthesis.ray_scene import RayScene
from mvgamba_ros.synthesis.shading import (
    Rng,
    Shader,
    incident_light,
    rotate_normals,
    sample_light,
    smooth_light,
    tone_map,
)
from mvgamba_ros.synthesis.textured_mesh import Material, TexturedMesh
from mvgamba_ros.synthesis.textures import U8, anything, fiducials, metal, plain, printed, skin, wood
from mvgamba_ros.types import F32, F64, Bool, Camera, View

RIG = CameraRig(views=4, inputs=4, size=240, standing=0.85, margin=(0.5, 2.2))
CORNERS = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], np.float64)
FAR = np.array([1.5, 1.5])
"""Half a table's sides, metres."""
MATS = ((fiducials, 0.35), (plain, 0.3), (printed, 0.15), (anything, 0.2))
MAT, ANOTHER = 0.4, 0.3
"""How often there is a mat under the object, and another one about, on the table or on the first."""
THICKNESS = 3e-4
"""Of a mat, metres."""
TABLES = ((plain, 0.3), (wood, 0.2), (metal, 0.1), (skin, 0.1), (anything, 0.3))


@dataclass(frozen=True)
class _Scene:
    """One scene about its object: what rays hit (the object's ``own`` faces come first) and what casts shadows,
    the ``environment`` map around it, the table's height ``floor`` (NaN when afloat) and the object's ``radius``,
    metres."""

    visible: RayScene
    occluder: RayScene
    own: int
    shader: Shader
    environment: F32
    floor: float
    radius: float


def render_scene(mesh: TexturedMesh, rng: Rng, rig: CameraRig = RIG) -> tuple[list[View], F64]:
    """Views with masks, in a world whose z is up, and the object's lowest and highest corner, (2, 3) metres.

    A wall may hide the object from some views: their masks show what is left of it, if anything.
    """
    vertices, floor = sample_object_pose(mesh.vertices, mesh.upright, rig, rng)
    bounds = np.stack([vertices.min(0), vertices.max(0)])
    centre = bounds.mean(0)
    K, T = sample_cameras(centre, float(np.linalg.norm(vertices - centre, axis=1).max()), rig, rng)
    cameras = [Camera(K=k, width=rig.size, height=rig.size) for k in K]
    return render_views(replace(rotate_normals(mesh, vertices), vertices=vertices), floor, cameras, T, rng), bounds


def render_views(
    mesh: TexturedMesh,
    floor: float,
    cameras: Sequence[Camera],
    poses: Sequence[F64] | F64,
    rng: Rng,
    beside: TexturedMesh | None = None,
) -> list[View]:
    """Views with masks and depth of an object as it stands in the world, before a random background in random light.

    Args:
        mesh: The object in the world frame, metres; masks are of what is visible of it.
        floor: Height of the table that it stands on; NaN: it floats.
        cameras: One for each view, without distortion.
        poses: ``T_world_camera`` (4, 4) of each.
        rng: Draws light, table, mats, surroundings, blur and noise.
        beside: What else stands on the table, in the same frame.
    """
    centre = (mesh.vertices.min(0) + mesh.vertices.max(0)) / 2
    radius = float(np.linalg.norm(mesh.vertices - centre, axis=1).max())
    light = sample_light(rng)
    if rng.random() < 0.4:
        light = replace(light, softness=0.01)  # a shadow as sharp as an object
    thing = mesh if beside is None else join(mesh, beside)
    thing = replace(thing, vertices=thing.vertices - centre)
    scene = thing
    if np.isfinite(floor):
        scene = _on_table(thing, floor - centre[2], radius, rng)
    elif rng.random() < 0.5:
        # a wall or a cloth behind it, seen by some of the views
        R = rotation(rng)
        at = -R[:, 2] * radius * rng.uniform(1.1, 3.0)
        scene = join(thing, sheet(at, R, FAR, _repeats(rng), _table_tile(mesh, rng), rng))
    visible, occluder = RayScene(scene.vertices, scene.faces), RayScene(thing.vertices, thing.faces)
    shader = Shader(scene, scene.vertices, light)
    environment = _environment_map(rng, dark=not np.isfinite(floor) and rng.random() < 0.6)
    setup = _Scene(visible, occluder, len(mesh.faces), shader, environment, floor - centre[2], radius)
    noise, blur = rng.uniform(0, 4), rng.uniform(0.45, 1.0)
    views = []
    for camera, pose in zip(cameras, poses, strict=True):
        near = pose.copy()
        near[:3, 3] -= centre
        image, mask, depth = _picture(setup, camera, near, rng)
        image = cv2.GaussianBlur(image, (0, 0), blur) + noise * rng.standard_normal(image.shape, np.float32)
        views.append(View(np.clip(np.rint(image), 0, 255).astype(np.uint8), camera, pose, mask=mask, depth=depth))
    return views


def _table_tile(mesh: TexturedMesh, rng: Rng) -> U8:
    draw = TABLES[rng.choice(len(TABLES), p=[share for _, share in TABLES])][0]
    tile = draw(rng).astype(np.float32)
    if rng.random() < 0.35:  # greys and browns, as tables are
        grey = tile.mean(axis=-1, keepdims=True)
        tile = grey + rng.uniform(0, 0.3) * (tile - grey)
    if rng.random() < 0.45:
        # as the object, lighter or darker
        some = mesh.textures[rng.choice(mesh.tile)].reshape(-1, 3).astype(np.float32)
        own = some[rng.integers(len(some))] * rng.uniform(0.5, 1.3)
        tile = (tile - tile.mean((0, 1))) * rng.uniform(0.2, 1.0) + own + rng.normal(0, 12, 3)
    return np.clip(tile, 0, 255).astype(np.uint8)


def _on_table(thing: TexturedMesh, floor: float, radius: float, rng: Rng) -> TexturedMesh:
    """``thing`` on a table and perhaps on mats, whose top one it touches."""
    mats = []
    if rng.random() < MAT:
        mats.append(rng.uniform(-0.4, 0.4, 2))
    if rng.random() < ANOTHER:
        mats.append(rng.uniform(-2.0, 2.0, 2))
    scene, at = thing, np.array([0.0, 0.0, floor - len(mats) * THICKNESS])
    scene = join(scene, sheet(at, np.eye(3), FAR, _repeats(rng), _table_tile(thing, rng), rng))
    for offset in mats:
        half = radius * np.exp(rng.uniform(np.log(0.8), np.log(4.0))) * rng.uniform(0.6, 1.0, 2)
        turn = rng.uniform(0, 2 * np.pi)
        R = np.eye(3)
        R[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
        at = at + np.array([0.0, 0.0, THICKNESS])
        draw = MATS[rng.choice(len(MATS), p=[share for _, share in MATS])][0]
        middle = at + R @ np.array([*(offset * half), 0.0])
        scene = join(scene, sheet(middle, R, half, CORNERS / 2 + 0.5, draw(rng), rng))
    return scene


def _repeats(rng: Rng) -> F64:
    """(4, 2) texture coordinates of a table's corners: its tile again and again, turned somehow."""
    uv = (CORNERS / 2 + 0.5) * (2 * FAR / np.exp(rng.uniform(np.log(0.06), np.log(0.7))))
    turn = rng.uniform(0, 2 * np.pi)
    return uv @ np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) + 50.0


def sheet(at: F64, R: F64, half: F64, uv: F64, tile: U8, rng: Rng) -> TexturedMesh:
    """A rectangle around ``at``, of ``half`` sides along the first two columns of ``R``, metres, its corners at ``uv``
    (4, 2) of a ``tile``."""
    corners = np.column_stack([CORNERS * half, np.zeros(4)])
    faces = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    return TexturedMesh(
        vertices=at + corners @ R.T,
        faces=faces,
        normals=np.broadcast_to(R[:, 2], (2, 3, 3)).astype(np.float32),
        uv=uv[faces].astype(np.float32),
        tile=np.zeros(2, np.int32),
        textures=tile[None],
        material=np.zeros(2, np.int32),
        materials=(Material(float(rng.uniform(0, 0.3)), float(rng.uniform(5, 60))),),
        family="sheet",
    )


def join(first: TexturedMesh, second: TexturedMesh) -> TexturedMesh:
    """Both as one, named as the first, whose faces come first; their textures are of one size."""
    return replace(
        first,
        vertices=np.concatenate([first.vertices, second.vertices]),
        faces=np.concatenate([first.faces, second.faces + np.int32(len(first.vertices))]),
        normals=np.concatenate([first.normals, second.normals]),
        uv=np.concatenate([first.uv, second.uv]),
        tile=np.concatenate([first.tile, second.tile + np.int32(len(first.textures))]),
        textures=np.concatenate([first.textures, second.textures]),
        material=np.concatenate([first.material, second.material + np.int32(len(first.materials))]),
        materials=first.materials + second.materials,
    )


def _environment_map(rng: Rng, dark: bool) -> F32:
    """(64, 64, 3) linear colours by direction: azimuth across, elevation down."""
    picture = cv2.resize(anything(rng), (64, 64), interpolation=cv2.INTER_AREA).astype(np.float32) / 255.0
    smooth = np.asarray(cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.5, 8.0)), np.float32)
    return np.asarray(smooth**2.2 * (rng.uniform(0.0, 0.03) if dark else rng.uniform(0.3, 1.0)), np.float32)


def _picture(scene: _Scene, camera: Camera, T: F64, rng: Rng) -> tuple[F32, Bool, F32]:
    """One view, (H, W, 3) in [0, 255], where the object is, and the z-depth, metres, 0 where nothing is."""
    light, shape = scene.shader.light, (camera.height, camera.width)
    origin, directions = rays(camera, T)
    eye, direction = origin.astype(np.float32), directions.reshape(-1, 3).astype(np.float32)
    t, face, bary = scene.visible.cast(np.broadcast_to(eye, direction.shape), direction)
    hit = np.isfinite(t)
    mask = hit & (face < scene.own)
    color = np.zeros((len(t), 3), np.float32)
    for part in (mask, hit & ~mask):
        where = np.flatnonzero(part)
        if not len(where):
            continue
        ahead = direction[where]
        normals = scene.shader.facing(face[where], ahead)
        around = incident_light(
            scene.occluder, eye + ahead * t[where, None], normals, light, scene.floor, scene.radius, rng
        )
        reaching = smooth_light(around, where, shape, 0, 1.2)[where]
        color[where] = scene.shader.shade(face[where], bary[where], -ahead, reaching[:, :3], reaching[:, 3])
    away = np.flatnonzero(~hit)
    d = direction[away]
    u = ((np.arctan2(d[:, 1], d[:, 0]) / (2 * np.pi) + 0.5) * 63.99).astype(int)
    v = np.clip((0.5 - 0.5 * d[:, 2]) * 64, 0, 63).astype(int)
    color[away] = scene.environment[v, u]
    developed = tone_map(np.minimum(color, 4.0), light, 2.0 ** rng.normal(0, 0.06))
    depth = np.where(hit, t * (direction @ T[:3, 2].astype(np.float32)), np.float32(0))
    return developed.reshape(*shape, 3), mask.reshape(shape), depth.reshape(shape)
