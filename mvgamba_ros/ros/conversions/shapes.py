"""Clouds, Gaussians, meshes and whole reconstructions to messages. Packed by numpy, never point by point.

Header-less: the caller sets ``header`` (one frame and one stamp for all outputs of a reconstruction).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from geometry_msgs.msg import Point, PoseArray, Vector3
from numpy.typing import NDArray
from sensor_msgs.msg import PointCloud2, PointField
from shape_msgs.msg import Mesh as MeshMessage
from shape_msgs.msg import MeshTriangle
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker

from mvgamba_ros.msg import Completion, ReconstructedObject, StageTime
from mvgamba_ros.msg import PoseCorrection as PoseCorrectionMessage
from mvgamba_ros.msg import Quality as QualityMessage
from mvgamba_ros.reconstruction import PoseCorrection, Reconstruction
from mvgamba_ros.ros.conversions.geometry import matrix_to_pose
from mvgamba_ros.types import F32, F64, U8, Gaussians, Mesh, PointCloud, View


def pack_rgb(colors: U8) -> F32:
    """(N, 3) uint8 to PCL's convention: 0x00RRGGBB kept as the bits of a float32."""
    c = colors.astype(np.uint32)
    return ((c[:, 0] << 16) | (c[:, 1] << 8) | c[:, 2]).view(np.float32)


def columns_to_cloud(columns: dict[str, NDArray[Any]]) -> PointCloud2:
    """An unorganised PointCloud2 of float32 fields, one per column (N,)."""
    names = list(columns)
    table = np.stack([np.asarray(columns[name]) for name in names], axis=1).astype("<f4", copy=False)
    if "rgb" in columns:  # a bit pattern, often a NaN's: a cast through stack may not keep it
        table.view("<u4")[:, names.index("rgb")] = columns["rgb"].view("<u4")
    cloud = PointCloud2(
        height=1, width=len(table), point_step=4 * len(names), row_step=4 * len(names) * len(table), is_bigendian=False
    )
    cloud.fields = [
        PointField(name=name, offset=4 * i, datatype=PointField.FLOAT32, count=1) for i, name in enumerate(names)
    ]
    cloud.data = table.tobytes()
    cloud.is_dense = bool(
        np.isfinite(np.delete(table, names.index("rgb"), axis=1) if "rgb" in columns else table).all()
    )
    return cloud


def cloud_to_columns(cloud: PointCloud2) -> dict[str, F32]:
    """The float32 fields of a PointCloud2 whose fields are all float32, one array (N,) per field."""
    data = np.frombuffer(cloud.data, dtype=np.uint8).reshape(cloud.height * cloud.width, cloud.point_step)
    return {f.name: data[:, f.offset : f.offset + 4].copy().view("<f4")[:, 0] for f in cloud.fields}


def points_to_cloud(points: PointCloud) -> PointCloud2:
    """x y z rgb normal_x normal_y normal_z, then seen and expected_error_mm where the cloud has them; all float32."""
    xyz, normals = points.points, points.normals
    trust = {"seen": points.seen, "expected_error_mm": points.expected_error_mm}
    return columns_to_cloud(
        {
            **{axis: xyz[:, i] for i, axis in enumerate("xyz")},
            "rgb": pack_rgb(points.colors),
            **{f"normal_{axis}": normals[:, i] for i, axis in enumerate("xyz")},
            **{name: values for name, values in trust.items() if values is not None},
        }
    )


def joined_clouds(clouds: Sequence[PointCloud2]) -> PointCloud2:
    """The points of several clouds of the same fields in one, in the frame of the first, which they share."""
    first, *others = clouds
    if any(cloud.fields != first.fields for cloud in others):
        raise ValueError("clouds of different fields cannot be joined")
    joined = PointCloud2(header=first.header, height=1, fields=first.fields, is_bigendian=False)
    joined.width, joined.point_step = sum(cloud.width for cloud in clouds), first.point_step
    joined.row_step, joined.is_dense = joined.width * joined.point_step, all(cloud.is_dense for cloud in clouds)
    joined.data = b"".join(bytes(cloud.data) for cloud in clouds)
    return joined


