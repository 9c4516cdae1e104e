"""The node's latched outputs: the last reconstruction, for RViz, planners and late subscribers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from geometry_msgs.msg import Pose, PoseArray
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import Header
from visualization_msgs.msg import Marker

from mvgamba_ros.msg import ReconstructedObject
from mvgamba_ros.reconstruction import Reconstruction
from mvgamba_ros.ros.conversions.images import array_to_image
from mvgamba_ros.ros.conversions.shapes import gaussians_to_cloud, mesh_to_marker, views_to_poses
from mvgamba_ros.types import U8, Bool, View

LATCHED = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class Outputs:
    """Publishers with reliable, transient_local QoS, depth 1."""

    def __init__(self, node: Node) -> None:
        self._points = node.create_publisher(PointCloud2, "~/points", LATCHED)
        self._marker = node.create_publisher(Marker, "~/mesh_marker", LATCHED)
        self._object = node.create_publisher(ReconstructedObject, "~/object", LATCHED)
        self._splats = node.create_publisher(PointCloud2, "~/splats", LATCHED)
        self._view_poses = node.create_publisher(PoseArray, "~/view_poses", LATCHED)
        self._mask = node.create_publisher(Image, "~/debug/mask", LATCHED)
        self._collision_object: Any = None
        self._collision_type: Any = None
        try:
            from moveit_msgs.msg import CollisionObject
        except ImportError:  # documented: this output exists only beside MoveIt
            return
        self._collision_type = CollisionObject
        self._collision_object = node.create_publisher(CollisionObject, "collision_object", LATCHED)

    def views(self, views: Sequence[View], header: Header) -> None:
        """Where the captured views were taken from."""
        self._view_poses.publish(views_to_poses(views, header))

    def reconstruction(
        self, result: Reconstruction, message: ReconstructedObject, views: Sequence[View], collision_object: bool
    ) -> None:
        """Everything about one result, in the frame of ``message``."""
        header = message.header
        self._object.publish(message)
        self._points.publish(message.cloud)
        self._marker.publish(mesh_to_marker(result.mesh, header, message.id))
        if result.gaussians is not None:
            splats = gaussians_to_cloud(result.gaussians)
            splats.header = header
            self._splats.publish(splats)
        sheet = array_to_image(mask_sheet([view.image for view in views], result.masks), "rgb8")
        sheet.header = header
        self._mask.publish(sheet)
        if collision_object and self._collision_type is not None:
            obstacle = self._collision_type(header=header, id=message.id, operation=self._collision_type.ADD)
            obstacle.pose.orientation.w = 1.0
            pose = Pose()
            pose.orientation.w = 1.0
            obstacle.meshes, obstacle.mesh_poses = [message.mesh], [pose]
            self._collision_object.publish(obstacle)


def mask_sheet(images: Sequence[U8], masks: Sequence[Bool], width: int = 320) -> U8:
    """The views side by side (H, width * V, 3), each ``width`` px wide, dark where the silhouette leaves them out."""
    tiles = []
    for image, mask in zip(images, masks, strict=True):
        shown = np.where(mask[..., None], image, image // 4)
        height = max(1, round(image.shape[0] * width / image.shape[1]))
        tiles.append(cv2.resize(shown, (width, height), interpolation=cv2.INTER_AREA))
    tallest = max(tile.shape[0] for tile in tiles)
    padded = [np.pad(tile, ((0, tallest - tile.shape[0]), (0, 0), (0, 0))) for tile in tiles]
    return np.ascontiguousarray(np.concatenate(padded, axis=1), dtype=np.uint8)
