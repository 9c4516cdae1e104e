"""Fitting: Gaussians on the surface, like the views, never behind the network's own in silhouette."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from patience import run_python

from mvgamba_ros.config.splats_config import SplatConfig
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.distance_field import DistanceField
from mvgamba_ros.geometry.se3 import inverse, look_at
from mvgamba_ros.geometry.visual_hull import carve
from mvgamba_ros.rendering.splats import render_gaussians
from mvgamba_ros.splats.fit import _Adam, fit_gaussians, silhouette_iou
from mvgamba_ros.splats.from_mesh import gaussians_on_mesh
from mvgamba_ros.types import Camera, Gaussians, Mesh, View

RADIUS = 0.04
CAMERA = Camera(np.array([[200.0, 0, 64], [0, 200, 64], [0, 0, 1]]), 128, 128)
EYES = [np.array([0.16, 0.0, 0.1]), np.array([-0.1, 0.13, 0.08]), np.array([-0.05, -0.15, 0.12])]


def ball(n: int = 6000) -> Gaussians:
    """Gaussians on a ball, as wide as they lie apart, red above and blue below."""
    z = 1 - 2 * (np.arange(n) + 0.5) / n
    angle = np.arange(n) * np.pi * (3 - np.sqrt(5))
    d = torch.tensor(np.stack([np.sqrt(1 - z**2) * np.cos(angle), np.sqrt(1 - z**2) * np.sin(angle), z], 1)).float()
    colors = torch.where(d[:, 2:] > 0, torch.tensor([0.9, 0.1, 0.1]), torch.tensor([0.1, 0.1, 0.9]))
    return Gaussians(
        RADIUS * d,
        torch.tensor([1.0, 0, 0, 0]).repeat(n, 1),
        torch.full((n, 3), 1.7 * RADIUS * n**-0.5),
        torch.full((n,), 0.9),
        colors,
    )


def photos(gaussians: Gaussians, eyes: list[np.ndarray] = EYES) -> list[View]:
    poses = [look_at(eye, np.zeros(3)) for eye in eyes]
    T_camera_world = torch.tensor(np.stack([inverse(T) for T in poses])).float()
    K = torch.tensor(CAMERA.K).float().repeat(len(eyes), 1, 1)
    seen = render_gaussians(gaussians, T_camera_world, K, 128, 128)
    images = (seen.color.clamp(0, 1) * 255).round().byte().numpy()
    return [View(i, CAMERA, T, mask=a.numpy() > 0.5) for i, T, a in zip(images, poses, seen.alpha, strict=True)]


def hull_of(views: list[View]) -> DistanceField:
    return carve(views, resolution=32)


def color_error(gaussians: Gaussians, views: list[View]) -> float:
    found = photos(gaussians, [view.T_world_camera[:3, 3] for view in views])
    return float(np.mean([np.abs(a.image.astype(float) - b.image).mean() for a, b in zip(found, views, strict=True)]))


def sphere(radius: float = RADIUS) -> Mesh:
    made = trimesh.creation.icosphere(subdivisions=4, radius=radius)
    return Mesh(np.asarray(made.vertices), made.faces.astype(np.int32), np.full((len(made.vertices), 3), 90, np.uint8))


def test_a_surface_a_little_too_small_is_painted_and_comes_out_to_the_silhouettes():
    views = photos(ball())
    hull = hull_of(views)
    wrong = replace(ball(), means=0.95 * ball().means, colors=torch.full((6000, 3), 0.5))
    found = fit_gaussians(wrong, sphere(0.95 * RADIUS), views, hull)
    assert color_error(found, views) < 0.35 * color_error(wrong, views)
    assert silhouette_iou(found, views, hull) > silhouette_iou(wrong, views, hull)
    distance = found.means.norm(dim=1)
    assert 0.95 * RADIUS < float(distance.mean()) < 1.02 * RADIUS


def test_new_views_gain_too():
    """Colours lie on the surface, not in front of one camera: another one sees them as they are."""
    seen, hull = photos(ball()), hull_of(photos(ball()))
    elsewhere = photos(ball(), [np.array([0.1, 0.12, 0.11]), np.array([-0.16, -0.02, 0.09])])
    wrong = replace(
        ball(), means=ball().means + 0.002 * torch.randn(6000, 3, generator=torch.Generator().manual_seed(0))
    )
    found = fit_gaussians(wrong, sphere(), seen, hull)
    assert color_error(found, elsewhere) < 0.5 * color_error(wrong, elsewhere)


@settings(max_examples=4, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.0, 0.01), st.floats(0.8, 1.1))
def test_the_silhouettes_never_get_worse(seed: int, noise: float, size: float):
    views = photos(ball(500))
    hull = hull_of(views)
    rng = torch.Generator().manual_seed(seed)
    g = ball(500)
    start = replace(
        g, means=g.means + noise * torch.randn(500, 3, generator=rng), colors=torch.rand(500, 3, generator=rng)
    )
    found = fit_gaussians(start, sphere(size * RADIUS), views, hull, SplatConfig(steps=6))
    assert silhouette_iou(found, views, hull) >= silhouette_iou(start, views, hull)


def test_a_surface_that_fits_less_well_than_the_gaussians_leaves_them_as_they_are():
    views = photos(ball())
    start = ball()
    found = fit_gaussians(start, sphere(0.5 * RADIUS), views, hull_of(views), SplatConfig(steps=2))
    assert torch.equal(found.means, start.means) and torch.equal(found.colors, start.colors)


def test_what_is_right_already_stays():
    views = photos(ball())
    found = fit_gaussians(ball(), sphere(), views, hull_of(views), SplatConfig(steps=5))
    assert (found.means - ball().means).norm(dim=1).max() < 0.001


def test_a_surface_that_is_right_already_stays():
    views = photos(gaussians_on_mesh(sphere(), photos(ball())))
    wrong = replace(ball(), means=0.9 * ball().means)
    found = fit_gaussians(wrong, sphere(), views, hull_of(views))
    laid = gaussians_on_mesh(sphere(), views)
    assert found.means.shape == laid.means.shape
    assert (found.means - laid.means).norm(dim=1).mean() < 0.0005
    assert abs(float(found.means.norm(dim=1).mean()) - RADIUS) < 0.0001


def test_the_start_is_not_changed_in_place():
    views = photos(ball(300))
    start, mesh = ball(300), sphere()
    fit_gaussians(replace(start, colors=torch.full((300, 3), 0.5)), mesh, views, hull_of(views), SplatConfig(steps=2))
    assert torch.equal(start.means, ball(300).means)
    assert np.array_equal(mesh.vertices, sphere().vertices)


def test_cancelling_stops_at_the_next_step():
    views = photos(ball(300))
    polls = iter([False, False, True])
    fractions: list[float] = []
    with pytest.raises(ReconstructionError) as error:
        fit_gaussians(
            ball(300),
            sphere(),
            views,
            hull_of(views),
            progress=lambda _, f: fractions.append(f),
            cancelled=lambda: next(polls),
        )
    assert error.value.code == ErrorCode.CANCELLED
    assert len(fractions) == 2


def test_its_optimiser_is_torchs():
    ours = torch.tensor([1.0, -2.0, 3.0], requires_grad=True)
    theirs = ours.detach().clone().requires_grad_()
    adam, torchs = _Adam(ours, 0.1, (0.9, 0.999)), torch.optim.Adam([theirs], lr=0.1, eps=_Adam.EPSILON)
    for _ in range(20):
        for x in (ours, theirs):
            (x**4 + x).sum().backward()
        adam.step()
        torchs.step()
        torchs.zero_grad()
    torch.testing.assert_close(ours, theirs)


def test_a_first_refinement_does_not_load_torchs_compiler():
    script = """
import sys, torch
from mvgamba_ros.splats.fit import _Adam
leaf = torch.ones(3, requires_grad=True)
leaf.sum().backward()
_Adam(leaf, 0.1, (0.9, 0.999)).step()
assert "torch._dynamo" not in sys.modules
"""
    run_python("-c", script)
