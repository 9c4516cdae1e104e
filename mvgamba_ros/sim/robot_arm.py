"""The simulated arm: physics that runs in steps, joint motion through servos, poses of every link, the object's truth.

Independent of ROS and of wall time; whoever steps it decides how fast simulated time passes.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.se3 import check_rigid, inverse, rigid
from mvgamba_ros.sim.engine import mujoco
from mvgamba_ros.sim.kinematics import DOF, Kinematics, optical_pose
from mvgamba_ros.sim.scene import CAMERA, FINGERS, HOME, Scene, build
from mvgamba_ros.types import F64, Camera, Mesh

MAX_JOINT_SPEED = 1.8  # rad/s; the real arm may do 2.2
MIN_SEGMENT_TIME = 0.3  # s
STILL_SPEED = 2e-3  # rad/s: below this the arm counts as standing
OPEN_FINGERS = 0.04  # metres each
SETTLE_TIME = 3.0  # s in which the object must come to rest
RESTING_SPEED = 5e-3  # m/s or rad/s

ROOT_FRAME, CAMERA_FRAME, OPTICAL_FRAME = "base_link", "camera_link", "camera_optical_frame"


class SimulatedArm:
    """A Franka Panda with a wrist camera above a table with one object, at home, the object at rest.

    Raises BAD_OPTION for an object that cannot be loaded or does not come to rest on the table.
    """

    def __init__(self, scene: Scene | None = None) -> None:
        self.scene = scene or Scene()
        self.model = build(self.scene)
        self.data = mujoco.MjData(self.model)
        self._camera = self.model.camera(CAMERA).id
        self._object = self.model.body("object").id
        self._fingers = [self.model.joint(name).qposadr[0] for name in FINGERS]
        self._path: list[F64] = []
        self._segment: tuple[F64, F64, float, float] | None = None
        self._place_at_home()
        self._let_object_settle()
        self.kinematics = Kinematics(self.model, self.data)

    # time and motion

    @property
    def time(self) -> float:
        """Simulated seconds since the start."""
        return float(self.data.time)

    def advance(self, seconds: float) -> None:
        """Runs the physics for ``seconds`` (rounded to whole steps of 2 ms)."""
        for _ in range(round(seconds / self.model.opt.timestep)):
            self._command()
            mujoco.mj_step(self.model, self.data)
        mujoco.mj_forward(self.model, self.data)

    def move_camera(self, T_base_camera: F64) -> None:
        """Starts a motion that brings the camera's optical frame to ``T_base_camera``; `advance` carries it out.

        Raises BAD_POSE where the pose is not rigid, out of reach or barred by a collision; the arm then stays.
        """
        T = check_rigid(T_base_camera, "camera pose")
        start = self.joint_positions
        goal = self.kinematics.inverse(T, start)
        place = ", ".join(f"{x:.3f}" for x in T[:3, 3])
        if goal is None:
            raise ReconstructionError(
                ErrorCode.BAD_POSE,
                f"camera position ({place}) m with this orientation: the arm cannot reach it without a collision; "
                "turn the camera about its axis, come closer or choose another side",
            )
        path = self.kinematics.path(start, goal)
        if path is None:
            raise ReconstructionError(
                ErrorCode.BAD_POSE, f"camera position ({place}) m: no free way there; move to another view in between"
            )
        self._path, self._segment = path, None

    def stop(self) -> None:
        """Gives up the motion under way; the arm brakes where it is."""
        self._path, self._segment = [], None
        self.data.ctrl[:DOF] = self.joint_positions

    @property
    def moving(self) -> bool:
        """True from `move_camera` until the arm stands still at its goal."""
        return bool(self._path) or self._segment is not None or bool(np.abs(self.data.qvel[:DOF]).max() > STILL_SPEED)

    # what is where

    @property
    def joint_positions(self) -> F64:
        """(7,) radians."""
        return self.data.qpos[:DOF].copy()

    @property
    def joint_velocities(self) -> F64:
        """(7,) rad/s."""
        return self.data.qvel[:DOF].copy()

    @property
    def camera(self) -> Camera:
        """Intrinsics of the wrist camera: an ideal pinhole, square pixels, centred."""
        focal = 0.5 * self.scene.height / np.tan(0.5 * self.scene.fovy)
        K = np.array([[focal, 0.0, self.scene.width / 2], [0.0, focal, self.scene.height / 2], [0.0, 0.0, 1.0]])
        return Camera(K, self.scene.width, self.scene.height)

    @property
    def T_base_camera(self) -> F64:
        """The camera's optical frame in ``base_link``, now."""
        return optical_pose(self.data, self._camera)

    def links(self) -> Iterator[tuple[str, str, F64, bool]]:
        """The chain from ``base_link`` to the camera: parent frame, child frame, ``T_parent_child``, whether it never
        changes."""
        for body in range(1, self.model.nbody):
            name, parent = self.model.body(body).name, self.model.body_parentid[body]
            if body == self._object or self.model.body_rootid[body] != self.model.body("base").id:
                continue
            above = ROOT_FRAME if parent == 0 else frame_name(self.model.body(parent).name)
            yield above, frame_name(name), inverse(self._pose(parent)) @ self._pose(body), not self._has_joint(body)
        hand = int(self.model.cam_bodyid[self._camera])
        T_hand_optical = inverse(self._pose(hand)) @ self.T_base_camera
        R = np.array([[0, 0, 1], [-1, 0, 0], [0, -1, 0]])  # REP-103: x forward, y left, z up
        T_camera_optical = rigid(R, np.zeros(3))
        yield frame_name(self.model.body(hand).name), CAMERA_FRAME, T_hand_optical @ inverse(T_camera_optical), True
        yield CAMERA_FRAME, OPTICAL_FRAME, T_camera_optical, True

    def object_mesh(self) -> Mesh:
        """The object's true surface as it stands now, in ``base_link``, metres; white, for its colour is a texture."""
        vertices, faces, count = [], [], 0
        for geom in self._object_geoms():
            mesh = self.model.geom_dataid[geom]
            v = self.model.mesh_vert[self.model.mesh_vertadr[mesh] :][: self.model.mesh_vertnum[mesh]]
            f = self.model.mesh_face[self.model.mesh_faceadr[mesh] :][: self.model.mesh_facenum[mesh]]
            rotation = self.data.geom_xmat[geom].reshape(3, 3)
            vertices.append(v.astype(np.float64) @ rotation.T + self.data.geom_xpos[geom])
            faces.append(f + count)
            count += len(v)
        return Mesh(
            np.concatenate(vertices), np.concatenate(faces).astype(np.int32), np.full((count, 3), 255, np.uint8)
        )

    @property
    def object_speed(self) -> float:
        """The largest of the object's speeds, m/s and rad/s."""
        return float(np.abs(self.data.qvel[-6:]).max())

    # inside

    def _object_geoms(self) -> list[int]:
        """The object's meshes; of two that share one mesh (visual and collision) the first."""
        geoms: dict[int, int] = {}
        for geom in range(self.model.ngeom):
            if self.model.geom_bodyid[geom] == self._object and self.model.geom_dataid[geom] >= 0:
                geoms.setdefault(int(self.model.geom_dataid[geom]), geom)
        return list(geoms.values())

    def _pose(self, body: int) -> F64:
        return rigid(self.data.xmat[body].reshape(3, 3), self.data.xpos[body])

    def _has_joint(self, body: int) -> bool:
        return bool(self.model.body_jntnum[body] > 0)

    def _place_at_home(self) -> None:
        self.data.qpos[:DOF] = HOME
        self.data.qpos[self._fingers] = OPEN_FINGERS, -OPEN_FINGERS
        self.data.ctrl[:] = [*HOME, OPEN_FINGERS, -OPEN_FINGERS]
        mujoco.mj_forward(self.model, self.data)

    def _let_object_settle(self) -> None:
        """Puts the object's lowest point on the table and runs the physics until it rests."""
        self.data.qpos[-5] -= self.object_mesh().vertices[:, 2].min() - 1e-3
        mujoco.mj_forward(self.model, self.data)
        while self.time < SETTLE_TIME:
            self.advance(0.1)
            if self.object_speed < RESTING_SPEED and self.time > 0.3:
                return
        raise ReconstructionError(
            ErrorCode.BAD_OPTION,
            f"object {self.scene.object_name!r} does not come to rest on the table within {SETTLE_TIME:g} s "
            f"(it still moves at {self.object_speed:.3f}): turn its mesh so that it stands on z",
        )

    def _command(self) -> None:
        """The servos' set points for the next step: a quintic from corner to corner of the path, led by the servos'
        own lag, DAMPING / STIFFNESS, so that the joints are where the quintic is."""
        if self._segment is None:
            if not self._path:
                return
            start, goal = self.data.ctrl[:DOF].copy(), self._path.pop(0)
            duration = max(1.875 * float(np.abs(goal - start).max()) / MAX_JOINT_SPEED, MIN_SEGMENT_TIME)
            self._segment = (start, goal, self.time, duration)
        start, goal, since, duration = self._segment
        s = min((self.time - since) / duration, 1.0)
        blend = s**3 * (10.0 - 15.0 * s + 6.0 * s * s)
        speed = 30.0 * s * s * (1.0 - s) ** 2 / duration
        lag = -self.model.actuator_biasprm[:DOF, 2] / self.model.actuator_gainprm[:DOF, 0]
        self.data.ctrl[:DOF] = start + (goal - start) * (blend + speed * lag)
        if s >= 1.0:
            self._segment = None


def frame_name(body: str) -> str:
    """The TF frame of a body of the model: the arm's own names under ``panda_``, as franka_description has them."""
    names = {"base": "panda_base", "right_hand": "panda_flange"}
    return names.get(body, "panda_" + body.removeprefix("gripper_").removeprefix("right_"))
