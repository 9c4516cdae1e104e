# mypy: no-check-untyped-defs
"""Point files hold what was put in, in the layouts that other programs read."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.io.ply import SH_C0, read_gaussians, write_cloud, write_gaussians
from mvgamba_ros.types import Gaussians, PointCloud


def some_gaussians(n: int = 50) -> Gaussians:
    torch.manual_seed(1)
    quats = torch.nn.functional.normalize(torch.randn(n, 4), dim=1)
    return Gaussians(torch.randn(n, 3), quats, torch.rand(n, 3) * 0.1 + 1e-4, torch.rand(n), torch.rand(n, 3))


def test_gaussians_come_back(tmp_path):
    g = some_gaussians()
    write_gaussians(tmp_path / "g.ply", g)
    back = read_gaussians(tmp_path / "g.ply")
    for name in ("means", "quats", "scales", "opacities", "colors"):
        torch.testing.assert_close(getattr(back, name), getattr(g, name), atol=1e-5, rtol=1e-4)


def test_the_layout_is_that_of_3d_gaussian_splatting(tmp_path):
    g = some_gaussians()
    write_gaussians(tmp_path / "g.ply", g)
    data = trimesh.load(tmp_path / "g.ply").metadata["_ply_raw"]["vertex"]["data"]
    names = "x y z nx ny nz f_dc_0 f_dc_1 f_dc_2 opacity scale_0 scale_1 scale_2 rot_0 rot_1 rot_2 rot_3"
    assert list(data.dtype.names) == names.split()
    np.testing.assert_allclose(np.ravel(data["opacity"]), torch.logit(g.opacities), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(np.ravel(data["scale_1"]), g.scales[:, 1].log(), rtol=1e-5)
    np.testing.assert_allclose(np.ravel(data["f_dc_2"]), (g.colors[:, 2] - 0.5) / SH_C0, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(np.ravel(data["rot_0"]), g.quats[:, 0], rtol=1e-5)


def test_fully_opaque_and_fully_clear_gaussians_stay_finite(tmp_path):
    g = some_gaussians(2)
    g = Gaussians(g.means, g.quats, g.scales, torch.tensor([0.0, 1.0]), g.colors)
    write_gaussians(tmp_path / "g.ply", g)
    torch.testing.assert_close(read_gaussians(tmp_path / "g.ply").opacities, g.opacities, atol=1e-5, rtol=0.0)


def test_a_cloud_opens_elsewhere_with_normals_and_colours(tmp_path):
    rng = np.random.default_rng(0)
    normals = rng.normal(size=(20, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    cloud = PointCloud(rng.normal(size=(20, 3)), normals, rng.integers(0, 256, (20, 3), dtype=np.uint8))
    write_cloud(tmp_path / "c.ply", cloud)
    back = trimesh.load(tmp_path / "c.ply")
    np.testing.assert_allclose(back.vertices, cloud.points, atol=1e-6)
    np.testing.assert_array_equal(back.colors[:, :3], cloud.colors)
    data = back.metadata["_ply_raw"]["vertex"]["data"]
    np.testing.assert_allclose(np.ravel(data["nz"]), cloud.normals[:, 2], atol=1e-6)


def test_a_cloud_says_which_points_were_seen_and_how_far_they_may_be_off(tmp_path):
    seen, errors = np.array([0, 3, 255], np.uint8), np.array([4.5, 0.25, 1.0], np.float32)
    cloud = PointCloud(np.eye(3), np.eye(3), np.full((3, 3), 7, np.uint8), seen, errors)
    write_cloud(tmp_path / "c.ply", cloud)
    header = (tmp_path / "c.ply").read_bytes().partition(b"end_header")[0].decode()
    assert "property uchar seen\n" in header and "property float expected_error_mm\n" in header
    back = trimesh.load(tmp_path / "c.ply")
    np.testing.assert_allclose(back.vertices, cloud.points, atol=1e-6)
    assert (back.colors[:, :3] == 7).all()
    data = back.metadata["_ply_raw"]["vertex"]["data"]
    np.testing.assert_array_equal(np.ravel(data["seen"]), seen)
    np.testing.assert_array_equal(np.ravel(data["expected_error_mm"]), errors)
    import open3d as o3d

    assert len(o3d.io.read_point_cloud(str(tmp_path / "c.ply")).points) == 3


@pytest.mark.parametrize(
    "damage, word", [("cloud", "f_dc_0"), ("cut", "cut off"), ("text", "not a binary"), ("", "read")]
)
def test_what_is_no_file_of_gaussians_is_refused(tmp_path, damage, word):
    path = tmp_path / "g.ply"
    if damage == "cloud":
        write_cloud(path, PointCloud(np.zeros((1, 3)), np.zeros((1, 3)), np.zeros((1, 3), np.uint8)))
    elif damage == "cut":
        write_gaussians(path, some_gaussians())
        path.write_bytes(path.read_bytes()[:-8])
    elif damage == "text":
        path.write_text("ply\nformat ascii 1.0\nend_header\n")
    with pytest.raises(ReconstructionError, match=word) as error:
        read_gaussians(path)
    assert error.value.code == ErrorCode.BAD_CAPTURE and "g.ply" in error.value.message


def test_a_folder_that_is_not_there_is_said_so(tmp_path):
    with pytest.raises(ReconstructionError) as error:
        write_gaussians(tmp_path / "none" / "g.ply", some_gaussians())
    assert error.value.code == ErrorCode.CANNOT_WRITE
