"""Crops for the network, visibility and colours, pictures of Gaussians, and PLY headers: on known shapes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from shapes import FOUR_SIDES, camera, cuboid, see

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.camera import project
from mvgamba_ros.geometry.se3 import look_at
from mvgamba_ros.geometry.unit_cube import UnitCube
from mvgamba_ros.io.ply import read_gaussians, write_gaussians
from mvgamba_ros.rendering.crops import make_crops
from mvgamba_ros.rendering.mesh_raycaster import Raycaster
from mvgamba_ros.rendering.splats import render_view
from mvgamba_ros.rendering.texture import paint, view_weights
from mvgamba_ros.types import Camera, Gaussians, Mesh

CUBE = cuboid([-0.05, -0.05, -0.05], [0.05, 0.05, 0.05])
UNIT = UnitCube(np.array([0.02, -0.03, 0.01]), 0.1)


@pytest.mark.parametrize("size", [32, 200])
@pytest.mark.parametrize("target", [[0.0, 0.0, 0.0], [0.0, 0.05, -0.13]])
def test_a_crop_is_centred_on_its_silhouette_and_its_intrinsics_are_those_of_its_pixels(
    size: int, target: list[float]
) -> None:
    """Of a silhouette at the image's border too, beyond which a crop is white and clear."""
    views = see(CUBE, FOUR_SIDES[:2], target)
    crops = make_crops(views, UNIT, size, 1.15)
    assert crops.rgb.shape == (1, 2, 3, size, size) and crops.alpha.shape == (1, 2, size, size)
    for v, view in enumerate(views):
        alpha, rgb = crops.alpha[0, v].numpy(), crops.rgb[0, v].numpy()
        rows, columns = np.nonzero(alpha > 0.5)
        low, high = np.array([columns.min(), rows.min()]), np.array([columns.max(), rows.max()]) + 1
        np.testing.assert_allclose((low + high) / 2, size / 2, atol=0.03 * size)
        assert 0.8 < (high - low).max() / size < 0.95
        K, T = crops.K[0, v].double().numpy(), crops.T_cube_camera[0, v].double().numpy()
        seen = np.argwhere(view.mask)[:, ::-1] + 0.5
        full = np.array([seen.min(0) - 0.5, seen.max(0) + 0.5])
        moved = (full - view.camera.K[:2, 2]) / view.camera.K[[0, 1], [0, 1]] * K[[0, 1], [0, 1]] + K[:2, 2]
        np.testing.assert_allclose(moved, [low, high], atol=1.0)
        np.testing.assert_allclose(T[:3, :3], view.T_world_camera[:3, :3], atol=1e-6)
        np.testing.assert_allclose(T[:3, 3], (view.T_world_camera[:3, 3] - UNIT.center) / UNIT.half, atol=1e-5)
        np.testing.assert_allclose(rgb[:, alpha == 0], 1.0, atol=1e-6)
        inside = rgb[:, alpha == 1.0]
        np.testing.assert_allclose(inside.mean(1), np.array([200, 60, 40]) / 255, atol=0.01)


def test_a_shrunk_crop_averages_its_pixels() -> None:
    (view,) = see(CUBE, FOUR_SIDES[:1], [0.0, 0.0, 0.0], camera(1280, 960, 3000.0))
    stripes = np.zeros_like(view.image)
    stripes[:, ::2] = 255
    rgb = make_crops([replace(view, image=stripes)], UNIT, 64, 1.15).rgb[0, 0]
    middle = rgb[:, 24:40, 24:40]
    assert abs(float(middle.mean()) - 0.5) < 0.05
    assert float(middle.std()) < 0.06


def test_the_floor_of_a_crop_is_the_support_plane_in_the_unit_cube() -> None:
    views = see(CUBE, FOUR_SIDES[:1], [0.0, 0.0, 0.0])
    assert float(make_crops(views, UNIT, 16, 1.15).floor) == -np.inf
    assert float(make_crops(views, UNIT, 16, 1.15, -0.05).floor) == pytest.approx((-0.05 - 0.01) / 0.1)
    assert float(make_crops(views, UNIT, 16, 1.15, 0.0).floor) == pytest.approx(-0.1)


def test_a_view_without_a_silhouette_is_named() -> None:
    views = [replace(view, name="") for view in see(CUBE, FOUR_SIDES[:2], [0.0, 0.0, 0.0])]
    for mask in (None, np.zeros((240, 320), bool)):
        with pytest.raises(ReconstructionError, match="view 1: no silhouette") as caught:
            make_crops([views[0], replace(views[1], mask=mask)], UNIT, 16, 1.15)
        assert caught.value.code is ErrorCode.EMPTY_SILHOUETTE


def two_cubes() -> Mesh:
    """A cube, and a smaller one before it as seen from +x."""
    front = cuboid([0.1, -0.02, -0.02], [0.14, 0.02, 0.02], (0, 0, 250))
    return Mesh(
        np.concatenate([CUBE.vertices, front.vertices]),
        np.concatenate([CUBE.faces, front.faces + len(CUBE.vertices)]).astype(np.int32),
        np.concatenate([CUBE.colors, front.colors]),
    )


