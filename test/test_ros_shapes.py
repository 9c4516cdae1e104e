"""Clouds, Gaussians and meshes to messages and back."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

pytest.importorskip("rclpy")

import torch
from hypothesis import given
from hypothesis import strategies as st
from rclpy.serialization import deserialize_message, serialize_message
from std_msgs.msg import Header

from mvgamba_ros.msg import ReconstructedObject
from mvgamba_ros.reconstruction import Quality, Reconstruction
from mvgamba_ros.ros.conversions.shapes import (
    cloud_to_columns,
    gaussians_to_cloud,
    mesh_from_message,
    mesh_to_marker,
    mesh_to_message,
    pack_rgb,
    points_to_cloud,
    reconstruction_to_object,
)
from mvgamba_ros.types import Box, Gaussians, Mesh, PointCloud

pytestmark = pytest.mark.ros


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


def test_a_cloud_says_which_points_were_seen_and_how_far_they_may_be_off():
    seen, errors = np.array([0, 1, 255], np.uint8), np.array([7.5, 0.5, 1.25], np.float32)
    cloud = PointCloud(np.eye(3), np.eye(3), np.full((3, 3), 200, np.uint8), seen, errors)
    message = points_to_cloud(cloud)
    assert [f.name for f in message.fields][-2:] == ["seen", "expected_error_mm"] and message.point_step == 36
    columns = cloud_to_columns(message)
    np.testing.assert_array_equal(columns["seen"], seen)
    np.testing.assert_array_equal(columns["expected_error_mm"], errors)
    assert (columns["rgb"].view(np.uint32) == 0xC8C8C8).all()


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


def test_an_object_says_of_each_vertex_how_many_views_saw_it_and_how_far_it_may_be_off():
    seen, errors = np.array([0, 1, 2, 255], np.uint8), np.array([8.5, 1.5, 0.75, 0.5], np.float32)
    mesh = replace(tetrahedron(), seen=seen, expected_error_mm=errors)
    cloud = PointCloud(np.eye(3), np.eye(3), np.zeros((3, 3), np.uint8), seen[:3], errors[:3])
    quality = Quality(0.9, 0.1, 0.8, low=False, expected_error_mm=2.5)
    result = Reconstruction(mesh, cloud, Box(np.eye(4), np.ones(3)), quality, (), {}, "hull")
    sent = reconstruction_to_object(result, "cup", Header(frame_id="base_link"))
    found = deserialize_message(serialize_message(sent), ReconstructedObject)
    back = mesh_from_message(
        found.mesh, found.mesh_vertex_colors, found.mesh_vertex_seen, found.mesh_vertex_expected_error_mm
    )
    np.testing.assert_array_equal(back.seen, seen)
    np.testing.assert_array_equal(back.expected_error_mm, errors)
    assert found.quality.expected_error_mm == 2.5
    assert cloud_to_columns(found.cloud)["seen"].tolist() == [0.0, 1.0, 2.0]
    without = replace(mesh, seen=None, expected_error_mm=None)
    found = reconstruction_to_object(replace(result, mesh=without), "cup", Header())
    assert not found.mesh_vertex_seen and not found.mesh_vertex_expected_error_mm
    assert mesh_from_message(found.mesh, found.mesh_vertex_colors, found.mesh_vertex_seen).seen is None


def test_every_part_of_the_quality_is_sent():
    numbers = {
        field.name: 0.25 + k
        for k, field in enumerate(fields(Quality))
        if field.name not in ("low", "reasons", "objects")
    }
    quality = Quality(**numbers, low=True, reasons=("it floats",), objects=3)
    points, box = PointCloud(np.eye(3), np.eye(3), np.zeros((3, 3), np.uint8)), Box(np.eye(4), np.ones(3))
    result = Reconstruction(tetrahedron(), points, box, quality, (), {}, "hull")
    sent = reconstruction_to_object(result, "cup", Header()).quality
    assert {name: getattr(sent, name) for name in numbers} == numbers
    assert (sent.low, list(sent.reasons), sent.objects) == (True, ["it floats"], 3)


def test_a_marker_lists_three_coloured_corners_per_face():
    mesh = tetrahedron()
    marker = mesh_to_marker(mesh, Header(frame_id="base_link"), "object")
    assert (marker.type, len(marker.points), len(marker.colors)) == (marker.TRIANGLE_LIST, 12, 12)
    corner = mesh.vertices[mesh.faces[3, 2]]
    assert [marker.points[11].x, marker.points[11].y, marker.points[11].z] == corner.tolist()
    assert (marker.pose.orientation.w, marker.scale.x, marker.colors[0].a) == (1.0, 1.0, 1.0)
