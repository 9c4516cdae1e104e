"""Refinement: closer to the views, never behind the start in silhouette."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.hull import VisualHull, carve
from mvgamba_ros.geometry.se3 import inverse, look_at
from mvgamba_ros.kernels.rasterize import rasterize
from mvgamba_ros.surface.refine import refine, silhouette_iou
from mvgamba_ros.types import Camera, Gaussians, View

RADIUS = 0.04
CAMERA = Camera(np.array([[200.0, 0, 64], [0, 200, 64], [0, 0, 1]]), 128, 128)
EYES = [np.array([0.16, 0.0, 0.1]), np.array([-0.1, 0.13, 0.08]), np.array([-0.05, -0.15, 0.12])]


def ball(n: int = 1200) -> Gaussians:
    """Gaussians on a ball, red above and blue below."""
    z = 1 - 2 * (np.arange(n) + 0.5) / n
    angle = np.arange(n) * np.pi * (3 - np.sqrt(5))
    d = torch.tensor(np.stack([np.sqrt(1 - z**2) * np.cos(angle), np.sqrt(1 - z**2) * np.sin(angle), z], 1)).float()
    colors = torch.where(d[:, 2:] > 0, torch.tensor([0.9, 0.1, 0.1]), torch.tensor([0.1, 0.1, 0.9]))
    return Gaussians(
        RADIUS * d, torch.tensor([1.0, 0, 0, 0]).repeat(n, 1), torch.full((n, 3), 0.002), torch.full((n,), 0.9), colors
    )


def photos(gaussians: Gaussians) -> list[View]:
    poses = [look_at(eye, np.zeros(3)) for eye in EYES]
    T_camera_world = torch.tensor(np.stack([inverse(T) for T in poses])).float()
    K = torch.tensor(CAMERA.K).float().repeat(3, 1, 1)
    g = gaussians
    seen = rasterize(g.means, g.quats, g.scales, g.opacities, g.colors, T_camera_world, K, 128, 128, torch.ones(3))
    images = (seen.color.clamp(0, 1) * 255).round().byte().numpy()
    return [View(i, CAMERA, T, mask=a.numpy() > 0.5) for i, T, a in zip(images, poses, seen.alpha, strict=True)]


def hull_of(views: list[View]) -> VisualHull:
    return carve(views, resolution=32)


def color_error(gaussians: Gaussians, views: list[View]) -> float:
    found = photos(gaussians)
    return float(np.mean([np.abs(a.image.astype(float) - b.image).mean() for a, b in zip(found, views, strict=True)]))


def test_wrong_colours_and_size_are_mended():
    views = photos(ball())
    hull = hull_of(views)
    wrong = replace(ball(), means=0.95 * ball().means, colors=torch.full((1200, 3), 0.5))
    found = refine(wrong, views, hull)
    assert color_error(found, views) < 0.35 * color_error(wrong, views)
    assert silhouette_iou(found, views, hull) > silhouette_iou(wrong, views, hull)


@settings(max_examples=4, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.0, 0.01))
def test_the_silhouettes_never_get_worse(seed: int, noise: float):
    views = photos(ball(500))
    hull = hull_of(views)
    rng = torch.Generator().manual_seed(seed)
    g = ball(500)
    start = replace(
        g, means=g.means + noise * torch.randn(500, 3, generator=rng), colors=torch.rand(500, 3, generator=rng)
    )
    found = refine(start, views, hull, steps=6)
    assert silhouette_iou(found, views, hull) >= silhouette_iou(start, views, hull)


def test_what_is_right_already_stays():
    views = photos(ball())
    found = refine(ball(), views, hull_of(views), steps=5)
    assert (found.means - ball().means).norm(dim=1).max() < 0.001


def test_the_start_is_not_changed_in_place():
    views = photos(ball(300))
    start = ball(300)
    refine(replace(start, colors=torch.full((300, 3), 0.5)), views, hull_of(views), steps=2)
    assert torch.equal(start.means, ball(300).means)


def test_cancelling_stops_at_the_next_step():
    views = photos(ball(300))
    polls = iter([False, False, True])
    fractions: list[float] = []
    with pytest.raises(ReconstructionError) as error:
        refine(
            ball(300), views, hull_of(views), progress=lambda _, f: fractions.append(f), cancelled=lambda: next(polls)
        )
    assert error.value.code == ErrorCode.CANCELLED
    assert len(fractions) == 2
