"""Tabletop scenes as a robot's wrist camera photographs them, with every object's pixels, depth and bounds.

What a segmenter learns from: one to eight objects apart, touching, leaning or stacked, in many materials, on many kinds
of table, in trays and bins, with shadows, the arm and its gripper, and with the camera's and the robot's own errors.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mvgamba_ros.geometry.se3 import rigid
from mvgamba_ros.synthesis import textures as tex
from mvgamba_ros.synthesis.shading import Light, Rng, sample_light, tone_map
from mvgamba_ros.synthesis.table_textures import table_tile
from mvgamba_ros.synthesis.tabletop_arm import gripper, hover, is_clear, mount, moved
from mvgamba_ros.synthesis.tabletop_beam import sample_beam
from mvgamba_ros.synthesis.tabletop_camera import decoded, photograph, place_cameras, reported_poses, sample_sensor
from mvgamba_ros.synthesis.tabletop_ground import ground
from mvgamba_ros.synthesis.tabletop_layout import lay_out
from mvgamba_ros.synthesis.tabletop_materials import Item, an_own_colour, finished, of_material, painted_as
from mvgamba_ros.synthesis.tabletop_render import Stage, picture
from mvgamba_ros.synthesis.tabletop_rig import TabletopRig
from mvgamba_ros.synthesis.tabletop_shader import room_light
from mvgamba_ros.synthesis.textured_mesh import TexturedMesh
from mvgamba_ros.synthesis.thin_objects import THIN
from mvgamba_ros.types import F64, U8, View

RIG = TabletopRig()
MEAN_LIGHT = 0.22
"""Linear light that a camera's metering makes of a picture's mean."""
INTO_BIN_DEG = 38.0
"""Least elevation of cameras that see into a bin, degrees, where the rig's range allows it."""
RETRACTION = 0.02
"""Steps in which a gripper that would stand in something is drawn back, metres."""


@dataclass(frozen=True)
class TabletopScene:
    """A scene and its truth.

    Attributes:
        views: Pictures as the camera gives them, poses as the robot reports them, true z-depth in metres (0 where
            nothing is); no masks.
        instances: Per view (H, W): 0 where the pixel's centre shows no object, else the object's number from 1. The
            first object is about the scene's middle.
        bounds: (N, 2, 3) least and greatest corner of each whole object in the world, metres.
        support_height: World z of what the objects stand on, metres: of a tray its floor.
        kinds: What is special in it, e.g. ("gripper", "table_colour", "touching"), sorted.
        jpegs: The pictures as the camera sends them.
        shapes: Each whole object's surface, where ``bounds`` has it; empty where a scene was read from a file.
    """

    views: list[View]
    instances: list[U8]
    bounds: F64
    support_height: float
    kinds: tuple[str, ...]
    jpegs: tuple[bytes, ...]
    shapes: tuple[TexturedMesh, ...] = ()


def tabletop_scene(seed: int, index: int, rig: TabletopRig = RIG) -> TabletopScene:
    """The ``index``-th scene of a ``seed``: always the same."""
    rng = np.random.default_rng([seed, index, 23])
    meshes, kinds = lay_out(rig, rng)
    kinds |= {"thin" for mesh in meshes if mesh.family in THIN}
    items, tile, special = _coloured(meshes, rig, rng)
    kinds |= special
    bounds = np.array([[mesh.vertices.min(0), mesh.vertices.max(0)] for mesh in meshes])
    group = np.stack([bounds[:, 0].min(0), bounds[:, 1].max(0)])
    things, special = ground(group, tile, rig, rng)
    kinds |= special
    light = _over(tile, sample_light(rng))
    if rng.random() < rig.hard_shadow:
        light = replace(light, softness=float(rng.uniform(0.004, 0.02)))
        kinds.add("hard_shadow")
    beam, special = sample_beam(light, rig, rng)
    kinds |= special
    camera, poses, cuts = place_cameras(bounds, _above_walls(rig) if "bin" in kinds else rig, rng)
    kinds |= {"cut_off"} if cuts else set()
    arms = _arms(poses, bounds, rig, rng)
    environment = room_light(light, rng)
    spread = float(np.median(np.ptp(bounds, axis=1).max(1))) / 2
    stage, metered = None, None
    sensor, exposures = sample_sensor(rig, rng), rng.normal(0, 0.08, len(poses))
    jpegs, instances, depths = [], [], []
    for pose, (arm, role), exposure in zip(poses, arms, exposures, strict=True):
        if stage is None or arm is not None:
            stage = Stage(
                [*items, *things, *([Item(arm)] if arm is not None else [])], light, beam, environment, spread
            )
        linear, label, depth = picture(stage, camera, pose, rng)
        metered = float(linear.mean()) if metered is None or sensor.every_view else metered
        gain = 2.0**exposure * (MEAN_LIGHT / max(metered, 1e-3)) ** sensor.metering
        kinds |= {role} if role else set()
        jpegs.append(photograph(tone_map(linear, light, gain), sensor, rig, rng))
        instances.append(label)
        depths.append(depth)
        if arm is not None:
            stage = None
    offset = np.array([*rng.uniform(-0.6, 0.6, 2), rng.uniform(-0.2, 0.8)])
    world = rigid(np.eye(3), offset)
    views = [
        View(decoded(jpeg), camera, world @ pose, depth=depth)
        for jpeg, pose, depth in zip(jpegs, reported_poses(poses, rig, rng), depths, strict=True)
    ]
    shapes = tuple(replace(mesh, vertices=mesh.vertices + offset) for mesh in meshes)
    return TabletopScene(
        views, instances, bounds + offset, float(offset[2]), tuple(sorted(kinds)), tuple(jpegs), shapes
    )


