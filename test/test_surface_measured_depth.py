"""Measured depth: its noise is found in itself, and it makes a shape better where the sensor is good for it."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import rendered
import trimesh

from mvgamba_ros.geometry.se3 import look_at
from mvgamba_ros.geometry.visual_hull import carve
from mvgamba_ros.options import Options
from mvgamba_ros.pipeline import reconstruct
from mvgamba_ros.reconstruction import Reconstruction
from mvgamba_ros.rendering.mesh_raycaster import Raycaster
from mvgamba_ros.surface.depth_bias import measure_bias
from mvgamba_ros.surface.depth_noise import DepthNoise, measure_noise
from mvgamba_ros.surface.measured_depth import measured_depths, smoothed_depth
from mvgamba_ros.types import F32, F64, Camera, Mesh, Prompts, View

OPTIONS = Options(
    segmenter="masks", hull_resolution=64, refine=False, cloud_points=2000, prompts=Prompts(support_height=0.0)
)
HULL = replace(OPTIONS, method="hull")
FLOOR = 0.01
"""Height of the bowl's floor inside, metres."""


def blotches(shape: tuple[int, int], width: float, seed: int) -> F64:
    """Noise of standard deviation 1, correlated over ``width`` pixels."""
    noise = np.random.default_rng(seed).normal(size=shape)
    noise = cv2.GaussianBlur(noise, (0, 0), width) if width else noise
    return noise / noise.std()


def slanted(shape: tuple[int, int] = (240, 320)) -> F64:
    """z-depths of a table, from 0.4 m at the bottom of the picture to 0.8 m at its top."""
    return 1.0 / np.broadcast_to(np.linspace(1 / 0.8, 1 / 0.4, shape[0])[:, None], shape)


def stereo(view: View, seed: int) -> View:
    """With a stereo camera's depth: blotchy noise that grows with distance, holes, and edges that bleed."""
    assert view.depth is not None
    z = view.depth.astype(np.float64)
    noisy = z + blotches(z.shape, 2.0, seed) * (0.0005 + 0.004 * z**2)
    step = np.hypot(cv2.Sobel(z, cv2.CV_64F, 1, 0), cv2.Sobel(z, cv2.CV_64F, 0, 1)) > 0.08
    noisy = np.where(cv2.dilate(step.astype(np.uint8), np.ones((5, 5))) > 0, cv2.erode(noisy, np.ones((3, 3))), noisy)
    holes = blotches(z.shape, 5.0, seed + 1) > 1.6
    return replace(view, depth=np.where(holes, 0.0, noisy).astype(np.float32))


def bowl() -> trimesh.Trimesh:
    """5 mm thick, 120 mm wide, 50 mm high."""
    outer = [[0.0, 0.0], [0.03, 0.0], [0.05, 0.02], [0.06, 0.05]]
    inner = [[0.055, 0.05], [0.045, 0.022], [0.028, FLOOR], [0.0, FLOOR]]
    mesh = trimesh.creation.revolve(np.array(outer + inner), sections=64)
    mesh.fix_normals()
    return mesh


def bowl_views() -> list[View]:
    """Four views from 45 to 55 degrees above, which see the floor, of the bowl on a table."""
    mesh, table = bowl(), trimesh.creation.box((1.0, 1.0, 0.02))
    table.apply_translation([0.0, 0.0, -0.01])
    camera = Camera(np.array([[420.0, 0, 160], [0, 420.0, 120], [0, 0, 1]]), 320, 240)
    views = []
    for azimuth, elevation in zip(np.arange(4) * np.pi / 2, np.radians([45, 55, 45, 55]), strict=True):
        eye = [np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)]
        T = look_at(0.4 * np.array(eye), np.array([0.0, 0.0, 0.02]))
        on_bowl, on_table = (
            Raycaster(Mesh(m.vertices, m.faces.astype(np.int32), np.zeros((len(m.vertices), 3), np.uint8))).render(
                camera, T
            )
            for m in (mesh, table)
        )
        light = (120 + 90 * np.abs(on_bowl.normals @ [0.3, 0.4, 0.87]))[..., None] * [1.0, 0.5, 0.3]
        image = np.where(on_bowl.mask[..., None], light, 90).astype(np.uint8)
        views.append(View(image, camera, T, on_bowl.mask, np.where(on_bowl.mask, on_bowl.depth, on_table.depth)))
    return views


def without_depth(views: list[View]) -> list[View]:
    return [replace(view, depth=None) for view in views]


