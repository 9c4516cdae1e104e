"""Photo-consistency is in millimetres of what is wrong, whatever the light, and so are outlines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import pytest
from shapes import cuboid

from mvgamba_ros.geometry.se3 import look_at, rigid
from mvgamba_ros.rendering.mesh_raycaster import Raycaster, RenderedMesh
from mvgamba_ros.surface.outline_gap import outline_gap
from mvgamba_ros.surface.photo_consistency import photo_residual
from mvgamba_ros.types import Camera, Mesh, View

CAMERA = Camera(np.array([[600.0, 0, 160], [0, 600.0, 120], [0, 0, 1]]), 320, 240)
BOX = cuboid([-0.04, -0.04, 0.0], [0.04, 0.04, 0.06])
POSES = [look_at(np.array([0.35 * np.cos(a), 0.35 * np.sin(a), 0.3]), np.array([0, 0, 0.03])) for a in (0.3, 1.0, 1.7)]
WAVES = np.random.default_rng(0).normal(0, 1, (12, 3))
"""Directions of a solid texture's waves, 6 to 20 mm long."""


def painted(point: np.ndarray) -> np.ndarray:
    phases = point @ (WAVES / np.linalg.norm(WAVES, axis=1, keepdims=True)).T
    return 128 + 25 * np.sin(2 * np.pi * phases / np.linspace(0.006, 0.02, len(WAVES))).sum(-1)


def photograph(T: np.ndarray, texture: bool = True) -> View:
    seen = Raycaster(BOX).render(CAMERA, T)
    v, u = np.indices(seen.depth.shape) + 0.5
    rays = np.stack([(u - 160) / 600, (v - 120) / 600, np.ones_like(u)], -1)
    points = (rays * seen.depth[..., None]) @ T[:3, :3].T + T[:3, 3]
    grey = np.where(seen.mask, painted(points) if texture else 128.0, 30.0).clip(0, 255)
    image = cv2.GaussianBlur(np.repeat(grey[..., None], 3, -1).astype(np.float32), (0, 0), 0.8)
    return View(image.round().astype(np.uint8), CAMERA, T, mask=seen.mask)


VIEWS = [photograph(T) for T in POSES]


def rendered(views: Sequence[View], mesh: Mesh = BOX) -> list[RenderedMesh]:
    caster = Raycaster(mesh)
    return [caster.render(view.camera, view.T_world_camera) for view in views]


def residual(views: Sequence[View], mesh: Mesh = BOX) -> float:
    return photo_residual(views, rendered(views, mesh))


def test_of_true_poses_and_the_true_shape_next_to_nothing_remains() -> None:
    assert residual(VIEWS) < 0.3


def test_a_shift_of_one_cameras_pose_remains_in_millimetres_and_exposure_does_not() -> None:
    def shifted(millimetres: float) -> list[View]:
        T = VIEWS[1].T_world_camera @ rigid(np.eye(3), np.array([millimetres * 1e-3, 0, 0]))
        return [VIEWS[0], replace(VIEWS[1], T_world_camera=T), VIEWS[2]]

    one, two = residual(shifted(1.0)), residual(shifted(2.0))
    assert 0.4 < one < 1.2 and one + 0.2 < two < 2.4  # texture runs also along the shift, where it does not show
    darker = replace(VIEWS[1], image=(VIEWS[1].image * 0.5).astype(np.uint8))
    assert residual([VIEWS[0], darker, VIEWS[2]]) < 0.35


def test_what_may_be_saturated_is_not_compared() -> None:
    def brighter(view: View) -> View:
        return replace(view, image=np.clip(view.image.astype(np.float32) * 1.5, 0, 255).astype(np.uint8))

    assert residual([VIEWS[0], brighter(VIEWS[1]), VIEWS[2]]) < 0.35
    white = replace(VIEWS[1], image=np.full_like(VIEWS[1].image, 255))
    assert np.isnan(residual([VIEWS[0], white]))


def test_a_wrong_shape_is_not_photo_consistent() -> None:
    swollen = replace(BOX, vertices=BOX.vertices * [1.15, 1.15, 1.1])
    assert residual(VIEWS, swollen) > 3 * residual(VIEWS)


def test_without_texture_or_with_one_view_there_is_nothing_to_measure() -> None:
    assert np.isnan(residual([photograph(T, texture=False) for T in POSES]))
    assert np.isnan(residual(VIEWS[:1]))


def test_noise_alone_is_no_texture() -> None:
    def noisy(view: View, seed: int) -> View:
        noise = np.random.default_rng(seed).normal(0, 10, view.image.shape)
        return replace(view, image=(view.image + noise).clip(0, 255).astype(np.uint8))

    plain = [noisy(photograph(T, texture=False), seed) for seed, T in enumerate(POSES)]
    assert np.isnan(residual(plain)) or residual(plain) < 1.0


def test_a_mesh_that_ends_six_millimetres_inside_leaves_a_gap_of_six_and_a_larger_one_none() -> None:
    above = look_at(np.array([0.0, 0.0, 0.6]), np.array([0.0, 0.0, 0.0]), up=(0.0, 1.0, 0.0))
    view = photograph(above)
    pixel = 0.9  # millimetres, of the upper side, 0.54 m away
    for change, gap in ((-0.006, 6.0), (0.006, 0.0)):
        sized = replace(BOX, vertices=BOX.vertices * [1 + change / 0.04, 1 + change / 0.04, 1.0])
        assert outline_gap(view, rendered([view], sized)[0]) == pytest.approx(gap, abs=1.1 * pixel)


def test_a_view_that_shows_nothing_of_the_mesh_has_no_outline_gap() -> None:
    away = replace(BOX, vertices=BOX.vertices + np.array([5.0, 0, 0]))
    assert np.isnan(outline_gap(VIEWS[0], rendered(VIEWS, away)[0]))
