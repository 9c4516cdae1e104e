"""The wrist camera: what MuJoCo's rasteriser shows at the arm's present state, as our own types.

MuJoCo's pixel (i, j) is sampled at its centre (j + 0.5, i + 0.5), the convention of `mvgamba_ros.types`, so the
intrinsics of `SimulatedArm.camera` hold without a shift (a test projects the true mesh into the picture).
"""

from __future__ import annotations

import numpy as np

from mvgamba_ros.sim.engine import mujoco
from mvgamba_ros.sim.robot_arm import SimulatedArm
from mvgamba_ros.sim.scene import CAMERA
from mvgamba_ros.sim.views import plan_views
from mvgamba_ros.types import F32, U8, Bool, View


class WristCamera:
    """Renders ``arm``'s wrist camera. Holds an OpenGL context: use it in the thread that made it, `close` it after.

    One context at a time: OSMesa mixes up the buffers of two.
    """

    def __init__(self, arm: SimulatedArm) -> None:
        self._arm = arm
        self._renderer = mujoco.Renderer(arm.model, arm.scene.height, arm.scene.width)

    def image(self) -> U8:
        """(H, W, 3) RGB."""
        self._update()
        return self._renderer.render().copy()

    def depth(self) -> F32:
        """(H, W) metres along the optical axis; 0 where nothing is hit."""
        self._renderer.enable_depth_rendering()
        self._update()
        depth = self._renderer.render().copy()
        self._renderer.disable_depth_rendering()
        far = self._arm.model.vis.map.zfar * self._arm.model.stat.extent
        return np.where(depth < 0.999 * far, depth, 0.0).astype(np.float32)

    def object_mask(self) -> Bool:
        """(H, W) the object's true silhouette, what hides it left out."""
        self._renderer.enable_segmentation_rendering()
        self._update()
        ids = self._renderer.render()
        self._renderer.disable_segmentation_rendering()
        is_geom = ids[..., 1] == int(mujoco.mjtObj.mjOBJ_GEOM)
        owner = self._arm.model.geom_bodyid[np.where(is_geom, ids[..., 0], 0)]
        return is_geom & (owner == self._arm.model.body("object").id)

    def view(self, name: str = "", depth: bool = False, mask: bool = False) -> View:
        """What the camera sees now, with its true pose in ``base_link``."""
        return View(
            image=self.image(),
            camera=self._arm.camera,
            T_world_camera=self._arm.T_base_camera,
            mask=self.object_mask() if mask else None,
            depth=self.depth() if depth else None,
            name=name,
        )

    def close(self) -> None:
        self._renderer.close()

    def _update(self) -> None:
        self._renderer.update_scene(self._arm.data, camera=CAMERA)


def photograph(arm: SimulatedArm, count: int) -> list[View]:
    """The object from ``count`` planned views, with true masks; the arm is put into their poses, not driven there.

    Raises BAD_OPTION as `plan_views` does.
    """
    vertices = arm.object_mesh().vertices
    center = (vertices.min(axis=0) + vertices.max(axis=0)) / 2
    joints, views = arm.joint_positions, []
    camera = WristCamera(arm)
    for index, T_base_camera in enumerate(plan_views(arm.kinematics, center, count, joints)):
        reached = arm.kinematics.inverse(T_base_camera, joints)
        assert reached is not None, "a planned view can be reached from the one before"
        arm.data.qpos[: len(reached)] = joints = reached
        mujoco.mj_forward(arm.model, arm.data)
        views.append(camera.view(f"view_{index}", mask=True))
    camera.close()
    return views
