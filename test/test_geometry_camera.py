# mypy: no-check-untyped-defs
"""Cameras: undistortion, crops and resampling put things where projection says they are."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from shapes import camera

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.camera import (
    check_camera,
    crop,
    named_distortion,
    project,
    resample,
    undistort,
    undistort_pixels,
)
from mvgamba_ros.geometry.rays import plucker, rays
from mvgamba_ros.geometry.se3 import look_at
from mvgamba_ros.types import Camera, View

T = look_at(np.array([0.3, -0.4, 0.5]), np.zeros(3))
LENSES = [
    ("plumb_bob", (-0.3, 0.1, 0.001, -0.002, 0.0)),
    ("plumb_bob", (0.15, 0.02, 0.0, 0.0, 0.0)),
    ("rational_polynomial", (0.4, 0.05, 0.0005, -0.0003, 0.01, 0.7, 0.1, 0.02)),
    ("equidistant", (0.02, -0.005, 0.001, 0.0)),
]


def through_lens(cam: Camera, points: np.ndarray) -> np.ndarray:
    """Points in the camera frame to pixels by OpenCV's own distortion, whose pixel centres are at integers."""
    K = cam.K - [[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]]
    zero, d = np.zeros(3), np.array(cam.distortion)
    if cam.distortion_model == "equidistant":
        return cv2.fisheye.projectPoints(points[:, None], zero, zero, K, d)[0][:, 0] + 0.5
    return cv2.projectPoints(points, zero, zero, K, d)[0][:, 0] + 0.5


def dots(cam: Camera, points: np.ndarray, radius: float = 3.0) -> View:
    """An image with a soft white dot where the lens shows each point."""
    y, x = np.mgrid[: cam.height, : cam.width] + 0.5
    image = np.zeros((cam.height, cam.width))
    for u, v in through_lens(cam, points):
        image = np.maximum(image, np.exp(-((x - u) ** 2 + (y - v) ** 2) / radius**2))
    rgb = np.repeat((image * 255).astype(np.uint8)[..., None], 3, axis=2)
    depth = np.where(image > 0.5, 1.5, 0.0).astype(np.float32)
    return View(rgb, cam, np.eye(4), mask=image > 0.5, depth=depth)


@pytest.mark.parametrize("model, coefficients", LENSES)
def test_undistorted_dots_are_where_the_pinhole_projects_them(model, coefficients):
    cam = replace(camera(focal=260.0), distortion_model=model, distortion=coefficients)
    for x, y in ((-0.3, -0.2), (0.0, 0.0), (0.3, 0.2)):
        point = np.array([[x, y, 1.5]])
        view = undistort(dots(cam, point))
        assert view.camera.distortion_model == "none" and view.camera.distortion == ()
        (expected,), _ = project(view.camera, np.eye(4), point)
        weight = view.image[..., 0].astype(float)
        v, u = np.mgrid[: cam.height, : cam.width] + 0.5
        center = [(weight * u).sum() / weight.sum(), (weight * v).sum() / weight.sum()]
        np.testing.assert_allclose(center, expected, atol=0.1)
        rows, columns = np.nonzero(view.mask)
        np.testing.assert_allclose([columns.mean() + 0.5, rows.mean() + 0.5], expected, atol=0.5)
        assert set(np.unique(view.depth)) == {0.0, 1.5}  # never mixed at an edge
        moved = undistort_pixels(cam, view.camera, through_lens(cam, point))
        np.testing.assert_allclose(moved[0], expected, atol=0.05)


@pytest.mark.parametrize("model, coefficients", LENSES)
def test_undistorted_images_have_no_black_border(model, coefficients):
    cam = replace(camera(focal=260.0), distortion_model=model, distortion=coefficients)
    white = View(np.full((240, 320, 3), 255, np.uint8), cam, np.eye(4), mask=np.ones((240, 320), bool))
    seen = undistort(white)
    assert seen.image.min() == 255
    assert seen.mask.all()
    # and the corners look through the lens at pixels inside the source image
    _, directions = rays(seen.camera, np.eye(4))
    corners = directions[[0, 0, -1, -1], [0, -1, 0, -1]]
    at = through_lens(cam, corners / corners[:, 2:])
    assert (at > -1.0).all() and (at < [321.0, 241.0]).all()


def test_a_view_without_distortion_is_left_as_it_is():
    view = View(np.zeros((240, 320, 3), np.uint8), camera(), np.eye(4))
    assert undistort(view) is view
    zeros = replace(view, camera=replace(view.camera, distortion_model="plumb_bob", distortion=(0.0,) * 5))
    assert undistort(zeros).camera.distortion_model == "none"


def test_rays_through_pixel_centres_project_back_to_them():
    cam = Camera(np.array([[300.0, 0, 150.3], [0, 310.0, 121.1], [0, 0, 1]]), 320, 240)
    origin, directions = rays(cam, T)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=-1), 1.0)
    pixels, z = project(cam, T, (origin + 0.7 * directions).reshape(-1, 3))
    x, y = np.meshgrid(np.arange(320) + 0.5, np.arange(240) + 0.5)
    np.testing.assert_allclose(pixels, np.stack([x, y], -1).reshape(-1, 2), atol=1e-9)
    assert (z > 0).all()


