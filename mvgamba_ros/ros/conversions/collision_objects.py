"""An object for MoveIt: its CollisionObject with a frame to grasp by, and the diff of the planning scene that adds it.

Imports moveit_msgs, which the ROS wheels lack.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from geometry_msgs.msg import Pose
from moveit_msgs.msg import CollisionObject, ObjectColor, PlanningScene
from std_msgs.msg import ColorRGBA, Header

from mvgamba_ros.geometry.se3 import inverse, rigid
from mvgamba_ros.ros.conversions.geometry import matrix_to_pose
from mvgamba_ros.ros.conversions.shapes import triangles_to_message
from mvgamba_ros.types import F64, Mesh

DOWNWARD = np.diag([1.0, -1.0, -1.0])
"""Half a turn about x."""


def collision_object(
    header: Header, name: str, T_frame_object: F64, parts: Sequence[tuple[F64, F64]]
) -> CollisionObject:
    """ADD of an object.

    Args:
        header: The frame of ``T_frame_object`` and ``parts``.
        name: The id.
        T_frame_object: (4, 4), the object's own frame: `mvgamba_ros.geometry.boxes.object_frame`.
        parts: Vertices (N, 3), metres, and faces (M, 3) of each mesh.

    Returns:
        The meshes in the object's frame, so that one may be moved with the other, and its subframes ``centre``, the
        frame itself; ``top`` and ``bottom``, above and below it at the mesh's highest and lowest point, z outward.
    """
    T_object_frame = inverse(T_frame_object)
    local = [(vertices @ T_object_frame[:3, :3].T + T_object_frame[:3, 3], faces) for vertices, faces in parts]
    heights = np.concatenate([vertices[:, 2] for vertices, _ in local])
    subframes = {
        "centre": np.eye(4),
        "top": rigid(np.eye(3), np.array([0.0, 0.0, heights.max()])),
        "bottom": rigid(DOWNWARD, np.array([0.0, 0.0, heights.min()])),
    }
    return CollisionObject(
        header=header,
        id=name,
        pose=matrix_to_pose(T_frame_object),
        meshes=[triangles_to_message(vertices, faces) for vertices, faces in local],
        mesh_poses=[matrix_to_pose(np.eye(4)) for _ in local],
        subframe_names=list(subframes),
        subframe_poses=[matrix_to_pose(T) for T in subframes.values()],
        operation=CollisionObject.ADD,
    )


def removal(header: Header, name: str) -> CollisionObject:
    """REMOVE of the object ``name``."""
    return CollisionObject(header=header, id=name, pose=Pose(), operation=CollisionObject.REMOVE)


def mean_color(mesh: Mesh) -> ColorRGBA:
    """The mean of the vertices' colours, of those that a view saw where any was: MoveIt shows one colour an object."""
    seen = mesh.seen > 0 if mesh.seen is not None and (mesh.seen > 0).any() else slice(None)
    red, green, blue = (mesh.colors[seen].mean(axis=0) / 255.0).tolist()
    return ColorRGBA(r=red, g=green, b=blue, a=1.0)


def scene_diff(changes: Iterable[CollisionObject], colors: Mapping[str, ColorRGBA]) -> PlanningScene:
    """What to change of the planning scene, the robot's state aside."""
    scene = PlanningScene(is_diff=True)
    scene.robot_state.is_diff = True  # else it would be set to nothing
    scene.world.collision_objects = list(changes)
    scene.object_colors = [ObjectColor(id=name, color=color) for name, color in colors.items()]
    return scene
