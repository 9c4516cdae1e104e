"""Photometric mesh refinement: a mesh moves to where its pictures agree and its outlines lie on the silhouettes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import trimesh
from rendered import orbit

from mvgamba_ros.config.refinement_config import RefinementConfig
from mvgamba_ros.geometry.rays import rays
from mvgamba_ros.surface.photo_refinement import refine_by_photos
from mvgamba_ros.types import Camera, Mesh, View

CENTER = np.array([0.45, 0.05, 0.045])
HALF = np.array([0.035, 0.03, 0.045])
CONFIG = RefinementConfig(outline_weight=0.006, outline_pull=1.0)


def paint(points: np.ndarray) -> np.ndarray:
    """A printed surface: blotches of 5 mm and up, grey levels."""
    rng = np.random.default_rng(1)
    waves = rng.normal(0.0, 400.0, (24, 3))
    return 128.0 + 18.0 * np.sin(points @ waves.T + rng.uniform(0.0, 6.0, 24)).sum(axis=-1)


def photograph(T: np.ndarray, printed: bool) -> View:
    """An ellipsoid before white."""
    camera = Camera(np.array([[420.0, 0.0, 160.0], [0.0, 420.0, 120.0], [0.0, 0.0, 1.0]]), 320, 240)
    origin, directions = rays(camera, T)
    o, d = (origin - CENTER) / HALF, directions / HALF
    a, b, c = (d * d).sum(-1), (d * o).sum(-1), (o * o).sum() - 1.0
    root = b * b - a * c
    points = origin + ((-b - np.sqrt(np.maximum(root, 0.0))) / a)[..., None] * directions
    grey = paint(points) if printed else np.full(root.shape, 128.0)
    image = np.repeat(np.where(root > 0, grey, 255.0)[..., None], 3, axis=-1).clip(0, 255).astype(np.uint8)
    return View(image=image, camera=camera, T_world_camera=T, mask=root > 0)


def ellipsoid(scale: float = 1.0) -> Mesh:
    ball = trimesh.creation.icosphere(4)
    vertices = CENTER + ball.vertices * HALF * scale
    return Mesh(vertices, ball.faces.astype(np.int32), np.full((len(vertices), 3), 128, np.uint8))


def error_mm(mesh: Mesh) -> np.ndarray:
    """How far each vertex is from the true surface, about; positive outside."""
    radius = np.linalg.norm((mesh.vertices - CENTER) / HALF, axis=1)
    return 1e3 * (radius - 1.0) * np.linalg.norm(mesh.vertices - CENTER, axis=1) / radius


PRINTED = [photograph(T, True) for T in orbit(6)]
BARE = [photograph(T, False) for T in orbit(6)]


@pytest.mark.parametrize("scale", [0.95, 1.05])
def test_a_printed_thing_that_is_two_millimetres_off_comes_right(scale: float) -> None:
    before = ellipsoid(scale)
    after = refine_by_photos(before, PRINTED, None, CONFIG)
    above = before.vertices[:, 2] > CENTER[2]  # what the cameras see
    assert np.abs(error_mm(before)).mean() > 1.7
    assert np.abs(error_mm(after)[above]).mean() < 0.4
    assert trimesh.Trimesh(after.vertices, after.faces).is_watertight


def test_pictures_alone_do_it_where_outlines_count_for_nothing() -> None:
    after = refine_by_photos(ellipsoid(0.96), PRINTED, None, replace(CONFIG, outline_weight=0.0))
    top = after.vertices[:, 2] > CENTER[2] + 0.02
    assert np.abs(error_mm(after)[top]).mean() < 0.5 < 1.4 < np.abs(error_mm(ellipsoid(0.96))[top]).mean()


def test_a_bare_thing_is_drawn_to_its_outlines() -> None:
    before, after = ellipsoid(0.95), refine_by_photos(ellipsoid(0.95), BARE, None, CONFIG)
    assert np.abs(error_mm(after)).mean() < 0.6 * np.abs(error_mm(before)).mean()


def test_what_is_right_stays() -> None:
    assert np.abs(error_mm(refine_by_photos(ellipsoid(), PRINTED, None, CONFIG))).mean() < 0.25


def test_without_steps_and_without_anything_to_see_nothing_moves() -> None:
    mesh = ellipsoid(0.95)
    assert refine_by_photos(mesh, PRINTED, None, replace(CONFIG, max_step=0.0)) is mesh
    covered = [replace(view, hidden=np.ones_like(view.mask), mask=np.ones_like(view.mask)) for view in BARE]
    np.testing.assert_allclose(refine_by_photos(mesh, covered, None, CONFIG).vertices, mesh.vertices, atol=1e-9)


def test_a_thing_in_front_draws_nothing_to_it() -> None:
    """A strip across every picture, its colours and its outline the neighbour's."""
    views = []
    for view in PRINTED:
        image, hidden = view.image.copy(), np.zeros_like(view.mask)
        hidden[:, 150:175] = True
        image[hidden] = 20
        views.append(replace(view, image=image, mask=view.mask & ~hidden, hidden=hidden))
    assert np.abs(error_mm(refine_by_photos(ellipsoid(), views, None, CONFIG))).mean() < 0.3


def test_no_vertex_goes_below_the_support() -> None:
    floor = CENTER[2] - 0.95 * HALF[2]
    after = refine_by_photos(ellipsoid(0.95), PRINTED, floor, CONFIG)
    assert after.vertices[:, 2].min() >= floor - 1e-9


def test_the_same_views_give_the_same_mesh_and_one_view_is_enough() -> None:
    one, again = (refine_by_photos(ellipsoid(0.97), PRINTED[:1], None, CONFIG) for _ in range(2))
    np.testing.assert_array_equal(one.vertices, again.vertices)
    assert np.isfinite(one.vertices).all()
