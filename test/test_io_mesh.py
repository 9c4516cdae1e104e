"""Meshes survive PLY, GLB, OBJ and STL."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import trimesh
from shapes import cuboid

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.io.mesh_files import read_mesh, write_mesh

MESH = cuboid([0.1, 0.2, 0.3], [0.2, 0.4, 0.6], color=(10, 200, 30))


@pytest.mark.parametrize("name", ["m.ply", "m.glb", "m.obj", "m.stl"])
def test_a_mesh_comes_back_in_metres(tmp_path, name):
    write_mesh(tmp_path / name, MESH)
    back = read_mesh(tmp_path / name)
    np.testing.assert_allclose(back.vertices.min(axis=0), [0.1, 0.2, 0.3], atol=1e-6)
    np.testing.assert_allclose(back.vertices.max(axis=0), [0.2, 0.4, 0.6], atol=1e-6)
    assert len(back.faces) == 12 and back.faces.dtype == np.int32
    assert trimesh.Trimesh(back.vertices, back.faces).volume == pytest.approx(0.006)
    if name != "m.stl":  # it has no colours
        assert (back.colors == [10, 200, 30]).all()


@pytest.mark.parametrize("name", ["m.ply", "m.glb", "m.obj", "m.stl"])
def test_a_ply_says_which_vertices_were_seen_and_how_far_they_may_be_off(tmp_path, name):
    seen, errors = np.arange(8, dtype=np.uint8), np.linspace(0.5, 9.0, 8, dtype=np.float32)
    mesh = replace(MESH, seen=seen, expected_error_mm=errors)
    write_mesh(tmp_path / name, mesh)
    back = read_mesh(tmp_path / name)
    if name != "m.ply":
        assert back.seen is None and back.expected_error_mm is None
        return
    np.testing.assert_array_equal(back.seen, seen)
    np.testing.assert_array_equal(back.expected_error_mm, errors)
    assert back.seen.dtype == np.uint8 and back.expected_error_mm.dtype == np.float32
    elsewhere = trimesh.load(tmp_path / name, process=False)
    assert elsewhere.is_watertight and (elsewhere.visual.vertex_colors[:, :3] == [10, 200, 30]).all()
    import open3d as o3d

    assert len(o3d.io.read_triangle_mesh(str(tmp_path / name)).triangles) == 12


def test_a_ply_of_text_says_so_too(tmp_path):
    mesh = trimesh.creation.box()
    text = trimesh.exchange.ply.export_ply(mesh, encoding="ascii").decode()
    (tmp_path / "m.ply").write_text(text)
    assert read_mesh(tmp_path / "m.ply").seen is None
    head, body = text.split("end_header\n")
    rows = body.splitlines()
    rows[:8] = [f"{row.strip()} {k}" for k, row in enumerate(rows[:8])]
    head = head.replace("element face", "property uchar seen\nelement face")
    (tmp_path / "m.ply").write_text(head + "end_header\n" + "\n".join(rows) + "\n")
    np.testing.assert_array_equal(read_mesh(tmp_path / "m.ply").seen, np.arange(8))


def test_an_unknown_format_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(ReconstructionError, match=r"\.glb") as error:
        write_mesh(tmp_path / "m.fbx", MESH)
    assert error.value.code == ErrorCode.CANNOT_WRITE


def test_a_file_without_triangles_is_refused(tmp_path):
    (tmp_path / "m.stl").write_bytes(b"")
    with pytest.raises(ReconstructionError, match=r"m\.stl") as error:
        read_mesh(tmp_path / "m.stl")
    assert error.value.code == ErrorCode.BAD_CAPTURE
