"""What planners are given of a shape: a frame to grasp by, and convex parts that hold all of it."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapes import cuboid
from transforms3d.axangles import axangle2mat

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.boxes import object_frame, oriented_box
from mvgamba_ros.geometry.se3 import rigid
from mvgamba_ros.surface import convex_parts as module
from mvgamba_ros.surface.convex_parts import convex_parts
from mvgamba_ros.types import Box, Mesh


@given(yaw=st.floats(-np.pi, np.pi), width=st.floats(0.02, 0.2), depth=st.floats(0.02, 0.2))
def test_the_frame_of_an_object_lies_along_its_longer_side_and_never_points_backwards(yaw, width, depth):
    center = np.array([0.5, -0.1, 0.08])
    T = object_frame(Box(rigid(axangle2mat([0, 0, 1], yaw), center), np.array([width, depth, 0.16])))
    np.testing.assert_allclose(T[:3, 3], center)
    np.testing.assert_allclose(T[:3, 2], [0, 0, 1], atol=1e-12)
    np.testing.assert_allclose(T[:3, :3].T @ T[:3, :3], np.eye(3), atol=1e-12)
    longer = yaw if width >= depth else yaw + np.pi / 2
    assert abs(T[:2, 0] @ [np.cos(longer), np.sin(longer)]) == pytest.approx(1.0)
    assert T[0, 0] >= -1e-8


def test_the_frame_across_is_turned_left_however_the_box_was_found():
    for turn in (90.0, -90.0):
        T = object_frame(Box(rigid(axangle2mat([0, 0, 1], np.deg2rad(turn)), np.zeros(3)), np.array([0.2, 0.1, 0.1])))
        np.testing.assert_allclose(T[:3, 0], [0, 1, 0], atol=1e-12)


def bracket() -> Mesh:
    """Two bars in the shape of an L, 10 cm long: its convex hull is half air."""
    bars = [cuboid(np.array(low), np.array(high)) for low, high in (
        ((0.0, 0.0, 0.0), (0.1, 0.02, 0.02)), ((0.0, 0.02, 0.0), (0.02, 0.1, 0.02)))]  # fmt: skip
    faces = np.concatenate([bars[0].faces, bars[1].faces + len(bars[0].vertices)])
    vertices = np.concatenate([bar.vertices for bar in bars])
    return Mesh(vertices, faces, np.full(vertices.shape, 200, np.uint8))


def volume(parts) -> float:
    import trimesh

    return sum(trimesh.Trimesh(*part).volume for part in parts)


def test_one_part_is_the_convex_hull_and_needs_no_package(monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    (part,) = convex_parts(bracket(), 1)
    assert volume([part]) == pytest.approx(0.02 * (0.1 * 0.1 - 0.08 * 0.08 / 2), rel=1e-6)


def test_more_parts_without_the_package_name_the_remedy(monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(ReconstructionError, match=r"vhacdx: pip install 'mvgamba_ros\[convex\]'") as raised:
        convex_parts(bracket(), 2)
    assert raised.value.code is ErrorCode.MISSING_PACKAGE


needs_vhacd = pytest.mark.skipif(find_spec("vhacdx") is None, reason="needs the extra convex")


@needs_vhacd
def test_parts_are_few_hold_the_whole_surface_and_little_air():
    mesh = bracket()
    parts = convex_parts(mesh, 4)
    assert 2 <= len(parts) <= 4
    corners = mesh.vertices[mesh.faces]
    points = np.concatenate([mesh.vertices, corners.mean(axis=1), (corners[:, 0] + corners[:, 1]) / 2])
    import trimesh

    hulls = [trimesh.Trimesh(*part) for part in parts]
    outside = [
        (points @ h.face_normals.T - (h.face_normals * h.triangles[:, 0]).sum(axis=1)).max(axis=1) for h in hulls
    ]
    assert np.min(outside, axis=0).max() < 1e-6
    solid = 0.1 * 0.02 * 0.02 + 0.08 * 0.02 * 0.02
    assert solid * 0.99 < volume(parts) < 1.35 * solid < volume(convex_parts(mesh, 1))


@needs_vhacd
def test_parts_that_are_not_wanted_any_more_are_given_up_at_once():
    with pytest.raises(ReconstructionError) as raised:
        convex_parts(bracket(), 4, cancelled=lambda: True)
    assert raised.value.code is ErrorCode.CANCELLED


@needs_vhacd
def test_a_failure_of_the_process_is_named(monkeypatch):
    started = subprocess.Popen
    failing = [sys.executable, "-c", "raise SystemExit('no grid')"]
    monkeypatch.setattr(module.subprocess, "Popen", lambda command, **pipes: started(failing, **pipes))
    with pytest.raises(ReconstructionError, match="status 1: no grid"):
        convex_parts(bracket(), 4)


def test_the_frame_stands_in_the_middle_of_the_box_that_is_found():
    mesh = cuboid(np.array([0.4, 0.0, 0.0]), np.array([0.45, 0.2, 0.1]))
    T = object_frame(oriented_box(mesh))
    np.testing.assert_allclose(T[:3, 3], [0.425, 0.1, 0.05], atol=1e-6)
    np.testing.assert_allclose(T[:3, 0], [0, 1, 0], atol=1e-4)
