"""Geometry where its other tests are blind: images' borders, level and steep views, what messages call a view."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from shapes import FOUR_SIDES, camera, cuboid, see

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.camera import check_camera, crop, project, resample, undistort
from mvgamba_ros.geometry.cones import Cone, Region
from mvgamba_ros.geometry.rays import rays
from mvgamba_ros.geometry.se3 import look_at
from mvgamba_ros.geometry.single_view import guess_box
from mvgamba_ros.geometry.visual_hull import carve
from mvgamba_ros.types import Box, Camera, View

CUBE = cuboid([-0.05, -0.05, -0.05], [0.05, 0.05, 0.05])
NEAREST = 0.02
"""Metres: nothing is reconstructed nearer to a camera."""


def masked(rows: slice, columns: slice, eye: tuple[float, float, float] = (0.5, 0.0, 0.0)) -> View:
    mask = np.zeros((240, 320), bool)
    mask[rows, columns] = True
    return View(np.zeros((240, 320, 3), np.uint8), camera(), look_at(np.array(eye), np.zeros(3)), mask=mask)


@pytest.mark.parametrize(
    ("rows", "columns", "box"),
    [
        (slice(60, 90), slice(100, 200), (100, 60, 200, 90)),
        (slice(1, 239), slice(1, 319), (1, 1, 319, 239)),
        (slice(0, 90), slice(100, 200), (100, -np.inf, 200, 90)),
        (slice(60, 240), slice(100, 200), (100, 60, 200, np.inf)),
        (slice(60, 90), slice(0, 200), (-np.inf, 60, 200, 90)),
        (slice(60, 90), slice(100, 320), (100, 60, np.inf, 90)),
    ],
)
def test_a_silhouettes_box_is_open_where_it_runs_into_the_border(
    rows: slice, columns: slice, box: tuple[float, ...]
) -> None:
    assert Cone.of(masked(rows, columns), 0, NEAREST).box == box


def test_the_half_spaces_of_a_silhouettes_box_hold_just_the_rays_of_its_pixels() -> None:
    view = masked(slice(60, 90), slice(100, 200))
    A, b = Cone.of(view, 0, NEAREST).half_spaces()
    np.testing.assert_allclose(np.linalg.norm(A, axis=1), 1.0)
    origin, directions = rays(view.camera, view.T_world_camera)
    for distance in (0.1, 3.0):
        points = origin + distance * directions
        assert ((points @ A.T <= b).all(axis=-1) == view.mask).all()
    forward = view.T_world_camera[:3, 2]
    before, beyond = (origin + s * NEAREST * directions[75, 150] for s in (0.95, 1.1))
    assert forward @ (beyond - origin) > NEAREST
    assert not (A @ before <= b).all() and (A @ beyond <= b).all()


def test_a_region_is_its_box_above_its_plane() -> None:
    T = look_at(np.array([0.3, 0.2, 0.5]), np.array([0.1, 0.1, 0.0]))
    region = Region(Box(T, np.array([0.2, 0.4, 0.6])), 0.45)
    A, b = region.half_spaces()
    points = np.random.default_rng(0).uniform(-0.5, 1.0, (20_000, 3)) * [1, 1, 1.3]
    local = (points - T[:3, 3]) @ T[:3, :3]
    expected = (np.abs(local) <= [0.1, 0.2, 0.3]).all(axis=1) & (points[:, 2] >= 0.45)
    assert 50 < expected.sum() < 5000
    assert ((points @ A.T <= b).all(axis=1) == expected).all()


def test_a_cone_measures_metres_to_its_outline_also_beyond_the_picture() -> None:
    view = masked(slice(60, 180), slice(80, 240))  # to 0.1333 m to either side and 0.1 m up and down, half a metre away
    cone = Cone.of(view, 0, NEAREST)
    side, up, forward = view.T_world_camera[:3, 0], view.T_world_camera[:3, 1], view.T_world_camera[:3, 2]
    points = np.array([0.1 * side, 0.12 * side, 0.16 * side, 0.02 * up, 0.5 * side, -0.495 * forward])
    field = cone.distances((cone.P[:, :3] @ points.T + cone.P[:, 3:]).astype(np.float32))
    np.testing.assert_allclose(field[:4], [0.0333, 0.0133, -0.0267, 0.08], atol=5e-4)
    assert field[4] == pytest.approx(-79.5 / 300 * 0.5, abs=5e-4)  # as at the border, which goes on
    assert field[5] == pytest.approx(0.005 - NEAREST, abs=1e-6)  # 5 mm before the camera


def test_carving_bounds_are_those_of_the_silhouettes_whatever_the_bounds_given() -> None:
    views = see(CUBE, [*FOUR_SIDES, [0.0, 0.001, 0.5]], [0.0, 0.0, 0.0], camera(focal=400.0))
    free = carve(views, resolution=64)
    roomy = carve(views, np.array([[-0.3] * 3, [0.3] * 3]), resolution=64)
    np.testing.assert_allclose(roomy.bounds(), free.bounds(), atol=free.voxel)
    assert roomy.voxel == pytest.approx(free.voxel, rel=0.1)


@pytest.mark.parametrize("eye", [[0.4, 0.0, 0.3], [0.0, -0.35, 0.25], [0.02, 0.01, 0.5]])
@pytest.mark.parametrize("knows", ["depth", "support"])
def test_a_guessed_box_begins_at_the_objects_front_and_is_as_deep_as_it_is_wide(eye: list[float], knows: str) -> None:
    view = see(CUBE, [eye], [0.0, 0.0, 0.0], camera(focal=400.0))[0]
    box = guess_box(view if knows == "depth" else replace(view, depth=None), -0.05 if knows == "support" else None)
    R = box.T_world_box[:3, :3]
    np.testing.assert_allclose(R.T @ R, np.eye(3), atol=1e-12)
    assert np.linalg.det(R) == pytest.approx(1.0)
    forward, ahead = view.T_world_camera[:3, 2], R[:, 0]
    assert (ahead[2] == 0.0) == (knows == "support")  # along the table, where that tells where the object stands
    front = min((CUBE.vertices - eye) @ ahead)
    np.testing.assert_allclose(ahead @ forward, 1.0 if ahead[2] else np.hypot(*forward[:2]), atol=1e-9)
    begins = (box.T_world_box[:3, 3] - eye) @ ahead - box.size[0] / 2
    assert begins == pytest.approx(front, abs=0.012 if knows == "depth" else 0.03)
    assert 0.09 < box.size[0] < 0.17
    corners = np.abs((CUBE.vertices - box.T_world_box[:3, 3]) @ R)
    assert (corners[:, 1:] < box.size[1:] / 2).all()


def test_a_distorted_camera_is_refused_wherever_a_pinhole_is_needed() -> None:
    lens = replace(camera(), distortion_model="plumb_bob", distortion=(-0.2, 0.05, 0.0, 0.0, 0.0))
    view = replace(masked(slice(60, 90), slice(100, 200)), camera=lens)
    for work in (
        lambda: rays(lens, np.eye(4)),
        lambda: project(lens, np.eye(4), np.ones((1, 3))),
        lambda: crop(lens, 0, 0, 10, 10, 10, 10),
        lambda: resample(view.image, lens, camera()),
        lambda: resample(view.image, camera(), lens),
        lambda: Cone.of(view, 0, NEAREST),
    ):
        with pytest.raises(ReconstructionError, match="undistort") as caught:
            work()
        assert caught.value.code is ErrorCode.BAD_CAMERA_INFO


def test_messages_call_a_camera_by_its_views_name() -> None:
    broken = replace(camera(), K=np.zeros((3, 3)))
    view = View(np.zeros((240, 320, 3), np.uint8), broken, np.eye(4))
    for name, said in (("wrist", "wrist: focal"), ("", "camera: focal")):
        with pytest.raises(ReconstructionError, match=said):
            undistort(replace(view, name=name))
    with pytest.raises(ReconstructionError, match="view 3: no silhouette"):
        Cone.of(replace(view, mask=None), 3, NEAREST)


@pytest.mark.parametrize(
    "change",
    [
        {"K": np.array([[300.0, 0, 160], [1.0, 300, 120], [0, 0, 1]])},
        {"K": np.array([[300.0, 0, 160], [0, 300, 120], [0, 0, 2]])},
        {"K": np.array([[300.0, 0, 160], [0, 0, 120], [0, 0, 1]])},
        {"K": np.array([[-300.0, 0, 160], [0, 300, 120], [0, 0, 1]])},
        {"K": np.eye(4)},
        {"height": 0},
        {"width": -5},
        {"distortion_model": "none", "distortion": (0.1,)},
        {"distortion_model": "equidistant", "distortion": (0.1, 0.2, 0.3, 0.4, 0.5)},
        {"distortion_model": "rational_polynomial", "distortion": (0.1,) * 5},
    ],
)
def test_a_camera_that_cannot_be_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ReconstructionError) as caught:
        check_camera(replace(camera(), **change))  # type: ignore[arg-type]
    assert caught.value.code is ErrorCode.BAD_CAMERA_INFO


@pytest.mark.parametrize(
    ("model", "counts"),
    [("none", (0,)), ("plumb_bob", (0, 4, 5)), ("rational_polynomial", (0, 8, 12, 14)), ("equidistant", (0, 4))],
)
def test_as_many_coefficients_as_a_lens_model_has_are_taken(model: str, counts: tuple[int, ...]) -> None:
    for count in range(16):
        lens = Camera(camera().K, 320, 240, model, (0.01,) * count)
        if count in counts:
            check_camera(lens)
        else:
            with pytest.raises(ReconstructionError, match=f"got {count}"):
                check_camera(lens)