def gaussians_to_cloud(gaussians: Gaussians) -> PointCloud2:
    """x y z rgb opacity scale_0..2 rot_0..3: opacity in [0, 1], scales in metres, rotation wxyz (no log, no logit)."""
    means, scales, quats = (t.detach().cpu().numpy() for t in (gaussians.means, gaussians.scales, gaussians.quats))
    colors = (gaussians.colors.detach().cpu().numpy().clip(0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
    return columns_to_cloud(
        {
            **{axis: means[:, i] for i, axis in enumerate("xyz")},
            "rgb": pack_rgb(colors),
            "opacity": gaussians.opacities.detach().cpu().numpy(),
            **{f"scale_{i}": scales[:, i] for i in range(3)},
            **{f"rot_{i}": quats[:, i] for i in range(4)},
        }
    )


def _points(vertices: F64) -> list[Point]:
    return [Point(x=x, y=y, z=z) for x, y, z in vertices.tolist()]


def _colors(colors: U8) -> list[ColorRGBA]:
    return [ColorRGBA(r=r, g=g, b=b, a=1.0) for r, g, b in (colors / 255.0).tolist()]


def mesh_to_message(mesh: Mesh) -> MeshMessage:
    """shape_msgs/Mesh: what MoveIt and grasp planners take."""
    return triangles_to_message(mesh.vertices, mesh.faces)


def triangles_to_message(vertices: F64, faces: NDArray[Any]) -> MeshMessage:
    """shape_msgs/Mesh of vertices (N, 3) and faces (M, 3)."""
    triangles = [MeshTriangle(vertex_indices=face) for face in faces.astype(np.uint32)]
    return MeshMessage(triangles=triangles, vertices=_points(vertices))


def mesh_from_message(
    mesh: MeshMessage, colors: list[ColorRGBA], seen: Sequence[int] = (), expected_error_mm: Sequence[float] = ()
) -> Mesh:
    """The `Mesh` of a ReconstructedObject's ``mesh`` and ``mesh_vertex_colors``, ``mesh_vertex_seen`` and
    ``mesh_vertex_expected_error_mm``; of the last two, an empty one is None in the mesh."""
    return Mesh(
        vertices=np.array([[v.x, v.y, v.z] for v in mesh.vertices], dtype=np.float64).reshape(-1, 3),
        faces=np.array([t.vertex_indices for t in mesh.triangles], dtype=np.int32).reshape(-1, 3),
        colors=np.array([[round(255 * v) for v in (c.r, c.g, c.b)] for c in colors], dtype=np.uint8).reshape(-1, 3),
        seen=np.array(seen, np.uint8) if len(seen) else None,
        expected_error_mm=np.array(expected_error_mm, np.float32) if len(expected_error_mm) else None,
    )


def mesh_to_marker(mesh: Mesh, header: Header, name: str) -> Marker:
    """A TRIANGLE_LIST with one colour per corner, for RViz; it stays in its frame where that moves."""
    marker = Marker(header=header, ns=name, id=0, type=Marker.TRIANGLE_LIST, action=Marker.ADD, frame_locked=True)
    marker.pose.orientation.w = 1.0
    marker.scale = Vector3(x=1.0, y=1.0, z=1.0)
    marker.color = ColorRGBA(r=1.0, g=1.0, b=1.0, a=1.0)
    corners = mesh.faces.reshape(-1)
    points, colors = _points(mesh.vertices), _colors(mesh.colors)
    marker.points = [points[i] for i in corners]
    marker.colors = [colors[i] for i in corners]
    return marker


def views_to_poses(views: Sequence[View], header: Header) -> PoseArray:
    """The optical frames that the views were taken from."""
    return PoseArray(header=header, poses=[matrix_to_pose(view.T_world_camera) for view in views])


def reconstruction_to_object(result: Reconstruction, object_id: str, header: Header) -> ReconstructedObject:
    """The whole result, all of it in ``header``'s frame."""
    cloud = points_to_cloud(result.cloud)
    cloud.header = header
    x, y, z = np.asarray(result.box.size, dtype=np.float64).tolist()
    quality = result.quality
    return ReconstructedObject(
        header=header,
        id=object_id,
        method=result.method,
        cloud=cloud,
        mesh=mesh_to_message(result.mesh),
        mesh_vertex_colors=_colors(result.mesh.colors),
        mesh_vertex_seen=[] if result.mesh.seen is None else result.mesh.seen,
        mesh_vertex_expected_error_mm=[] if result.mesh.expected_error_mm is None else result.mesh.expected_error_mm,
        box_pose=matrix_to_pose(result.box.T_world_box),
        box_size=Vector3(x=x, y=y, z=z),
        view_count=result.view_count,
        poses=pose_correction_to_message(result.poses),
        completion=completion_to_message(result.settings.get("completion", {})),
        quality=QualityMessage(
            silhouette_iou=float(quality.silhouette_iou),
            color_error=float(quality.color_error),
            coverage=float(quality.coverage),
            expected_error_mm=float(quality.expected_error_mm),
            pose_residual_px=float(quality.pose_residual_px),
            depth_residual_mm=float(quality.depth_residual_mm),
            completeness=float(quality.completeness),
            outline_gap_mm=float(quality.outline_gap_mm),
            unsupported_outline=float(quality.unsupported_outline),
            photo_residual_mm=float(quality.photo_residual_mm),
            objects=int(quality.objects),
            low=bool(quality.low),
            reasons=list(quality.reasons),
        ),
    )


def pose_correction_to_message(correction: PoseCorrection | None) -> PoseCorrectionMessage:
    """What the check of the poses found; without one the identity, with NaN for what was not measured."""
    if correction is None:
        nothing = float("nan")
        correction = PoseCorrection(np.eye(4), nothing, nothing, np.zeros(0), np.zeros(0), nothing, nothing)
    return PoseCorrectionMessage(
        hand_eye=matrix_to_pose(correction.hand_eye),
        hand_eye_sigma_mm=float(correction.hand_eye_sigma_mm),
        hand_eye_sigma_deg=float(correction.hand_eye_sigma_deg),
        view_mm=np.asarray(correction.view_mm, np.float32),
        view_deg=np.asarray(correction.view_deg, np.float32),
        residual_before_px=float(correction.residual_before_px),
        residual_after_px=float(correction.residual_after_px),
        left_out=[int(view) for view in correction.left_out],
    )


def completion_to_message(about: Mapping[str, Any]) -> Completion:
    """What `mvgamba_ros.completion` writes of a generator's part; empty where none was called."""
    if not about:
        return Completion()
    return Completion(
        generator=about["generator"],
        seed=int(about["seed"]),
        guessed_share=float(about["guessed_share"]),
        scale_sigma=float(about["scale_sigma"]),
        position_sigma_mm=float(about["position_sigma_mm"]),
        silhouette_iou=float(about["silhouette_iou"]),
        scale_from=list(about["scale_from"]),
    )


def seconds_to_stages(seconds: Mapping[str, float]) -> list[StageTime]:
    """Wall time per stage, in the order of the work."""
    return [StageTime(name=name, seconds=float(value)) for name, value in seconds.items()]
