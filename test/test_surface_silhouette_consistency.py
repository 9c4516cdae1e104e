"""What a silhouette shows is there, however thin; and nothing else is added."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import trimesh
from scipy import ndimage
from shapes import FOUR_SIDES, cuboid, see

from mvgamba_ros.geometry.distance_field import DistanceField
from mvgamba_ros.geometry.gaussian_filter import gaussian_filter
from mvgamba_ros.geometry.visual_hull import carve
from mvgamba_ros.rendering.mesh_raycaster import Raycaster
from mvgamba_ros.surface.meshing import field_to_mesh
from mvgamba_ros.surface.silhouette_consistency import enforce_silhouettes
from mvgamba_ros.surface.tsdf import smooth
from mvgamba_ros.types import Mesh, View

ABOVE = [[0.3, 0.3, 0.4], [-0.3, 0.3, 0.4]]


@pytest.fixture(scope="module")
def seen() -> tuple[list[View], DistanceField]:
    """A block of 8 cm with a handle of 8 mm, from six sides, and its hull."""
    block, handle = cuboid([-0.04] * 3, [0.04] * 3), cuboid([0.039, -0.004, -0.004], [0.1, 0.004, 0.004])
    both = Mesh(
        np.concatenate([block.vertices, handle.vertices]),
        np.concatenate([block.faces, handle.faces + 8]),
        np.concatenate([block.colors, handle.colors]),
    )
    views = see(both, [*FOUR_SIDES, *ABOVE], [0.0, 0.0, 0.0])
    return views, carve(views, resolution=64)


def along_x(hull: DistanceField) -> np.ndarray:
    """World x of every voxel, in the field's shape."""
    x = hull.origin[0] + hull.voxel * np.arange(hull.values.shape[0])
    return np.broadcast_to(x[:, None, None], hull.values.shape)


def test_a_lost_handle_comes_back(seen: tuple[list[View], DistanceField]) -> None:
    views, hull = seen
    lost = np.where(along_x(hull) > 0.05, np.minimum(hull.values, -0.001), hull.values).astype(np.float32)
    found = enforce_silhouettes(DistanceField(lost, hull.origin, hull.voxel), hull, views)
    handle = (along_x(hull) > 0.06) & (along_x(hull) < 0.09)
    assert not (lost[handle] > 0).any()
    reached = np.unique(np.argwhere((found.values > 0) & handle)[:, 0])
    assert len(reached) == len(np.unique(np.argwhere(handle)[:, 0]))  # all along, without a gap
    assert (found.values > 0).sum() <= (hull.values > 0).sum()
    assert (found.values <= hull.values).all()  # nothing outside the hull


def test_a_surface_that_reaches_its_silhouettes_stays_as_it_is(seen: tuple[list[View], DistanceField]) -> None:
    views, hull = seen
    thick = hull.values > 2 * hull.voxel
    same = enforce_silhouettes(hull, hull, views)
    assert np.array_equal(same.values[thick], hull.values[thick])
    assert (same.values <= hull.values + 1e-9).all()


def test_sides_seen_edge_on_come_back_flat(seen: tuple[list[View], DistanceField]) -> None:
    views, hull = seen
    thin = smooth(DistanceField(hull.values - 1.5 * hull.voxel, hull.origin, hull.voxel), hull, 5 * hull.voxel)
    filled = enforce_silhouettes(thin, hull, views)
    assert (filled.values > 0).sum() > 1.1 * (thin.values > 0).sum()
    mesh = field_to_mesh(filled, max_faces=100_000)
    angles = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).face_adjacency_angles
    assert np.degrees(angles.mean()) < 6  # each ray filled by itself: 13


def test_a_surface_that_is_short_of_its_silhouettes_ends_within_a_voxel_of_them(
    seen: tuple[list[View], DistanceField],
) -> None:
    views, hull = seen
    short = DistanceField(hull.values - 2.5 * hull.voxel, hull.origin, hull.voxel)
    assert missing(short, views) > 2.0
    assert missing(enforce_silhouettes(short, hull, views), views) < 0.8


def missing(shape: DistanceField, views: list[View]) -> float:
    """How far beyond the outline of ``shape`` silhouettes reach, voxels: the mean over what its pixels lack."""
    caster = Raycaster(field_to_mesh(shape, max_faces=100_000))
    away = []
    for view in views:
        assert view.mask is not None
        shown = caster.render(view.camera, view.T_world_camera).mask
        distance = cv2.distanceTransform((~shown).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        outline = view.mask & ~cv2.erode(view.mask.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
        pixel = np.linalg.norm(view.T_world_camera[:3, 3]) / view.camera.K[0, 0]
        away.append(distance[outline] * pixel / shape.voxel)
    return float(np.concatenate(away).mean())


def test_it_never_takes_away(seen: tuple[list[View], DistanceField]) -> None:
    views, hull = seen
    noisy = np.minimum(hull.values, np.random.default_rng(0).normal(0, 0.003, hull.values.shape).astype(np.float32))
    more = enforce_silhouettes(DistanceField(noisy, hull.origin, hull.voxel), hull, views)
    assert (more.values >= noisy).all()
    assert (more.values > noisy).any()


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 40, 3), (30, 21, 17), (12, 200, 190)])
@pytest.mark.parametrize("sigma", [1.0, 2.5])
def test_the_gaussian_filter_is_scipys(shape: tuple[int, int, int], sigma: float) -> None:
    """Fields smaller than its reach and pictures of more columns than a 16-bit number counts among them."""
    field = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    for border, mode in ((cv2.BORDER_REFLECT, "reflect"), (cv2.BORDER_CONSTANT, "constant")):
        expected = ndimage.gaussian_filter(field, sigma, truncate=3.0, mode=mode)
        np.testing.assert_allclose(gaussian_filter(field, sigma, border=border), expected, atol=1e-6)


def test_smoothing_takes_ripple_and_leaves_the_shape_inside_its_hull() -> None:
    n, voxel, radius = 64, 0.002, 0.045
    axis = voxel * (np.arange(n) - (n - 1) / 2)
    distance = radius - np.linalg.norm(np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1), axis=-1)
    origin = np.full(3, axis[0])
    hull = DistanceField(distance.astype(np.float32), origin, voxel)
    ripple = np.random.default_rng(0).normal(0.0, 0.002, distance.shape) - 0.003
    rough = DistanceField((distance + ripple).astype(np.float32), origin, voxel)
    even = smooth(rough, hull, 5 * voxel)
    near = np.abs(distance - 0.003) < voxel
    assert np.std((even.values - distance)[near]) < 0.25 * np.std((rough.values - distance)[near])
    # smoothed once, a ball of radius r would shrink by the variance over r
    assert np.mean((even.values - distance)[near]) == pytest.approx(-0.003, abs=1e-4)
    assert (even.values <= hull.values).all()
