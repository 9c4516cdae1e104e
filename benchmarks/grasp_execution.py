"""A grasp executed in MuJoCo: a gripper of boxes, free of an arm, comes, closes, lifts and shakes the true object.

The object is the truth's convex parts on a table. The gripper hangs by a stiff weld on a frame that is moved; its two
fingers are coupled, as a parallel gripper's are, and press with a constant force. It holds where the object is then
still up there between the fingers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mvgamba_ros.config.grasp_config import Gripper
from mvgamba_ros.geometry.se3 import matrix_to_quat
from mvgamba_ros.sim.engine import mujoco
from mvgamba_ros.types import F64

FORCE = 40.0
"""Newtons that each finger presses with: the Panda's hand gives 70."""
DENSITY = 300.0
"""kg / m3, of a packed thing of the kitchen; the mass is 0.1 to 0.8 kg."""
LIFT, SHAKE = 0.12, 0.03
"""Metres: how far up, and the amplitude of shaking along each axis."""
TURN = 0.3
"""Radians: the amplitude of shaking about each axis."""
STEP_S = 0.002
PHASES = (("settle", 0.3), ("come", 0.8), ("close", 0.5), ("lift", 0.8), ("shake", 1.5), ("hold", 0.3))
"""Seconds each."""
LOST = 0.06
"""Metres that the object's centre may move in the gripper, from where it was when the fingers had closed."""


@dataclass(frozen=True)
class Outcome:
    """``held``: whether the object was up between the fingers at the end; ``why`` it was not: "pushed" away before the
    fingers closed, "missed" when they closed, "dropped"; ``slid``: metres that it moved in the gripper."""

    held: bool
    why: str
    slid: float


def execute(
    parts: Sequence[tuple[F64, F64]], volume: float, gripper: Gripper, T_world_grasp: F64, support: float
) -> Outcome:
    """Closes ``gripper`` on the object of convex ``parts`` (vertices and faces, world, metres) that stands at height
    ``support``; ``volume`` of the object in cubic metres, for its mass."""
    model = _model(parts, volume, gripper, support)
    data = mujoco.MjData(model)
    hand, thing = model.body("hand").id, model.body("object").id
    start = T_world_grasp.copy()
    start[:3, 3] -= 0.12 * T_world_grasp[:3, 2]
    _set_hand(model, data, start)
    mujoco.mj_forward(model, data)
    rest = data.xipos[thing].copy()
    fingers = [model.actuator(name).id for name in ("left", "right")]
    relative = np.zeros(3)
    for name, seconds in PHASES:
        count = round(seconds / STEP_S)
        for step in range(count):
            share = (step + 1) / count
            data.ctrl[fingers] = -5.0 if name in ("settle", "come") else FORCE
            _move_frame(data, _target(name, share, start, T_world_grasp))
            mujoco.mj_step(model, data)
        if name == "come" and np.linalg.norm(data.xipos[thing] - rest) > 0.03:
            return Outcome(False, "pushed", float("nan"))
        if name == "close":
            relative = _in_hand(data, hand, thing)
            if not _between(model, data, thing):
                return Outcome(False, "missed", float("nan"))
    slid = float(np.linalg.norm(_in_hand(data, hand, thing) - relative))
    up = data.xipos[thing, 2] - rest[2] > LIFT / 2.0
    held = bool(up and slid < LOST and _between(model, data, thing))
    return Outcome(held, "" if held else "dropped", slid)


def _target(phase: str, share: float, start: F64, grasp: F64) -> F64:
    target = grasp.copy()
    smooth = share * share * (3.0 - 2.0 * share)
    if phase in ("settle", "come"):
        target[:3, 3] = start[:3, 3] + (smooth if phase == "come" else 0.0) * (grasp[:3, 3] - start[:3, 3])
    elif phase != "close":
        target[2, 3] += LIFT * (smooth if phase == "lift" else 1.0)
    if phase == "shake":
        axis = min(int(3 * share), 2)
        cycle = 3 * share - axis
        wave = np.sin(2.0 * np.pi * cycle) * np.sin(np.pi * cycle)  # begins and ends at rest
        target[axis, 3] += SHAKE * wave
        turn = np.zeros(3)
        turn[axis] = TURN * wave
        R = np.zeros(9)
        quat = np.zeros(4)
        mujoco.mju_axisAngle2Quat(quat, turn / max(np.linalg.norm(turn), 1e-12), float(np.linalg.norm(turn)))
        mujoco.mju_quat2Mat(R, quat)
        target[:3, :3] = R.reshape(3, 3) @ target[:3, :3]
    return target


