"""The simulated world as one MuJoCo model: a Franka Panda bolted to a table, a wrist camera, an object, light.

Frames: the world is ``base_link``, the table top is z = 0. The arm and its gripper are robosuite's Panda. Its torque
motors are replaced by position servos with the gains of a real arm's joint controller, and its links feel no gravity,
as under the gravity compensation that the real controller always runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from transforms3d.quaternions import axangle2quat, qmult

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.sim.engine import mujoco
from mvgamba_ros.sim.objects import assets, object_spec

JOINTS = tuple(f"joint{i}" for i in range(1, 8))
FINGERS = ("gripper_finger_joint1", "gripper_finger_joint2")
STIFFNESS = (4500.0, 4500.0, 3500.0, 3500.0, 2000.0, 2000.0, 2000.0)  # N m / rad
DAMPING = (450.0, 450.0, 350.0, 350.0, 200.0, 200.0, 200.0)  # N m s / rad
TORQUE_LIMIT = (87.0, 87.0, 87.0, 87.0, 12.0, 12.0, 12.0)  # N m, the real arm's
HOME = (0.0, -0.5, 0.0, -2.2, 0.0, 1.9, 0.785)  # rad: above the object, out of its way

CAMERA = "wrist_camera"
CAMERA_POSITION = (0.07, 0.0, 0.03)  # metres in the hand's frame: on a bracket, beside the gripper
TABLE_SIZE = (1.3, 1.5, 0.04)  # metres
TABLE_CENTER = (0.4, 0.0)
FLOOR_HEIGHT = -0.75
MAT_SIZE = (0.297, 0.21, 0.0003)
"""A4, metres. Without effect on contact: it is as thick as things sink in."""

X, Z = (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)

VISIBLE, HIDDEN = 1, 3
"""MuJoCo's geom groups: the arm's visual meshes, and its coarser collision hulls, which are not rendered."""


@dataclass(frozen=True)
class Scene:
    """What stands where. ``object_name``: see `objects.object_spec`. ``object_xy`` metres on the table, ``object_yaw``
    radians. ``table``: the texture of its top, one of `tables`. ``mat``: a picture file, printed on a sheet of paper of
    ``MAT_SIZE`` under the object; none if empty. ``width``, ``height``, ``fovy`` (radians, vertical):
    the camera."""

    object_name: str = "cereal"
    object_xy: tuple[float, float] = (0.45, 0.0)
    object_yaw: float = 0.4
    table: str = "light-wood"
    mat: str = ""
    width: int = 640
    height: int = 480
    fovy: float = float(np.deg2rad(42.0))


def tables() -> list[str]:
    """What a table's top may be made of."""
    return sorted(path.stem for path in (assets() / "textures").glob("*.png"))


def build(scene: Scene) -> mujoco.MjModel:
    """The compiled model: bodies ``link0`` .. ``link7``, ``right_hand``, ``object``; camera ``wrist_camera``; one free
    joint for the object, one position servo for each of the arm's joints and fingers. Raises BAD_OPTION for a table
    or mat that there is not."""
    if scene.mat and not Path(scene.mat).is_file():
        raise ReconstructionError(ErrorCode.BAD_OPTION, f"mat {scene.mat!r}: there is no such picture file")
    if scene.table not in tables():
        raise ReconstructionError(ErrorCode.BAD_OPTION, f"table {scene.table!r}: choose one of {', '.join(tables())}")
    spec = mujoco.MjSpec.from_file(str(assets() / "robots" / "panda" / "robot.xml"))
    spec.option.timestep = 0.002
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    gripper = mujoco.MjSpec.from_file(str(assets() / "grippers" / "panda_gripper.xml"))
    hand = spec.body("right_hand")
    hand.add_frame().attach_body(gripper.body("right_gripper"), "gripper_", "")
    for site in spec.sites:  # markers for people who train policies; a camera must not see them
        site.group = HIDDEN
    for geom in spec.body("base").find_all("geom"):
        geom.group = VISIBLE if geom.contype == 0 else HIDDEN
    _servos(spec)
    _wrist_camera(spec, scene)
    _surroundings(spec, scene)
    _object(spec, scene)
    for body in spec.body("base").find_all("body"):
        body.gravcomp = 1.0
    return spec.compile()


def _servos(spec: mujoco.MjSpec) -> None:
    for motor in list(spec.actuators):
        spec.delete(motor)
    for name, kp, kd, limit in zip(JOINTS, STIFFNESS, DAMPING, TORQUE_LIMIT, strict=True):
        servo = spec.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        servo.set_to_position(kp=kp, kv=kd)
        servo.forcelimited, servo.forcerange = True, [-limit, limit]
    for name in FINGERS:
        finger = spec.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        finger.set_to_position(kp=1000.0)


