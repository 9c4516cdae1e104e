"""Messages to the core's types and back: what drivers send is read right or refused by name."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy")

import torch
from geometry_msgs.msg import Point, Pose, Quaternion
from hypothesis import given
from hypothesis import strategies as st
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.se3 import quat_to_matrix
from mvgamba_ros.ros.conversions.geometry import (
    camera_info_to_camera,
    camera_to_camera_info,
    matrix_to_pose,
    pose_to_matrix,
)
from mvgamba_ros.ros.conversions.images import (
    COLOR_ENCODINGS,
    array_to_image,
    compressed_to_rgb,
    image_to_depth,
    image_to_mask,
    image_to_rgb,
)
from mvgamba_ros.ros.conversions.shapes import (
    cloud_to_columns,
    gaussians_to_cloud,
    mesh_from_message,
    mesh_to_marker,
    mesh_to_message,
    pack_rgb,
    points_to_cloud,
)
from mvgamba_ros.ros.view_capture import make_view, sharpness
from mvgamba_ros.types import Camera, Gaussians, Mesh, PointCloud

pytestmark = pytest.mark.ros


def encode(rgb: np.ndarray, encoding: str, padding: int = 0) -> Image:
    """An Image as a driver would fill it, from the encoding's own definition, with ``padding`` bytes at each row."""
    height, width = rgb.shape[:2]
    if encoding.startswith("bayer"):
        pattern = encoding[6:10]
        pixels = np.zeros((height, width), np.uint8)
        for i, letter in enumerate(pattern):
            row, column = divmod(i, 2)
            pixels[row::2, column::2] = rgb[row::2, column::2, "rgb".index(letter)]
    elif encoding == "mono8":
        pixels = rgb[..., 0]
    else:
        alpha = np.full((height, width), 7, np.uint8)
        planes = {"r": rgb[..., 0], "g": rgb[..., 1], "b": rgb[..., 2], "a": alpha}
        pixels = np.stack([planes[letter] for letter in encoding[:-1]], axis=-1)
    rows = pixels.reshape(height, -1)
    rows = np.concatenate([rows, np.full((height, padding), 99, np.uint8)], axis=1)
    return Image(height=height, width=width, encoding=encoding, step=rows.shape[1], data=rows.tobytes())


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize("encoding", COLOR_ENCODINGS)
def test_every_listed_encoding_gives_back_the_colour_it_was_made_from(encoding, padding):
    rgb = np.empty((12, 16, 3), np.uint8)
    rgb[:] = (200, 200, 200) if encoding == "mono8" else (200, 90, 30)
    np.testing.assert_array_equal(image_to_rgb(encode(rgb, encoding, padding)), rgb)


def test_a_bayer_image_keeps_edges_where_they_are():
    rgb = np.zeros((16, 16, 3), np.uint8)
    rgb[:, 8:] = (250, 120, 40)
    decoded = image_to_rgb(encode(rgb, "bayer_rggb8"))
    np.testing.assert_allclose(decoded[4:12, [1, 2, 12, 13]], rgb[4:12, [1, 2, 12, 13]], atol=2)


@pytest.mark.parametrize("encoding", ["yuv422", "8UC3", "16UC1", "", "rgb16"])
def test_an_encoding_that_is_not_listed_is_refused_by_name(encoding):
    message = Image(height=2, width=2, step=12, encoding=encoding, data=bytes(24))
    with pytest.raises(ReconstructionError, match=f"'{encoding}'.*rgb8") as caught:
        image_to_rgb(message)
    assert caught.value.code is ErrorCode.BAD_ENCODING


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"step": 11}, "step 11 is less than the 12 bytes"),
        ({"data": bytes(47)}, "47 bytes of data.*needs 48"),
        ({"width": 0}, "empty"),
        ({"data": b""}, "0 bytes"),
    ],
)
def test_a_wrong_step_or_short_data_is_refused_with_its_numbers(change, said):
    fields = {"height": 4, "width": 4, "step": 12, "encoding": "rgb8", "data": bytes(48)} | change
    with pytest.raises(ReconstructionError, match=said) as caught:
        image_to_rgb(Image(**fields))
    assert caught.value.code is ErrorCode.BAD_IMAGE