def _set_hand(model: mujoco.MjModel, data: mujoco.MjData, T: F64) -> None:
    address = model.joint("hand").qposadr[0]
    data.qpos[address : address + 3] = T[:3, 3]
    data.qpos[address + 3 : address + 7] = matrix_to_quat(T[:3, :3])
    _move_frame(data, T)


def _move_frame(data: mujoco.MjData, T: F64) -> None:
    data.mocap_pos[0], data.mocap_quat[0] = T[:3, 3], matrix_to_quat(T[:3, :3])


def _in_hand(data: mujoco.MjData, hand: int, thing: int) -> F64:
    return np.asarray(data.xmat[hand].reshape(3, 3).T @ (data.xipos[thing] - data.xpos[hand]))


def _between(model: mujoco.MjModel, data: mujoco.MjData, thing: int) -> bool:
    """Whether both fingers touch the object."""
    touched = set()
    for contact in data.contact[: data.ncon]:
        bodies = [int(model.geom_bodyid[geom]) for geom in contact.geom]
        if thing in bodies:
            touched |= {model.body(body).name for body in bodies}
    return {"left", "right"} <= touched


def _model(parts: Sequence[tuple[F64, F64]], volume: float, gripper: Gripper, support: float) -> mujoco.MjModel:
    spec = mujoco.MjSpec()
    spec.option.timestep = STEP_S
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.option.impratio = 10.0
    spec.option.noslip_iterations = 3
    touch = {"friction": [gripper.friction, 0.005, 0.002], "condim": 6}  # of 2 mm: a lemon rests where it lies
    box, plane, mesh = mujoco.mjtGeom.mjGEOM_BOX, mujoco.mjtGeom.mjGEOM_PLANE, mujoco.mjtGeom.mjGEOM_MESH
    spec.worldbody.add_geom(type=plane, size=[1.0, 1.0, 0.1], pos=[0.0, 0.0, support], **touch)
    thing = spec.worldbody.add_body(name="object")
    thing.add_freejoint()
    mass = float(np.clip(DENSITY * volume, 0.1, 0.8))
    for k, (vertices, faces) in enumerate(parts):
        spec.add_mesh(name=f"part{k}", uservert=vertices.ravel(), userface=faces.ravel())
        thing.add_geom(type=mesh, meshname=f"part{k}", mass=mass / len(parts), **touch)
    spec.worldbody.add_body(name="frame", mocap=True)
    hand = spec.worldbody.add_body(name="hand", gravcomp=1.0)
    hand.add_freejoint(name="hand")
    tip = gripper.pad_length / 2.0
    front = tip - gripper.finger_length
    hand.add_geom(
        type=box,
        size=[gripper.palm_depth / 2, gripper.palm_width / 2, gripper.palm_height / 2],
        pos=[0.0, 0.0, front - gripper.palm_height / 2],
        mass=5.0,  # an arm behind it
        **touch,
    )
    for name, side in (("left", 1.0), ("right", -1.0)):
        finger = hand.add_body(name=name, gravcomp=1.0)
        finger.add_joint(
            name=name,
            type=mujoco.mjtJoint.mjJNT_SLIDE,
            axis=[0.0, -side, 0.0],
            range=[0.0, gripper.max_opening / 2],
            limited=True,
            damping=[100.0, 0.0, 0.0],
            armature=0.1,
        )
        y = side * (gripper.max_opening + gripper.finger_thickness) / 2
        finger.add_geom(
            type=box,
            size=[gripper.finger_width / 2, gripper.finger_thickness / 2, gripper.finger_length / 2],
            pos=[0.0, y, (tip + front) / 2],
            mass=0.05,
            **touch,
        )
        actuator = spec.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        actuator.set_to_motor()
    weld = spec.add_equality(type=mujoco.mjtEq.mjEQ_WELD, name1="frame", name2="hand", objtype=mujoco.mjtObj.mjOBJ_BODY)
    weld.data[10] = 1.0  # how much a turn counts against a shift
    weld.solref, weld.solimp = [0.005, 1.0], [0.99, 0.999, 0.001, 0.5, 2.0]
    coupled = spec.add_equality(
        type=mujoco.mjtEq.mjEQ_JOINT, name1="left", name2="right", objtype=mujoco.mjtObj.mjOBJ_JOINT
    )
    coupled.data[:5] = [0.0, 1.0, 0.0, 0.0, 0.0]
    for one, other in (("hand", "left"), ("hand", "right"), ("left", "right")):
        spec.add_exclude(bodyname1=one, bodyname2=other)
    return spec.compile()