def _wrist_camera(spec: mujoco.MjSpec, scene: Scene) -> None:
    hand = spec.body("right_hand")
    for camera in list(spec.cameras):
        spec.delete(camera)
    # MuJoCo's optical axis is -z, with y up: a half turn about x makes it the hand's z, away from the wrist, and the
    # quarter turn puts the gripper below the picture.
    hand.add_camera(
        name=CAMERA,
        pos=CAMERA_POSITION,
        quat=qmult(axangle2quat(X, np.pi), axangle2quat(Z, -np.pi / 2)),
        fovy=np.rad2deg(scene.fovy),
        resolution=[scene.width, scene.height],
    )
    hand.add_geom(
        name="camera_body",
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=[0.0125, 0.045, 0.012],
        pos=[CAMERA_POSITION[0], 0.0, CAMERA_POSITION[2] - 0.014],
        rgba=[0.15, 0.15, 0.17, 1.0],
        mass=0.07,
        group=1,
    )


def _surroundings(spec: mujoco.MjSpec, scene: Scene) -> None:
    def material(name: str, file: str, repeat: tuple[float, float], reflectance: float = 0.0) -> str:
        path = str(assets() / "textures" / file)  # an absolute ``file`` stays as it is
        spec.add_texture(name=name, type=mujoco.mjtTexture.mjTEXTURE_2D, file=path)
        made = spec.add_material(name=name, texrepeat=list(repeat), specular=0.1, reflectance=reflectance)
        made.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = name
        return name

    world = spec.worldbody
    world.add_geom(
        name="table",
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=[side / 2 for side in TABLE_SIZE],
        pos=[*TABLE_CENTER, -TABLE_SIZE[2] / 2],
        material=material("table", f"{scene.table}.png", (2.0, 2.0)),
        friction=[1.0, 0.3, 0.1],
    )
    if scene.mat:
        world.add_geom(
            name="mat",
            type=mujoco.mjtGeom.mjGEOM_BOX,
            size=[side / 2 for side in MAT_SIZE],
            pos=[*scene.object_xy, MAT_SIZE[2] / 2],
            material=material("mat", str(Path(scene.mat).resolve()), (1.0, 1.0)),
            contype=0,
            conaffinity=0,
        )
    for x in (-1, 1):
        for y in (-1, 1):
            world.add_geom(
                type=mujoco.mjtGeom.mjGEOM_BOX,
                size=[0.03, 0.03, -FLOOR_HEIGHT / 2 - 0.02],
                pos=[
                    TABLE_CENTER[0] + x * (TABLE_SIZE[0] / 2 - 0.05),
                    TABLE_CENTER[1] + y * (TABLE_SIZE[1] / 2 - 0.05),
                    FLOOR_HEIGHT / 2 - 0.02,
                ],
                rgba=[0.35, 0.35, 0.37, 1.0],
            )
    world.add_geom(
        name="floor",
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        size=[4.0, 4.0, 0.1],
        pos=[0.0, 0.0, FLOOR_HEIGHT],
        material=material("floor", "gray-plaster.png", (4.0, 4.0)),
    )
    spec.add_texture(
        name="sky",
        type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
        rgb1=[0.85, 0.88, 0.92],
        rgb2=[0.45, 0.5, 0.58],
        width=64,
        height=64,
    )
    spec.visual.headlight.ambient = [0.4, 0.4, 0.4]
    spec.visual.headlight.diffuse = [0.1, 0.1, 0.1]
    spec.visual.headlight.specular = [0.0, 0.0, 0.0]
    spec.visual.map.znear = 0.01  # of the model's extent, see below
    spec.visual.quality.shadowsize = 1024  # most of the rendering time
    spec.visual.quality.offsamples = 4
    spec.stat.extent = 1.0
    window = world.add_light(pos=[0.2, 0.9, 2.0], dir=[0.1, -0.42, -0.9], diffuse=[0.42, 0.41, 0.38])
    window.specular, window.castshadow, window.cutoff, window.exponent = [0.2] * 3, True, 26.0, 0.0
    lamp = world.add_light(pos=[1.4, -0.8, 1.8], dir=[-0.45, 0.4, -0.8], diffuse=[0.25, 0.26, 0.29])
    lamp.specular, lamp.castshadow, lamp.cutoff, lamp.exponent = [0.1] * 3, False, 60.0, 0.0


def _object(spec: mujoco.MjSpec, scene: Scene) -> None:
    shipped = object_spec(scene.object_name)
    spec.assets = shipped.assets  # attaching a body leaves the files held in memory behind
    place = spec.worldbody.add_frame(pos=[*scene.object_xy, 0.0], quat=axangle2quat(Z, scene.object_yaw))
    source = shipped.body("object")
    source.pos = [0.0, 0.0, 0.0]
    for site in list(shipped.sites):
        shipped.delete(site)
    body = place.attach_body(source, "object_", "")
    body.name = "object"
    body.add_freejoint(name="object")