def test_a_last_row_without_its_padding_is_enough():
    message = encode(np.full((4, 4, 3), 50, np.uint8), "rgb8", padding=4)
    message.data = message.data[:-4]
    assert (image_to_rgb(message) == 50).all()


@pytest.mark.parametrize(("extension", "format_"), [(".png", "rgb8; png compressed bgr8"), (".jpg", "jpeg")])
def test_compressed_images_keep_their_colours(extension, format_):
    rgb = np.empty((32, 32, 3), np.uint8)
    rgb[:] = (180, 60, 20)
    data = cv2.imencode(extension, rgb[..., ::-1])[1].tobytes()
    np.testing.assert_allclose(compressed_to_rgb(CompressedImage(format=format_, data=data)), rgb, atol=4)


def test_a_truncated_jpeg_and_an_unknown_codec_are_refused():
    with pytest.raises(ReconstructionError, match="do not decode") as caught:
        compressed_to_rgb(CompressedImage(format="jpeg", data=b"\xff\xd8\xff"))
    assert caught.value.code is ErrorCode.BAD_IMAGE
    with pytest.raises(ReconstructionError, match="'h264'") as caught:
        compressed_to_rgb(CompressedImage(format="h264", data=b"1234"))
    assert caught.value.code is ErrorCode.BAD_ENCODING


def test_depth_in_millimetres_and_in_metres_is_the_same_depth():
    metres = np.array([[0.5, 1.234], [0.0, 2.0]], np.float32)
    millimetres = (metres * 1000).round().astype(np.uint16)
    np.testing.assert_allclose(image_to_depth(array_to_image(metres, "32FC1")), metres)
    np.testing.assert_allclose(image_to_depth(array_to_image(millimetres, "16UC1")), metres, atol=1e-6)
    swapped = array_to_image(millimetres.astype(">u2"), "16UC1")
    swapped.is_bigendian = 1
    np.testing.assert_allclose(image_to_depth(swapped), metres, atol=1e-6)


def test_unknown_depth_is_zero_however_it_is_written():
    depth = image_to_depth(array_to_image(np.array([[np.nan, np.inf, -1.0, 0.7]], np.float32), "32FC1"))
    np.testing.assert_allclose(depth, [[0.0, 0.0, 0.0, 0.7]])
    with pytest.raises(ReconstructionError, match="REP-118") as caught:
        image_to_depth(array_to_image(np.zeros((2, 2), np.uint8), "mono8"))
    assert caught.value.code is ErrorCode.BAD_DEPTH


def test_a_mask_is_true_where_it_is_not_zero():
    mask = image_to_mask(array_to_image(np.array([[0, 1, 255]], np.uint8), "mono8"))
    assert mask.tolist() == [[False, True, True]]
    with pytest.raises(ReconstructionError) as caught:
        image_to_mask(array_to_image(np.zeros((2, 2, 3), np.uint8), "rgb8"))
    assert caught.value.code is ErrorCode.BAD_MASK


def info(width: int = 640, height: int = 480, f: float = 500.0, model: str = "plumb_bob", d=()) -> CameraInfo:
    k = [f, 0.0, width / 2 - 0.5, 0.0, f, height / 2 - 0.5, 0.0, 0.0, 1.0]
    p = [f, 0.0, 300.0, 0.0, 0.0, f, 200.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    return CameraInfo(width=width, height=height, k=k, p=p, d=list(d), distortion_model=model)


def test_a_centred_ros_camera_is_centred_at_half_the_width():
    camera = camera_info_to_camera(info())
    assert (camera.K[0, 2], camera.K[1, 2]) == (320.0, 240.0)
    assert camera.distortion_model == "none"


def test_camera_info_survives_the_way_there_and_back():
    camera = Camera(np.array([[500.0, 0, 311], [0, 510.0, 222], [0, 0, 1]]), 640, 480, "plumb_bob", (0.1, 0, 0, 0, 0.2))
    back = camera_info_to_camera(camera_to_camera_info(camera))
    np.testing.assert_allclose(back.K, camera.K)
    assert (back.distortion_model, back.distortion) == (camera.distortion_model, camera.distortion)


@pytest.mark.parametrize(
    ("model", "count"), [("plumb_bob", 4), ("plumb_bob", 5), ("rational_polynomial", 8), ("equidistant", 4)]
)
def test_the_three_distortion_models_are_taken(model, count):
    camera = camera_info_to_camera(info(model=model, d=[0.01] * count))
    assert (camera.distortion_model, len(camera.distortion)) == (model, count)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (CameraInfo(width=640, height=480), "not calibrated"),
        (info(model="thin_prism", d=[0.1] * 5), "thin_prism"),
        (info(model="plumb_bob", d=[0.1] * 3), "3"),
        (info(width=0), "size"),
        (info(f=float("nan")), "finite"),
    ],
)
def test_a_camera_info_that_cannot_be_a_camera_is_refused(message, said):
    with pytest.raises(ReconstructionError, match=said) as caught:
        camera_info_to_camera(message)
    assert caught.value.code is ErrorCode.BAD_CAMERA_INFO


