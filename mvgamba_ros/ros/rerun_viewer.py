"""The node `view_rerun`: what the reconstructor publishes, in Rerun's viewer, in a browser; no RViz is needed.

``python -m mvgamba_ros.ros.rerun_viewer --ros-args -r __ns:=/NAMESPACE`` where there is no ``ros2`` command.
"""

from __future__ import annotations

import importlib.util
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import cv2
import numpy as np
import rclpy
from geometry_msgs.msg import PoseArray
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image

from mvgamba_ros.errors import ReconstructionError
from mvgamba_ros.msg import ReconstructedObject, ReconstructedObjects
from mvgamba_ros.ros.conversions.geometry import pose_to_matrix
from mvgamba_ros.ros.conversions.images import image_to_rgb
from mvgamba_ros.ros.conversions.markers import quality_text
from mvgamba_ros.ros.conversions.shapes import cloud_to_columns, mesh_from_message
from mvgamba_ros.ros.qos import latched
from mvgamba_ros.types import F32, U8

if TYPE_CHECKING:
    import rerun

MISSING = "view_rerun needs the package rerun-sdk: pip install 'mvgamba_ros[rerun]'"
POINT_M, AXIS_M = 0.001, 0.05
"""Radius of a point; length of the axes that show a camera."""
IMAGE_PERIOD_S = 0.5
MEMORY = "512MiB"
"""Of what was logged and a browser that joins later still gets."""
SPACES = ("world", "seen", "expected_error")
"""Where clouds are shown: in their colours, by what was seen, by their expected error."""
GUESSED, SEEN = (220, 60, 60), (60, 180, 90)


class RerunViewer(Node):
    """Logs to ``recording`` whatever comes."""

    def __init__(self, recording: rerun.RecordingStream, **node_options: Any) -> None:
        super().__init__("view_rerun", **node_options)
        self._recording = recording
        self._next_image = 0
        self._lay_out()
        self.create_subscription(ReconstructedObjects, "reconstructor/objects", self._on_objects, latched())
        self.create_subscription(PoseArray, "reconstructor/view_poses", self._on_view_poses, latched())
        self.create_subscription(
            Image, "reconstructor/debug/mask", lambda message: self._on_image("silhouettes", message), latched()
        )
        self.create_subscription(Image, "image", self._on_camera, qos_profile_sensor_data)

    def _lay_out(self) -> None:
        """Three spaces side by side, for the clouds would hide each other; pictures and words below."""
        import rerun as rr
        import rerun.blueprint as rrb

        for space in SPACES:
            self._recording.log(space, rr.ViewCoordinates.RIGHT_HAND_Z_UP, static=True)
        spaces = [rrb.Spatial3DView(origin=space, name=space.replace("_", " ")) for space in SPACES]
        pictures = [rrb.Spatial2DView(origin=name, name=name) for name in ("camera", "silhouettes")]
        words = rrb.TextDocumentView(origin="quality", name="quality")
        rows = rrb.Vertical(rrb.Horizontal(*spaces), rrb.Horizontal(*pictures, words), row_shares=[2, 1])
        self._recording.send_blueprint(rrb.Blueprint(rows, collapse_panels=True))

    def _on_objects(self, message: ReconstructedObjects) -> None:
        import rerun as rr

        if not message.objects:
            for space in SPACES:
                self._recording.log(space, rr.Clear(recursive=True))
        for found in message.objects:
            self._on_object(found)
        words = "\n\n".join(quality_text(found) for found in message.objects) or "cleared"
        self._recording.log("quality", rr.TextDocument(words))

    def _on_object(self, found: ReconstructedObject) -> None:
        import rerun as rr

        name = rr.escape_entity_path_part(found.id)
        if found.mesh.vertices:
            mesh = mesh_from_message(found.mesh, found.mesh_vertex_colors)
            self._recording.log(
                f"world/{name}/mesh",
                rr.Mesh3D(vertex_positions=mesh.vertices, triangle_indices=mesh.faces, vertex_colors=mesh.colors),
            )
        columns = cloud_to_columns(found.cloud)
        if columns and len(columns["x"]):
            points = np.stack([columns[axis] for axis in "xyz"], axis=1)
            for space, colors in cloud_colors(columns).items():
                self._recording.log(f"{space}/{name}/cloud", rr.Points3D(points, colors=colors, radii=POINT_M))
        T, size = pose_to_matrix(found.box_pose), found.box_size
        q = found.box_pose.orientation
        self._recording.log(
            f"world/{name}/box",
            rr.Boxes3D(
                sizes=[[size.x, size.y, size.z]],
                centers=[T[:3, 3]],
                quaternions=[rr.Quaternion(xyzw=[q.x, q.y, q.z, q.w])],
                colors=[GUESSED if found.quality.low else SEEN],
            ),
        )

    def _on_view_poses(self, poses: PoseArray) -> None:
        import rerun as rr

        frames = np.array([pose_to_matrix(pose) for pose in poses.poses]).reshape(-1, 4, 4)
        axes = np.repeat(frames[:, :3, 3], 3, axis=0)
        self._recording.log(
            "world/views",
            rr.Arrows3D(
                origins=axes,
                vectors=AXIS_M * frames[:, :3, :3].transpose(0, 2, 1).reshape(-1, 3),
                colors=np.tile([[255, 0, 0], [0, 255, 0], [0, 0, 255]], (len(frames), 1)),
            ),
        )

    def _on_camera(self, message: Image) -> None:
        now = self.get_clock().now().nanoseconds
        if now >= self._next_image or self._next_image - now > 1e9:  # the clock jumped back
            self._next_image = now + int(IMAGE_PERIOD_S * 1e9)
            self._on_image("camera", message)

    def _on_image(self, name: str, message: Image) -> None:
        import rerun as rr

        if not message.width:
            self._recording.log(name, rr.Clear(recursive=True))
            return
        try:
            self._recording.log(name, rr.Image(image_to_rgb(message, name)).compress())
        except ReconstructionError as error:  # one picture that cannot be read is no reason to show no other
            self.get_logger().warning(error.message, once=True)


