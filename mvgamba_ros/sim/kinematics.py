"""Inverse kinematics and collision-free joint paths for the simulated arm.

Works on a copy of the world's state, so planning never moves the arm.
"""

from __future__ import annotations

import itertools

import numpy as np
from scipy.spatial.transform import Rotation

from mvgamba_ros.geometry.se3 import OPENCV_FROM_OPENGL, rigid
from mvgamba_ros.sim.engine import mujoco
from mvgamba_ros.sim.scene import CAMERA, HOME
from mvgamba_ros.types import F64

POSITION_TOLERANCE, ANGLE_TOLERANCE = 1e-4, 1e-4  # metres, radians: where the iteration stops
PATH_STEP = 0.04  # radians of the fastest joint between two collision checks
DOF = 7
SHOULDER, REACH = np.array([0.0, 0.0, 0.333]), 1.1  # metres: beyond it no camera on the flange can be


class Kinematics:
    """Plans for the first seven joints of ``model``. ``state`` gives where the object lies and is never written."""

    def __init__(self, model: mujoco.MjModel, state: mujoco.MjData) -> None:
        self._model = model
        self._state = state
        self._data = mujoco.MjData(model)
        self._camera = model.camera(CAMERA).id
        self._body = int(model.cam_bodyid[self._camera])
        self.lower = model.jnt_range[:DOF, 0] + 0.02
        self.upper = model.jnt_range[:DOF, 1] - 0.02
        root = model.body("base").id
        self._of_robot = np.array([model.body_rootid[b] == root for b in model.geom_bodyid])

    def inverse(self, T_world_camera: F64, start: F64, tries: int = 12) -> F64 | None:
        """Joints (7,) within their limits that put the camera at ``T_world_camera``, hitting nothing; None where
        there are none. Searched from ``start`` and from home, of which the nearer answer to ``start`` is taken; if
        both fail, from ``tries`` random postures, always the same ones."""
        if np.linalg.norm(T_world_camera[:3, 3] - SHOULDER) > REACH:
            return None
        near = [q for q in (self._solve(T_world_camera, s) for s in (start, np.array(HOME))) if q is not None]
        if near:
            return min(near, key=lambda q: float(np.abs(q - start).max()))
        random = np.random.default_rng(0).uniform(self.lower, self.upper, (tries, DOF))
        return next((q for q in (self._solve(T_world_camera, s) for s in random) if q is not None), None)

    def is_free(self, q: F64) -> bool:
        """Whether no part of the arm at ``q`` touches the table, the object or another part of itself."""
        self._place(q)
        mujoco.mj_collision(self._model, self._data)
        pairs = self._data.contact.geom[: self._data.ncon]
        return not self._of_robot[pairs].any()

    def path(self, start: F64, goal: F64) -> list[F64] | None:
        """Corners of a path of straight lines in joint space from ``start`` to ``goal`` that hits nothing, ``start``
        left out: direct, else by way of home; None where both are barred."""
        for corners in ([goal], [np.array(HOME), goal]):
            line = [start, *corners]
            if all(self._line_is_free(a, b) for a, b in itertools.pairwise(line)):
                return corners
        return None

    def _line_is_free(self, a: F64, b: F64) -> bool:
        count = int(np.ceil(np.abs(b - a).max() / PATH_STEP)) + 1
        return all(self.is_free(a + (b - a) * s) for s in np.linspace(0.0, 1.0, count))

    def _place(self, q: F64) -> None:
        self._data.qpos[:] = self._state.qpos
        self._data.qpos[:DOF] = q
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_comPos(self._model, self._data)
        mujoco.mj_camlight(self._model, self._data)

    def _solve(self, T_world_camera: F64, start: F64) -> F64 | None:
        q = self._descend(T_world_camera, start)
        return q if q is not None and self.is_free(q) else None

    def _descend(self, T_world_camera: F64, start: F64) -> F64 | None:
        """Damped least squares (Wampler 1986) on the camera's position and orientation error."""
        q = np.clip(np.array(start, np.float64), self.lower, self.upper)
        jacobian = np.zeros((6, self._model.nv))
        for _ in range(60):
            self._place(q)
            T = optical_pose(self._data, self._camera)
            error = pose_error(T, T_world_camera)
            if np.linalg.norm(error[:3]) < POSITION_TOLERANCE and np.linalg.norm(error[3:]) < ANGLE_TOLERANCE:
                return q
            mujoco.mj_jac(self._model, self._data, jacobian[:3], jacobian[3:], T[:3, 3], self._body)
            J = jacobian[:, :DOF]
            damping = 1e-4 + 0.01 * min(1.0, float(error @ error))
            step = J.T @ np.linalg.solve(J @ J.T + damping * np.eye(6), error)
            q = np.clip(q + step / max(1.0, float(np.abs(step).max()) / 0.3), self.lower, self.upper)
        return None


def optical_pose(data: mujoco.MjData, camera: int) -> F64:
    """``T_world_camera`` (4, 4), OpenCV optical, of MuJoCo's camera (whose optical axis is -z, with y up)."""
    return rigid(data.cam_xmat[camera].reshape(3, 3), data.cam_xpos[camera]) @ OPENCV_FROM_OPENGL


def pose_error(T_from: F64, T_to: F64) -> F64:
    """(6,): the way and the turn (a rotation vector) from one pose to the other, in the world frame."""
    turn = Rotation.from_matrix(T_to[:3, :3] @ T_from[:3, :3].T).as_rotvec()
    return np.concatenate([T_to[:3, 3] - T_from[:3, 3], turn])
