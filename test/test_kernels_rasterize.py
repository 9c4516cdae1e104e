"""The native CPU rasteriser against the float64 reference, and at its edges."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterize_scenes import IMAGE_TOLERANCE, Scene, gradients, one_gaussian, random_scene
from torch import Tensor

from mvgamba_ros.kernels import rasterize_reference
from mvgamba_ros.kernels.rasterize import Rendered

DEPTH_TOLERANCE = 1e-4  # a ratio of two small numbers at faint pixels
GRADIENT_TOLERANCE = 1e-4  # of the largest entry


def clear_cut(scene: Scene, width: int, height: int) -> tuple[Rendered, Tensor]:
    """The float64 images and the pixels (V, H, W) where no threshold is so near that float32 might fall on its other
    side: those that nudged thresholds leave alone."""
    with torch.no_grad():
        exact = scene.to(torch.float64).draw(width, height, "reference")
        certain = torch.ones_like(exact.alpha, dtype=torch.bool)
        for name, nudge in (("ALPHA_MIN", 1e-5), ("ALPHA_MAX", 1e-7), ("TRANSMITTANCE_MIN", 1e-3)):
            for factor in (1 - nudge, 1 + nudge):
                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr(rasterize_reference, name, getattr(rasterize_reference, name) * factor)
                    nudged = scene.to(torch.float64).draw(width, height, "reference")
                certain &= (nudged.color - exact.color).abs().amax(-1) < 1e-6
    return exact, certain


def assert_matches_reference(scene: Scene, width: int, height: int) -> None:
    exact, certain = clear_cut(scene, width, height)
    drawn = scene.draw(width, height, "cpu")
    assert certain.double().mean() > 0.9
    assert (drawn.color - exact.color)[certain].abs().amax() <= IMAGE_TOLERANCE
    assert (drawn.alpha - exact.alpha)[certain].abs().amax() <= IMAGE_TOLERANCE
    assert (drawn.depth - exact.depth)[certain].abs().amax() <= DEPTH_TOLERANCE
    # the median jumps where transmittance is just 0.5, which is not among the nudged thresholds
    assert ((drawn.median_depth - exact.median_depth)[certain].abs() > DEPTH_TOLERANCE).double().mean() < 0.01

    g = torch.Generator().manual_seed(0)
    weights = [torch.randn(*certain.shape, *tail, generator=g) for tail in ((3,), (), ())]
    masked = (weights[0] * certain[..., None], weights[1] * certain, weights[2] * certain)
    expected = gradients(scene.to(torch.float64), width, height, "reference", masked)
    for name, gradient in gradients(scene, width, height, "cpu", masked).items():
        assert gradient.shape == expected[name].shape
        if gradient.numel():
            error = (gradient - expected[name]).abs().max() / expected[name].abs().max().clamp_min(1e-6)
            assert error <= GRADIENT_TOLERANCE, f"{name}: {error:.2g}"


@settings(max_examples=20, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 1 << 30),
    N=st.integers(0, 60),
    V=st.integers(1, 3),
    width=st.integers(1, 70),
    height=st.integers(1, 70),
    size=st.sampled_from([0.003, 0.03, 0.2]),
    spread=st.sampled_from([0.3, 1.5]),
)
def test_images_and_gradients_are_the_float64_reference_s(seed, N, V, width, height, size, spread) -> None:
    assert_matches_reference(random_scene(seed, N, V, width, height, size, spread), width, height)


def test_a_dense_scene_across_many_tiles_matches_the_reference() -> None:
    assert_matches_reference(random_scene(1, 500, 1, 75, 50, size=0.06), 75, 50)


@pytest.mark.parametrize(
    ("changes", "empty"),
    [
        ({"means": [0.0, 0.0, -2.0]}, True),  # behind the camera
        ({"means": [0.0, 0.0, 0.005]}, True),  # at the camera
        ({"means": [40.0, 0.0, 2.0]}, True),  # off the screen
        ({"means": [0.9, 0.0, 2.0]}, False),  # centre off the screen, its edge on it
        ({"opacities": 0.0}, True),
        ({"opacities": 1.0}, False),
        ({"scales": [0.0, 0.0, 0.0]}, False),  # a point: the low-pass alone
        ({"scales": [0.3, 0.0, 0.0]}, False),  # a needle
        ({"scales": [500.0, 500.0, 500.0]}, False),  # far wider than the image
        ({"scales": [1.0, 1e-4, 1e-4], "quats": [0.9, 0.1, 0.2, 0.4]}, False),  # a long thin one across the image
        ({"quats": [0.0, 0.0, 0.0, 0.0]}, False),
        ({"quats": [30.0, -20.0, 5.0, 1.0]}, False),  # not of unit length
    ],
)
@pytest.mark.parametrize("size", [(32, 24), (1, 1), (33, 65)])
def test_one_gaussian_at_the_edge_of_what_is_allowed(changes, empty, size) -> None:
    scene = one_gaussian(**changes)
    assert_matches_reference(scene, *size)
    if empty:
        drawn = scene.draw(*size, "cpu")
        assert drawn.alpha.max() == 0
        assert torch.equal(drawn.color, scene.background[:, None, None].expand_as(drawn.color))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 1 << 30),
    powers=st.tuples(*[st.sampled_from([-40.0, -20.0, -3.0, 0.0, 3.0, 15.0, 38.0])] * 4),
)
def test_finite_input_gives_finite_images_and_gradients(seed, powers) -> None:
    scene = random_scene(seed, 20, 2, 40, 30)
    mean, quat, scale, opacity = (10.0**p for p in powers)
    scene = replace(
        scene,
        means=scene.means * torch.tensor([mean, 1, 1]),
        quats=scene.quats * quat,
        scales=scene.scales * scale,
        opacities=scene.opacities * opacity,
    )
    assert all(x.isfinite().all() for x in scene.tensors().values())
    scene = scene.requiring_gradients()
    drawn = scene.draw(40, 30, "cpu")
    assert all(image.isfinite().all() for image in drawn)
    (drawn.color.sum() + drawn.depth.sum() + drawn.alpha.sum()).backward()
    for name, x in scene.tensors().items():
        assert name == "K" or x.grad.isfinite().all(), name