def floor_of(result: Reconstruction) -> float:
    """Height of the highest surface in the middle, metres."""
    T = look_at(np.array([0.001, 0.0, 0.5]), np.zeros(3))
    seen = Raycaster(result.mesh).render(Camera(np.array([[500.0, 0, 8], [0, 500.0, 8], [0, 0, 1]]), 16, 16), T)
    return 0.5 - float(np.median(seen.depth[seen.mask]))


def off_the_ellipsoid(result: Reconstruction) -> float:
    """Mean distance of the part that views see from the ellipsoid of `rendered`, millimetres, to first order."""
    x = (result.mesh.vertices - rendered.CENTER) / (rendered.SIZE / 2)
    x = x[result.mesh.vertices[:, 2] > 0.02]
    radius = np.linalg.norm(x, axis=1)
    gradient = np.linalg.norm(x / radius[:, None] / (rendered.SIZE / 2), axis=1)
    return 1e3 * float(np.abs((radius - 1.0) / gradient).mean())


@pytest.mark.parametrize("width", [0.0, 1.0, 2.0, 3.0])
def test_a_sensors_noise_is_found_within_a_third_whether_it_is_grainy_or_blotchy(width: float) -> None:
    z = slanted()
    noisy = [(z + blotches(z.shape, width, seed) * (0.001 + 0.006 * z**2)).astype(np.float32) for seed in range(3)]
    noise = measure_noise(noisy)
    assert noise is not None
    for depth in (0.45, 0.6, 0.75):
        assert noise.sigma(np.array(depth)) == pytest.approx(0.001 + 0.006 * depth**2, rel=0.3)


def test_noise_is_found_beside_holes_and_an_objects_edges() -> None:
    views = [stereo(view, seed) for seed, view in enumerate(rendered.views(4))]
    noise = measure_noise([view.depth for view in views if view.depth is not None])
    assert noise is not None
    assert noise.sigma(np.array(0.4)) == pytest.approx(0.0005 + 0.004 * 0.4**2, rel=0.3)


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_depth_without_values_has_no_noise_and_gives_no_map(value: float) -> None:
    empty: F32 = np.full((240, 320), value, np.float32)
    assert measure_noise([empty]) is None
    views = [replace(view, depth=empty) for view in rendered.views(4)]
    assert measured_depths(views, carve(views, None, 32)) == [None] * 4


def test_smoothing_lessens_noise_and_states_what_is_left() -> None:
    z = slanted()
    noisy = z + blotches(z.shape, 2.0, 0) * 0.005 * z**2
    noise = DepthNoise(0.0, 0.005, 50.0)
    smoothed, sigma = smoothed_depth(noisy, np.ones(z.shape, bool), noise)
    assert (smoothed - z).std() < 0.6 * (noisy - z).std()
    assert np.sqrt((((smoothed - z) / sigma) ** 2).mean()) == pytest.approx(1.0, abs=0.35)


def test_an_edge_is_not_smoothed_away_and_hardly_counts() -> None:
    z = np.full((60, 60), 0.4)
    z[:, 30:] = 0.5
    noisy = z + blotches(z.shape, 1.0, 0) * 0.001
    smoothed, sigma = smoothed_depth(noisy, np.ones(z.shape, bool), DepthNoise(0.001, 0.0, 12.0))
    away = np.abs(np.arange(60) - 29.5) > 3
    assert np.abs(smoothed - z)[:, away].max() < 0.004
    assert sigma[:, away].max() < 0.0015 and sigma[10:50, 28:32].min() > 0.01


def test_depth_shows_a_bowls_floor_which_no_silhouette_does() -> None:
    views = bowl_views()
    assert floor_of(reconstruct(without_depth(views), HULL)) > FLOOR + 0.008
    for options in (HULL, OPTIONS):
        assert floor_of(reconstruct(views, options)) == pytest.approx(FLOOR, abs=0.001), options.method
    noisy = [stereo(view, seed) for seed, view in enumerate(views)]
    assert floor_of(reconstruct(noisy, OPTIONS)) == pytest.approx(FLOOR, abs=0.0015)


def test_depth_brings_a_convex_shape_nearer_to_the_truth() -> None:
    views = rendered.views(4)
    alone = off_the_ellipsoid(reconstruct(without_depth(views), OPTIONS))
    exact = off_the_ellipsoid(reconstruct(views, OPTIONS))
    noisy = off_the_ellipsoid(reconstruct([stereo(view, seed) for seed, view in enumerate(views)], OPTIONS))
    assert exact < 0.6 * alone and noisy < 0.95 * alone  # of colour alone, photos have already made it good