def test_a_rectified_camera_uses_P_and_no_distortion():
    camera = camera_info_to_camera(info(d=[0.1, 0, 0, 0, 0]), rectified=True)
    assert (camera.K[0, 2], camera.K[1, 2], camera.distortion_model) == (300.5, 200.5, "none")


def test_binning_and_roi_move_the_rays_of_no_pixel():
    message = info()
    message.binning_x = message.binning_y = 2
    message.roi.x_offset, message.roi.y_offset, message.roi.width, message.roi.height = 100, 40, 400, 300
    full, part = camera_info_to_camera(info()), camera_info_to_camera(message)
    assert (part.width, part.height) == (200, 150)
    x, y, z = 0.1, -0.05, 1.3
    u_full = full.K[0, 0] * x / z + full.K[0, 2], full.K[1, 1] * y / z + full.K[1, 2]
    u_part = part.K[0, 0] * x / z + part.K[0, 2], part.K[1, 1] * y / z + part.K[1, 2]
    np.testing.assert_allclose(u_part, [(u_full[0] - 100) / 2, (u_full[1] - 40) / 2])


def test_an_image_of_another_size_than_its_camera_info_is_refused():
    image = encode(np.zeros((24, 32, 3), np.uint8), "rgb8")
    with pytest.raises(ReconstructionError, match=r"640 x 480.*32 x 24") as caught:
        make_view(image, info(), np.eye(4))
    assert caught.value.code is ErrorCode.BAD_CAMERA_INFO


def test_depth_of_another_size_than_its_image_is_refused():
    image = encode(np.zeros((24, 32, 3), np.uint8), "rgb8")
    depth = array_to_image(np.ones((12, 16), np.float32), "32FC1")
    with pytest.raises(ReconstructionError, match="16 x 12") as caught:
        make_view(image, info(32, 24), np.eye(4), depth=depth)
    assert caught.value.code is ErrorCode.BAD_DEPTH


unit_vectors = (
    st.tuples(*[st.floats(-1, 1)] * 4)
    .map(np.array)
    .filter(lambda q: np.linalg.norm(q) > 0.1)
    .map(lambda q: q / np.linalg.norm(q))
)


@given(q=unit_vectors, t=st.tuples(*[st.floats(-10, 10)] * 3))
def test_a_pose_survives_the_way_to_ros_and_back(q, t):
    T = np.eye(4)
    T[:3, :3] = quat_to_matrix(q)
    T[:3, 3] = t
    np.testing.assert_allclose(pose_to_matrix(matrix_to_pose(T)), T, atol=1e-9)


def test_ros_quaternions_are_xyzw():
    quarter_turn = Pose(orientation=Quaternion(x=0.0, y=0.0, z=np.sin(np.pi / 4), w=np.cos(np.pi / 4)))
    np.testing.assert_allclose(pose_to_matrix(quarter_turn)[:3, :3] @ [1, 0, 0], [0, 1, 0], atol=1e-12)


@pytest.mark.parametrize(
    "pose",
    [
        Pose(position=Point(x=float("nan")), orientation=Quaternion(w=1.0)),
        Pose(orientation=Quaternion(x=0.0, y=0.0, z=0.0, w=0.0)),
        Pose(orientation=Quaternion(x=0.0, y=0.0, z=0.0, w=1.2)),
        Pose(orientation=Quaternion(x=float("inf"), w=1.0)),
    ],
)
def test_a_pose_that_is_no_pose_is_refused(pose):
    with pytest.raises(ReconstructionError) as caught:
        pose_to_matrix(pose)
    assert caught.value.code is ErrorCode.BAD_POSE


