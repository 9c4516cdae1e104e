"""The node's outputs: the last reconstruction, of one object or several, on latched topics, for RViz and late
subscribers, and each object for planners until it is cleared."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from threading import Lock
from typing import Any

import cv2
import numpy as np
from geometry_msgs.msg import PoseArray
from rclpy.node import Node
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import Header
from std_srvs.srv import Trigger
from visualization_msgs.msg import Marker, MarkerArray

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.boxes import object_frame
from mvgamba_ros.msg import ReconstructedObject, ReconstructedObjects
from mvgamba_ros.reconstruction import Reconstruction
from mvgamba_ros.ros.conversions.images import array_to_image
from mvgamba_ros.ros.conversions.markers import no_markers, object_markers, region_markers
from mvgamba_ros.ros.conversions.shapes import gaussians_to_cloud, joined_clouds, mesh_to_marker, views_to_poses
from mvgamba_ros.ros.conversions.stamps import make_header
from mvgamba_ros.ros.grasp_topics import GraspTopics
from mvgamba_ros.ros.object_names import ObjectNames
from mvgamba_ros.ros.parameters import Parameters
from mvgamba_ros.ros.placed_objects import Placed, PlacedObjects
from mvgamba_ros.ros.qos import latched
from mvgamba_ros.ros.transforms import TransformSource
from mvgamba_ros.surface.convex_parts import convex_parts
from mvgamba_ros.types import F64, U8, Bool, Box, Mesh, View


class Outputs:
    """Publishers with the QoS `latched`, and the service that empties them."""

    def __init__(self, node: Node, transforms: TransformSource, settings: Callable[[], Parameters]) -> None:
        self._node, self._log, self._settings = node, node.get_logger(), settings
        self._points = node.create_publisher(PointCloud2, "~/points", latched())
        self._marker = node.create_publisher(Marker, "~/mesh_marker", latched())
        self._markers = node.create_publisher(MarkerArray, "~/markers", latched())
        self._object = node.create_publisher(ReconstructedObject, "~/object", latched())
        self._objects = node.create_publisher(ReconstructedObjects, "~/objects", latched())
        self._meshes = node.create_publisher(MarkerArray, "~/mesh_markers", latched())
        self._splats = node.create_publisher(PointCloud2, "~/splats", latched())
        self._view_poses = node.create_publisher(PoseArray, "~/view_poses", latched())
        self._mask = node.create_publisher(Image, "~/debug/mask", latched())
        self._regions = node.create_publisher(MarkerArray, "~/debug/regions", latched())
        self._grasps = GraspTopics(node)
        self.names = ObjectNames()
        self._showing = Lock()
        """So that the topics never show one result beside another, or beside nothing."""
        self._placed = PlacedObjects(node, transforms, settings)
        self.services: tuple[tuple[type, str, Callable[..., Any]], ...] = (
            (Trigger, "~/clear_objects", self._on_clear_objects),
        )

    def views(self, views: Sequence[View], header: Header) -> None:
        """Where the captured views were taken from."""
        self._view_poses.publish(views_to_poses(views, header))

    def reconstructions(
        self,
        made: Sequence[tuple[Reconstruction, ReconstructedObject]],
        sheet: U8,
        parameters: Parameters,
        cancelled: Callable[[], bool],
        final: bool = True,
    ) -> dict[str, float]:
        """Everything about the results of one request, at least one, all in one frame, with the `mask_sheet` of its
        views; planners get ``final`` ones only. A topic of one object gets the last, the others get all. Returns the
        seconds of what took long."""
        results, messages = [result for result, _ in made], [message for _, message in made]
        header = messages[0].header
        meshes = [mesh_to_marker(result.mesh, header, message.id) for result, message in made]
        shown: list[tuple[Any, Any]] = [
            (self._object, messages[-1]),
            (self._marker, meshes[-1]),
            (self._objects, ReconstructedObjects(header=header, objects=messages)),
            (self._meshes, MarkerArray(markers=meshes)),
            (self._points, joined_clouds([message.cloud for message in messages])),
            (self._markers, MarkerArray(markers=[m for message in messages for m in object_markers(message).markers])),
        ]
        splats = [gaussians_to_cloud(result.gaussians) for result in results if result.gaussians is not None]
        if splats:
            splats[0].header = header
            shown.append((self._splats, joined_clouds(splats)))
        silhouettes = array_to_image(sheet, "rgb8")
        silhouettes.header = header
        clears = self._show([*shown, (self._mask, silhouettes)])
        seconds: dict[str, float] = {}
        for result, message in made if final else ():
            self.names.remember(message.id, header.frame_id, result.box)
            if result.quality.low and not parameters.publish_low:
                self._log.warning(
                    f"'{message.id}' is of low quality, so planners do not get it: no collision object, no frame on "
                    "TF. An earlier one of that id stays. Set publish_low to have it all the same"
                )
                continue
            for stage, took in self._place(result, message, parameters, cancelled, clears).items():
                seconds[stage] = seconds.get(stage, 0.0) + took
        if final:
            seconds |= self._grasp(
                {message.id: result for result, message in made}, header, parameters, cancelled, clears
            )
        return seconds

    def regions(self, regions: Iterable[tuple[str, Box, bool]], header: Header) -> None:
        """Shows where objects were sought, or may stand: text, box and whether all is well there. None: what was shown
        is taken away."""
        self._regions.publish(region_markers(regions, header))

    def _show(self, shown: Sequence[tuple[Any, Any]]) -> int:
        """Publishes messages that belong together, each on its publisher. Returns how often all had been cleared."""
        with self._showing:
            for publisher, message in shown:
                publisher.publish(message)
            return self._placed.clears

    def _place(
        self,
        result: Reconstruction,
        message: ReconstructedObject,
        parameters: Parameters,
        cancelled: Callable[[], bool],
        clears: int,
    ) -> dict[str, float]:
        T, seconds, collision = object_frame(result.box), {}, None
        if parameters.publish_collision_object and self._placed.has_planning_scene and len(result.mesh.faces):
            from mvgamba_ros.ros.conversions.collision_objects import collision_object, mean_color

            began = time.monotonic()
            parts = self._parts(result.mesh, parameters.collision_parts, cancelled)
            if parameters.collision_parts:
                seconds["collision_parts"] = time.monotonic() - began
            collision = collision_object(message.header, message.id, T, parts), mean_color(result.mesh)
        frame = parameters.object_frame.replace("{id}", message.id)
        self._placed.place(Placed(message.id, message.header, T, frame, collision, clears))
        return seconds

    def _grasp(
        self,
        results: Mapping[str, Reconstruction],
        header: Header,
        parameters: Parameters,
        cancelled: Callable[[], bool],
        clears: int,
    ) -> dict[str, float]:
        """Plans and shows grasps, or takes earlier ones away where none are to be planned."""
        began = time.monotonic()
        found = self._grasps.plan(results, parameters, cancelled) if parameters.max_grasps else {}
        with self._showing:
            if clears == self._placed.clears:
                for publisher, message in self._grasps.messages(found, parameters, header):
                    publisher.publish(message)
        return {"grasps": time.monotonic() - began} if parameters.max_grasps else {}

    def _parts(self, mesh: Mesh, count: int, cancelled: Callable[[], bool]) -> Sequence[tuple[F64, Any]]:
        if count:
            try:
                return convex_parts(mesh, count, cancelled)
            except Exception as error:  # the object is there all the same: it is not lost for its parts
                if isinstance(error, ReconstructionError) and error.code is ErrorCode.CANCELLED:
                    raise
                self._log.error(f"the collision object is the mesh itself, not collision_parts {count}: {error}")
        return [(mesh.vertices, mesh.faces)]

    def _on_clear_objects(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Whoever joins late then finds an empty object of low quality, empty clouds and no marker."""
        header = make_header(self._settings().target_frame, int(self._node.get_clock().now().nanoseconds))
        nothing = ReconstructedObject(header=header)
        nothing.quality.low, nothing.quality.reasons = True, ["cleared"]
        nothing.box_pose.orientation.w = 1.0
        nothing.cloud.header = header
        arrays = self._markers, self._meshes, self._regions
        with self._showing:  # what is shown from here on is not cleared
            names = self._placed.clear()
            self.names.forget()
            for publisher, message in (
                (self._object, nothing),
                (self._points, nothing.cloud),
                (self._splats, nothing.cloud),
                (self._marker, no_markers(header.frame_id)),
                (self._objects, ReconstructedObjects(header=header)),
                *((topic, MarkerArray(markers=[no_markers(header.frame_id)])) for topic in arrays),
                (self._mask, Image(header=header, encoding="rgb8")),
                *self._grasps.messages({}, self._settings(), header),
            ):
                publisher.publish(message)
        response.success = True
        response.message = f"{len(names)} objects cleared" + (f": {', '.join(names)}" if names else "")
        return response


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