def test_depth_of_one_view_bounds_what_it_sees() -> None:
    view = rendered.views(4)[0]
    assert view.depth is not None and view.mask is not None
    result = reconstruct([view], OPTIONS)
    seen = Raycaster(result.mesh).render(view.camera, view.T_world_camera)
    both = seen.mask & view.mask
    assert np.median(np.abs(seen.depth - view.depth)[both]) < 0.001
    assert result.quality.low


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_holes_are_harmless(value: float) -> None:
    views = rendered.views(4)
    holed = []
    for view in views:
        assert view.depth is not None
        depth = view.depth.copy()
        depth[::7] = depth[:, 100:180] = value
        holed.append(replace(view, depth=depth))
    result = reconstruct(holed, OPTIONS)
    assert off_the_ellipsoid(result) <= off_the_ellipsoid(reconstruct(without_depth(views), OPTIONS)) + 0.02
    assert np.isfinite(result.mesh.vertices).all() and np.isfinite(result.quality.depth_residual_mm)


def test_depth_through_glass_on_the_table_behind_does_not_carve_the_object() -> None:
    views = rendered.views(4)
    table = []
    for view in views:
        direction = (view.T_world_camera[:3, :3] @ np.linalg.inv(view.camera.K)) @ np.stack(
            [*np.meshgrid(np.arange(320) + 0.5, np.arange(240) + 0.5), np.ones((240, 320))]
        ).reshape(3, -1)
        z = (-view.T_world_camera[2, 3] / np.minimum(direction[2], -1e-6)).reshape(240, 320)
        table.append(replace(view, depth=z.astype(np.float32)))
    seen_through, alone = (reconstruct(those, HULL).mesh for those in (table, without_depth(views)))
    volumes = [trimesh.Trimesh(mesh.vertices, mesh.faces).volume for mesh in (seen_through, alone)]
    assert volumes[0] > 0.98 * volumes[1]


def test_the_residual_is_the_distance_between_depth_and_mesh() -> None:
    views = rendered.views(4)
    assert np.isnan(reconstruct(without_depth(views), HULL).quality.depth_residual_mm)
    assert reconstruct(views, HULL).quality.depth_residual_mm < 0.5
    noisy = [stereo(view, seed) for seed, view in enumerate(views)]
    # the median of a normal distribution's distances is 0.67 sigma
    assert reconstruct(noisy, HULL).quality.depth_residual_mm == pytest.approx(0.67 * (0.5 + 4 * 0.4**2), rel=0.35)


def shifted(views: list[View], metres: float) -> list[View]:
    return [replace(view, depth=None if view.depth is None else view.depth + np.float32(metres)) for view in views]


@pytest.mark.parametrize("metres", [0.006, -0.006])
def test_a_bias_shows_in_the_plane_or_the_hull_and_not_in_good_depth(metres: float) -> None:
    views = rendered.views(4)
    hull = carve(views, None, 48, 0.0)
    assert measure_bias(views, hull, 0.0) < 0.0005
    assert measure_bias(shifted(views, metres), hull, 0.0) == pytest.approx(0.005, abs=0.001)
    # nothing around the object: the hull shows what lies too near
    alone = [
        replace(view, depth=np.where(view.mask, view.depth, np.float32(0.0)))
        for view in shifted(views, metres)
        if view.depth is not None
    ]
    assert (measure_bias(alone, hull, None) > 0.001) == (metres < 0.0)


def test_depth_of_a_large_bias_is_set_aside_by_name_and_of_a_small_one_counts_less() -> None:
    views = rendered.views(4)
    large = reconstruct(shifted(views, 0.015), OPTIONS)
    alone = reconstruct(without_depth(views), OPTIONS)
    np.testing.assert_array_equal(large.mesh.vertices, alone.mesh.vertices)
    assert any("depth lies 14 mm off the surface at the height of 0 m" in note for note in large.notes)
    hull = carve(views, None, 48, 0.0)
    sure, doubtful = (measured_depths(those, hull, 0.0)[0] for those in (views, shifted(views, 0.006)))
    assert sure is not None and doubtful is not None and sure.sigma is not None and doubtful.sigma is not None
    assert doubtful.sigma[doubtful.sigma > 0].min() > 0.004 > 5 * float(sure.sigma[sure.sigma > 0].median())