def test_a_point_is_seen_by_the_views_before_which_nothing_stands() -> None:
    mesh = two_cubes()
    views = see(mesh, [*FOUR_SIDES, [0.5, 0.3, 0.0]], [0.0, 0.0, 0.0], camera(focal=400.0))
    points = np.array([[0.05, 0.0, 0.0], [0.05, 0.04, 0.04], [-0.05, 0.0, 0.0], [0.05, -0.049, 0.0]])
    normals = np.array([[1.0, 0, 0], [1.0, 0, 0], [-1.0, 0, 0], [1.0, 0, 0]])
    weights = view_weights(points, normals, views, Raycaster(mesh))
    np.testing.assert_allclose(weights[0], [0.0, np.cos(np.hypot(0.04, 0.04) / 0.4509), 0.0, 0.994], atol=0.01)
    np.testing.assert_allclose(weights[2], [0.0, 0.0, 1.0, 0.0], atol=1e-6)
    assert not weights[[1, 3]].any()  # they see these sides edge-on
    away = replace(views[2], T_world_camera=look_at(np.array([-0.5, 0.0, 0.0]), np.array([-0.5, 1.0, 0.0])))
    assert not view_weights(points, normals, [away], Raycaster(mesh)).any()


def test_a_points_colour_is_that_of_its_pixel_and_an_unseen_ones_that_of_the_nearest() -> None:
    """In more points than one block of samples holds."""
    views = see(CUBE, [[0.5, 0.0, 0.0]], [0.0, 0.0, 0.0], camera(focal=400.0))
    rng = np.random.default_rng(0)
    points = np.column_stack([np.full(40_000, 0.05), rng.uniform(-0.04, 0.04, (40_000, 2))])
    ramp = np.zeros_like(views[0].image)
    ramp[..., 0] = np.arange(320)[None] * 255 // 320
    ramp[..., 1] = np.arange(240)[:, None]
    (view,) = [replace(views[0], image=ramp)]
    behind = points * [-1, 1, 1]
    both = np.concatenate([points, behind])
    normals = np.repeat([[1.0, 0, 0], [-1.0, 0, 0]], len(points), axis=0)
    weights = view_weights(both, normals, [view], Raycaster(CUBE))
    assert weights[0, : len(points)].all() and not weights[0, len(points) :].any()
    fallback = np.zeros((len(both), 3), np.uint8)
    colors = paint(both, weights, [view], fallback)
    pixels, _ = project(view.camera, view.T_world_camera, points)
    expected = np.column_stack([(pixels[:, 0] - 0.5) * 255 / 320, pixels[:, 1] - 0.5])
    assert np.abs(colors[: len(points), :2] - expected).max() <= 1.5
    assert np.abs(colors[len(points) :, :2].astype(int) - colors[: len(points), :2]).mean() < 25
    assert (paint(both, np.zeros_like(weights), [view], fallback + np.uint8(7)) == 7).all()


def test_the_picture_of_a_gaussian_is_white_around_it_and_its_silhouette_where_it_is_opaque() -> None:
    one = Gaussians(
        torch.tensor([[0.02, 0.0, 0.01]]), torch.tensor([[1.0, 0, 0, 0]]), torch.full((1, 3), 0.02),
        torch.tensor([0.95]), torch.tensor([[0.1, 0.6, 0.2]]),
    )  # fmt: skip
    lens = Camera(np.array([[200.0, 0, 40], [0, 200, 30], [0, 0, 1]]), 80, 60)
    T = look_at(np.array([0.5, 0.0, 0.0]), np.zeros(3))
    picture, silhouette = render_view(one, lens, T)
    assert picture.shape == (60, 80, 3) and silhouette.dtype == bool
    (at,), _ = project(lens, T, np.array([[0.02, 0.0, 0.01]]))
    rows, columns = np.nonzero(silhouette)
    np.testing.assert_allclose([columns.mean() + 0.5, rows.mean() + 0.5], at, atol=0.5)
    radius = 200 / 0.48 * 0.02 * np.sqrt(2 * np.log(0.95 / 0.5))  # where it is half opaque
    assert silhouette.sum() == pytest.approx(np.pi * radius**2, rel=0.1)
    assert (picture[0, 0] == 1.0).all()
    np.testing.assert_allclose(picture[int(at[1]), int(at[0])], 0.95 * np.array([0.1, 0.6, 0.2]) + 0.05, atol=0.01)


def test_a_ply_whose_vertices_are_not_its_first_element_is_refused(tmp_path: Path) -> None:
    """And one with another element behind them is read."""
    path = tmp_path / "g.ply"
    one = Gaussians(torch.rand(3, 3), torch.rand(3, 4), torch.rand(3, 3) + 0.1, torch.rand(3), torch.rand(3, 3))
    write_gaussians(path, one)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"end_header\n", b"element face 0\nend_header\n"))
    torch.testing.assert_close(read_gaussians(path).means, one.means)
    path.write_bytes(content.replace(b"element vertex", b"element face 0\nelement vertex"))
    with pytest.raises(ReconstructionError, match="element face comes before the vertices") as caught:
        read_gaussians(path)
    assert caught.value.code is ErrorCode.BAD_CAPTURE