def test_pluecker_coordinates_are_the_same_from_anywhere_on_the_ray():
    origin, directions = rays(camera(8, 6), T)
    p = plucker(origin, directions)
    np.testing.assert_allclose((p[..., :3] * p[..., 3:]).sum(-1), 0.0, atol=1e-12)
    further = np.cross(origin + 2.3 * directions, directions)
    np.testing.assert_allclose(p[..., :3], further, atol=1e-12)
    assert p.shape == (6, 8, 6)


def test_points_behind_the_camera_have_no_pixel():
    pixels, z = project(camera(), T, np.array([[0.6, -0.8, 1.0]]))
    assert np.isnan(pixels).all() and z[0] < 0


def test_a_crop_sees_each_point_at_its_scaled_place():
    cam = camera()
    small = crop(cam, 40.0, 30.0, 200.0, 150.0, 64, 48)
    points = np.array([[0.02, 0.01, 0.0], [-0.05, 0.03, 0.02]])
    full, _ = project(cam, T, points)
    seen, _ = project(small, T, points)
    np.testing.assert_allclose(seen, (full - [40.0, 30.0]) * 0.4, atol=1e-9)


def test_resampling_moves_what_is_seen_as_projection_does():
    cam = camera()
    point = np.array([[0.1, -0.05, 1.0]])
    view = dots(cam, point, radius=6.0)
    for window in ((60.0, 20.0, 300.0, 200.0, 120, 90), (120.0, 60.0, 240.0, 150.0, 240, 180)):
        other = crop(cam, *window)
        (u, v), _ = project(other, np.eye(4), point)[0][0], None
        image, mask, depth = (resample(r, cam, other) for r in (view.image, view.mask, view.depth))
        assert image.shape == (other.height, other.width, 3) and mask.dtype == bool and depth.dtype == np.float32
        weight = image[..., 0].astype(float)
        rows, columns = np.mgrid[: other.height, : other.width] + 0.5
        np.testing.assert_allclose((weight * columns).sum() / weight.sum(), u, atol=0.1)
        np.testing.assert_allclose((weight * rows).sum() / weight.sum(), v, atol=0.1)
        np.testing.assert_allclose(np.argwhere(mask).mean(axis=0) + 0.5, [v, u], atol=0.3)
        assert set(np.unique(depth)) == {0.0, 1.5}


def test_shrinking_averages_instead_of_picking_pixels():
    stripes = np.zeros((240, 320, 3), np.uint8)
    stripes[:, ::2] = 255
    small = resample(stripes, camera(), crop(camera(), 0, 0, 320, 240, 40, 30))
    assert abs(float(small[4:-4, 4:-4].mean()) - 127.5) < 4.0
    assert small[4:-4, 4:-4].std() < 6.0


@pytest.mark.parametrize(
    "change, word",
    [
        ({"K": np.zeros((3, 3))}, "uncalibrated"),
        ({"K": np.full((3, 3), np.nan)}, "finite"),
        ({"K": np.array([[300, 5.0, 160], [0, 300, 120], [0, 0, 1]])}, "skew"),
        ({"width": 0}, "positive"),
        ({"distortion_model": "kannala"}, "not one of"),
        ({"distortion_model": "plumb_bob", "distortion": (0.1, 0.2)}, "coefficients"),
        ({"distortion_model": "plumb_bob", "distortion": (np.inf, 0, 0, 0, 0)}, "finite"),
    ],
)
def test_impossible_intrinsics_are_refused_by_name(change, word):
    with pytest.raises(ReconstructionError, match=word) as error:
        check_camera(replace(camera(), **change), "wrist")
    assert error.value.code == ErrorCode.BAD_CAMERA_INFO and "wrist" in error.value.message


@pytest.mark.parametrize(
    ("given", "ours"),
    [
        (("plumb_bob", [0.1, -0.2, 0.001, 0.002, 0.05, 0, 0, 0]), ("plumb_bob", (0.1, -0.2, 0.001, 0.002, 0.05))),
        (("plumb_bob", [0.1, -0.2, 0.001, 0.002] + [0] * 8), ("plumb_bob", (0.1, -0.2, 0.001, 0.002))),
        (("plumb_bob", [0.1, -0.2]), ("plumb_bob", (0.1, -0.2, 0.0, 0.0))),
        (("rational_polynomial", [0.1] * 5), ("rational_polynomial", (0.1,) * 5 + (0.0,) * 3)),
        (("Kannala-Brandt4", [0.1, 0, 0, 0, 0]), ("equidistant", (0.1, 0.0, 0.0, 0.0))),
        (("fisheye", [0.1, 0.2, 0.3, 0.4]), ("equidistant", (0.1, 0.2, 0.3, 0.4))),
        (("plumb_bob", [0.1, -0.2, 0.05]), ("plumb_bob", (0.1, -0.2, 0.05))),
        (("anything", [0.0, 0.0]), ("none", ())),
        (("division", [0.1]), ("division", (0.1,))),
    ],
)
def test_distortion_as_drivers_write_it_gets_our_name_and_length(given, ours):
    assert named_distortion(*given) == ours


def test_eight_coefficients_that_are_called_plumb_bob_are_refused_with_their_likely_name():
    model, coefficients = named_distortion("plumb_bob", [0.1] * 8)
    with pytest.raises(ReconstructionError, match=r"got 8: .*is it rational_polynomial\?"):
        check_camera(replace(camera(), distortion_model=model, distortion=coefficients))