def cloud_colors(columns: dict[str, F32]) -> dict[str, U8]:
    """The colours (N, 3) that a cloud is shown in: its own; seen or guessed; the expected error, dark to light, up to
    its 95th percentile."""
    bits = columns["rgb"].view(np.uint32)
    shown = {"world": np.stack([bits >> shift & 255 for shift in (16, 8, 0)], axis=1).astype(np.uint8)}
    if "seen" in columns:
        shown["seen"] = np.where((columns["seen"] > 0)[:, None], SEEN, GUESSED).astype(np.uint8)
    if "expected_error_mm" in columns:
        errors = columns["expected_error_mm"]
        levels = (255 * np.clip(errors / max(float(np.quantile(errors, 0.95)), 1e-6), 0, 1)).astype(np.uint8)
        shown["expected_error"] = np.asarray(cv2.applyColorMap(levels[:, None], cv2.COLORMAP_VIRIDIS))[:, 0, ::-1]
    return shown


def main(args: list[str] | None = None) -> int:
    """Serves the viewer until SIGINT or SIGTERM; 1 with one line where rerun-sdk is not installed."""
    if importlib.util.find_spec("rerun") is None:
        print(MISSING, file=sys.stderr)
        return 1
    import rerun as rr

    rclpy.init(args=args)
    recording = rr.RecordingStream("mvgamba_ros")
    node = RerunViewer(recording)
    file = str(node.declare_parameter("file", "").value)
    web_port = int(node.declare_parameter("web_port", 9090).value or 0)
    grpc_port = int(node.declare_parameter("grpc_port", 9876).value or 0)
    if file:
        recording.save(file)
        node.get_logger().info(f"writing {file}")
    else:
        address = recording.serve_grpc(grpc_port=grpc_port, server_memory_limit=MEMORY)
        rr.serve_web_viewer(web_port=web_port, open_browser=False, connect_to=address)
        node.get_logger().info(f"open http://localhost:{web_port}/?url={quote(address, safe='')}")
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        recording.flush()
        recording.disconnect()
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
