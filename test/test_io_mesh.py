"""Meshes survive PLY, GLB, OBJ and STL."""

from __future__ import annotations

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


def test_an_unknown_format_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(ReconstructionError, match=r"\.glb") as error:
        write_mesh(tmp_path / "m.fbx", MESH)
    assert error.value.code == ErrorCode.CANNOT_WRITE


def test_a_file_without_triangles_is_refused(tmp_path):
    (tmp_path / "m.stl").write_bytes(b"")
    with pytest.raises(ReconstructionError, match=r"m\.stl") as error:
        read_mesh(tmp_path / "m.stl")
    assert error.value.code == ErrorCode.BAD_CAPTURE
