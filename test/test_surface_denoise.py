"""Flat sides flat again, and edges where they were."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from shapes import cuboid

from mvgamba_ros.surface.denoise import denoise
from mvgamba_ros.types import F64, I32

NOISE = 0.0002
"""Metres; on edges of 3 mm that turns faces by some 7 degrees."""


def fine_box() -> tuple[F64, I32]:
    """A box of 60 x 100 x 40 mm with edges about 3 mm long."""
    mesh = cuboid([0, 0, 0], [0.06, 0.1, 0.04])
    return trimesh.remesh.subdivide_to_size(mesh.vertices, mesh.faces, 0.005)


def welded(vertices: F64, faces: I32) -> tuple[F64, I32]:
    mesh = trimesh.Trimesh(vertices, faces)
    mesh.merge_vertices()
    return np.asarray(mesh.vertices), np.asarray(mesh.faces).astype(np.int32)


def off_the_box(points: F64) -> F64:
    """Distance of points near its surface from the box's."""
    return np.abs(np.concatenate([points, points - [0.06, 0.1, 0.04]], 1)).min(1)


def test_noise_on_a_box_goes_and_its_corners_stay() -> None:
    vertices, faces = welded(*fine_box())
    noisy = vertices + np.random.default_rng(0).normal(0, NOISE, vertices.shape)
    clean = denoise(noisy, faces)
    assert off_the_box(clean).mean() < 0.4 * off_the_box(noisy).mean()
    normals, truth = (np.asarray(trimesh.Trimesh(v, faces, process=False).face_normals) for v in (clean, vertices))
    before = np.asarray(trimesh.Trimesh(noisy, faces, process=False).face_normals)
    angle, was = (np.degrees(np.arccos((n * truth).sum(1).clip(-1, 1))) for n in (normals, before))
    assert np.median(angle) < 0.2 * np.median(was)
    corners = np.isin(vertices, [0.0, 0.06, 0.1, 0.04]).all(1)
    assert np.linalg.norm(clean - vertices, axis=1)[corners].max() < 2 * NOISE


@pytest.mark.parametrize("fine", [True, False])
def test_an_exact_box_stays_as_it_is(fine: bool) -> None:
    box = cuboid([0, 0, 0], [0.06, 0.1, 0.04])
    vertices, faces = welded(*fine_box()) if fine else (box.vertices, box.faces)
    np.testing.assert_allclose(denoise(vertices, faces), vertices, atol=1e-6)


def test_a_ball_keeps_its_radius() -> None:
    ball = trimesh.creation.icosphere(4, 0.05)
    vertices = denoise(np.asarray(ball.vertices), np.asarray(ball.faces).astype(np.int32))
    assert np.linalg.norm(vertices, axis=1) == pytest.approx(0.05, rel=0.005)