def test_a_cloud_holds_its_points_colours_and_normals():
    rng = np.random.default_rng(0)
    normals = rng.normal(size=(50, 3))
    cloud = PointCloud(rng.normal(size=(50, 3)), normals, rng.integers(0, 256, (50, 3), dtype=np.uint8))
    message = points_to_cloud(cloud)
    assert [f.name for f in message.fields] == ["x", "y", "z", "rgb", "normal_x", "normal_y", "normal_z"]
    assert (message.width, message.point_step, len(message.data)) == (50, 28, 50 * 28)
    columns = cloud_to_columns(message)
    np.testing.assert_allclose(np.stack([columns[a] for a in "xyz"], 1), cloud.points, rtol=1e-6)
    np.testing.assert_allclose(np.stack([columns[f"normal_{a}"] for a in "xyz"], 1), normals, rtol=1e-6)
    bits = columns["rgb"].view(np.uint32)
    np.testing.assert_array_equal(np.stack([bits >> 16 & 255, bits >> 8 & 255, bits & 255], 1), cloud.colors)


@given(color=st.tuples(*[st.integers(0, 255)] * 3))
def test_every_colour_keeps_its_bits_through_the_float(color):
    bits = pack_rgb(np.array([color], np.uint8)).view(np.uint32)
    assert bits[0] == color[0] << 16 | color[1] << 8 | color[2]


def test_splats_hold_every_gaussian_field_in_plain_units():
    gaussians = Gaussians(
        means=torch.tensor([[0.1, 0.2, 0.3]]),
        quats=torch.tensor([[0.5, 0.5, -0.5, 0.5]]),
        scales=torch.tensor([[0.01, 0.02, 0.03]]),
        opacities=torch.tensor([0.75]),
        colors=torch.tensor([[1.0, 0.0, 0.5]]),
    )
    columns = cloud_to_columns(gaussians_to_cloud(gaussians))
    np.testing.assert_allclose([columns[n][0] for n in ("x", "y", "z")], [0.1, 0.2, 0.3], rtol=1e-6)
    np.testing.assert_allclose([columns[f"scale_{i}"][0] for i in range(3)], [0.01, 0.02, 0.03], rtol=1e-6)
    np.testing.assert_allclose([columns[f"rot_{i}"][0] for i in range(4)], [0.5, 0.5, -0.5, 0.5])
    assert columns["opacity"][0] == 0.75
    assert columns["rgb"].view(np.uint32)[0] == 0xFF0080


def tetrahedron() -> Mesh:
    vertices = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    faces = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]], np.int32)
    return Mesh(vertices, faces, np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 9, 9]], np.uint8))


def test_a_mesh_survives_the_way_to_ros_and_back():
    mesh = tetrahedron()
    marker = mesh_to_marker(mesh, Header(frame_id="base_link"), "object")
    corners = mesh.faces.reshape(-1).tolist()
    colors = [marker.colors[corners.index(i)] for i in range(4)]
    back = mesh_from_message(mesh_to_message(mesh), colors)
    np.testing.assert_array_equal(back.vertices, mesh.vertices)
    np.testing.assert_array_equal(back.faces, mesh.faces)
    np.testing.assert_array_equal(back.colors, mesh.colors)


def test_a_marker_lists_three_coloured_corners_per_face():
    mesh = tetrahedron()
    marker = mesh_to_marker(mesh, Header(frame_id="base_link"), "object")
    assert (marker.type, len(marker.points), len(marker.colors)) == (marker.TRIANGLE_LIST, 12, 12)
    corner = mesh.vertices[mesh.faces[3, 2]]
    assert [marker.points[11].x, marker.points[11].y, marker.points[11].z] == corner.tolist()
    assert (marker.pose.orientation.w, marker.scale.x, marker.colors[0].a) == (1.0, 1.0, 1.0)


def test_sharpness_falls_as_the_image_blurs():
    rng = np.random.default_rng(0)
    image = np.repeat(rng.integers(0, 256, (64, 64, 1), dtype=np.uint8), 3, axis=2)
    values = [sharpness(np.asarray(cv2.GaussianBlur(image, (0, 0), s))) for s in (0.5, 1.0, 2.0, 4.0)]
    assert values == sorted(values, reverse=True)
    assert values[0] > 100 * values[-1]