def _coloured(meshes: list[TexturedMesh], rig: TabletopRig, rng: Rng) -> tuple[list[Item], U8, set[str]]:
    """The objects in their materials, the tile of what they stand on, and what is special in them."""
    drawn, kinds = rng.random(), set()
    tile = table_tile(rng)
    items = []
    for label, mesh in enumerate(meshes, 1):
        item, kind = finished(mesh, rig, rng)
        items.append(replace(item, label=label))
        kinds |= {kind} if kind else set()
    if drawn < rig.pale + rig.black:
        material = "white" if drawn < rig.pale else "dark"
        base = np.full(3, rng.uniform(205, 250) if drawn < rig.pale else np.exp(rng.uniform(np.log(8), np.log(45))))
        base = base + rng.normal(0, 4, 3)
        pattern = tile.astype(np.float32) - tile.mean((0, 1))
        spread = rng.uniform(0, 0.15)
        tile = np.clip(pattern * spread + base, 0, 255).astype(np.uint8)
        for k, item in enumerate(items):
            if not item.clear and (k == 0 or rng.random() < 0.7):
                items[k] = replace(of_material(item.mesh, material, rng), label=item.label)
        kinds.add("white_on_white" if drawn < rig.pale else "dark_on_dark")
    elif drawn < rig.pale + rig.black + rig.table_colour:
        kinds.add("table_colour")
        if rng.random() < 0.5:
            own = an_own_colour(items[0].mesh, rng) * rng.uniform(0.6, 1.2) + rng.normal(0, 8, 3)
            pattern = tile.astype(np.float32) - tile.mean((0, 1))
            tile = np.clip(pattern * rng.uniform(0.1, 1.0) + own, 0, 255).astype(np.uint8)
        else:
            if rng.random() < 0.2:
                tile = tex.anything(rng)
            for k, item in enumerate(items):
                if not item.clear and (k == 0 or rng.random() < 0.3):
                    items[k] = replace(item, mesh=painted_as(item.mesh, tile, rng))
    return items, tile, kinds


def _over(tile: U8, light: Light) -> Light:
    """The light where what comes from below has been thrown back by a table of this tile."""
    albedo = ((tile / 255.0) ** 2.2).mean((0, 1))
    return replace(light, ground=(light.ground * (0.15 + 1.7 * albedo)).astype(np.float32))


def _above_walls(rig: TabletopRig) -> TabletopRig:
    """With cameras that see into a bin."""
    low, high = rig.elevation_deg
    return replace(rig, elevation_deg=(min(max(low, INTO_BIN_DEG), high), high))


def _arms(poses: list[F64], bounds: F64, rig: TabletopRig, rng: Rng) -> list[tuple[TexturedMesh | None, str]]:
    """For each view the gripper that is about, if any, and whether it is the camera's own."""
    own = rng.random() < rig.arm
    other = not own and rng.random() < rig.hovering
    if not own and not other:
        return [(None, "")] * len(poses)
    hand = gripper(rng, (0.15, 0.4) if own else (0.6, 1.2))
    if own:
        mounted = mount(rng)
        hands = [moved(hand, pose @ mounted) for pose in poses]
        while not all(is_clear(each.vertices, bounds) for each in hands):
            mounted[2, 3] -= RETRACTION  # towards the camera, which is clear itself
            hands = [moved(hand, pose @ mounted) for pose in poses]
        return [(each, "arm") for each in hands]
    group = np.stack([bounds[:, 0].min(0), bounds[:, 1].max(0)])
    above = np.array([*rng.uniform(group[0, :2], group[1, :2]), group[1, 2]])
    some = rng.random(len(poses)) < 0.7
    return [(moved(hand, hover(above, rng)), "gripper") if there else (None, "") for there in some]
