"""The rasteriser's definition: what the plain torch reference draws, against closed forms, and its gradients."""

from __future__ import annotations

import math

import pytest
import torch

from mvgamba_ros.kernels.rasterize import Rendered, rasterize

LOW_PASS = 0.3


def one_gaussian(
    x: float = 0.0, y: float = 0.0, z: float = 2.0, scale: float = 0.1, opacity: float = 0.8
) -> dict[str, torch.Tensor]:
    return {
        "means": torch.tensor([[x, y, z]], dtype=torch.float64),
        "quats": torch.tensor([[1.0, 0, 0, 0]], dtype=torch.float64),
        "scales": torch.full((1, 3), scale, dtype=torch.float64),
        "opacities": torch.tensor([opacity], dtype=torch.float64),
        "colors": torch.tensor([[0.2, 0.5, 0.9]], dtype=torch.float64),
    }


def together(*gaussians: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: torch.cat([g[name] for g in gaussians]) for name in gaussians[0]}


def draw(
    gaussians: dict[str, torch.Tensor],
    width: int = 11,
    height: int = 9,
    focal: float = 20.0,
    cx: float | None = None,
    background: torch.Tensor | None = None,
) -> Rendered:
    K = torch.tensor(
        [[focal, 0, width / 2 if cx is None else cx], [0, focal, height / 2], [0, 0, 1]], dtype=torch.float64
    )
    return rasterize(**gaussians, T_camera_world=torch.eye(4, dtype=torch.float64)[None], K=K[None], width=width,
                     height=height, background=background, backend="reference")  # fmt: skip


def test_a_gaussian_on_the_axis_peaks_at_the_centre_pixel_with_its_opacity() -> None:
    drawn = draw(one_gaussian(opacity=0.8))
    assert drawn.alpha[0, 4, 5] == pytest.approx(0.8)
    assert drawn.color[0, 4, 5].tolist() == pytest.approx([0.16, 0.4, 0.72])


def test_alpha_falls_off_as_the_projected_gaussian_widened_by_the_low_pass() -> None:
    drawn = draw(one_gaussian(scale=0.1, opacity=0.8))
    variance = (20 * 0.1 / 2) ** 2 + LOW_PASS
    assert drawn.alpha[0, 4, 7] == pytest.approx(0.8 * math.exp(-0.5 * 2**2 / variance))
    assert drawn.alpha[0, 2, 5] == pytest.approx(drawn.alpha[0, 4, 7].item())


def test_alpha_below_one_in_255_is_left_out() -> None:
    assert draw(one_gaussian(opacity=1 / 256)).alpha.max() == 0
    assert draw(one_gaussian(opacity=1 / 254)).alpha.max() > 0


def test_alpha_is_clamped_at_0_99() -> None:
    assert draw(one_gaussian(opacity=1.0)).alpha.max() == pytest.approx(0.99)


def test_the_nearer_gaussian_covers_the_farther_whatever_their_order_in_the_arrays() -> None:
    near, far = one_gaussian(z=2.0, opacity=0.6), one_gaussian(z=3.0, opacity=0.5)
    far["colors"] = torch.tensor([[1.0, 0, 0]], dtype=torch.float64)
    drawn, swapped = draw(together(near, far)), draw(together(far, near))
    expected = 0.6 * near["colors"][0] + 0.4 * 0.5 * far["colors"][0]
    assert drawn.color[0, 4, 5].tolist() == pytest.approx(expected.tolist())
    assert torch.equal(drawn.color, swapped.color)


def test_what_is_left_of_the_light_comes_from_the_background() -> None:
    background = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64)
    drawn = draw(one_gaussian(opacity=0.75), background=background)
    expected = 0.75 * torch.tensor([0.2, 0.5, 0.9], dtype=torch.float64) + 0.25 * background
    assert drawn.color[0, 4, 5].tolist() == pytest.approx(expected.tolist())
    assert drawn.color[0, 0, 0].tolist() == pytest.approx(background.tolist())


def test_depth_is_the_weighted_mean_z_and_zero_where_nothing_is_seen() -> None:
    drawn = draw(together(one_gaussian(z=2.0, opacity=0.6), one_gaussian(z=3.0, opacity=0.5)))
    assert drawn.depth[0, 4, 5] == pytest.approx((0.6 * 2 + 0.2 * 3) / 0.8)
    assert drawn.alpha[0, 0, 0] == 0
    assert drawn.depth[0, 0, 0] == 0


def test_median_depth_is_the_z_at_which_half_the_light_is_gone() -> None:
    layers = [one_gaussian(z=z, opacity=0.4) for z in (2.0, 3.0, 4.0)]  # leaves 0.6, 0.36
    assert draw(together(*layers)).median_depth[0, 4, 5] == 3.0
    assert draw(layers[0]).median_depth.max() == 0


def test_a_pixel_stops_before_the_gaussian_that_would_leave_less_than_one_ten_thousandth() -> None:
    layers = [one_gaussian(z=2.0 + i, opacity=0.9, scale=0.5) for i in range(5)]  # 1e-4 after four
    drawn = draw(together(*layers))
    assert drawn.alpha[0, 4, 5] == pytest.approx(1 - 1e-3)


def test_moving_the_principal_point_moves_the_picture() -> None:
    gaussian = one_gaussian()
    centred, shifted = draw(gaussian, width=12, cx=5.5), draw(gaussian, width=12, cx=8.5)
    assert torch.allclose(centred.alpha[0, :, :-3], shifted.alpha[0, :, 3:])


def test_turning_the_camera_and_the_gaussians_together_changes_nothing() -> None:
    torch.manual_seed(0)
    gaussians = together(*(one_gaussian(0.1 * i - 0.2, 0.05 * i, 2 + 0.1 * i, 0.05) for i in range(4)))
    gaussians["quats"] = torch.randn(4, 4, dtype=torch.float64)
    before = draw(gaussians)
    half = math.pi / 6  # a turn by 60 degrees about z
    T = torch.eye(4, dtype=torch.float64)
    T[:2, :2] = torch.tensor([[0.5, -math.sqrt(0.75)], [math.sqrt(0.75), 0.5]])
    T[:3, 3] = torch.tensor([0.3, -0.2, 0.5])
    moved = dict(gaussians, means=gaussians["means"] @ T[:3, :3].T + T[:3, 3])
    w, x, y, z = gaussians["quats"].unbind(-1)
    c, s = math.cos(half), math.sin(half)
    moved["quats"] = torch.stack([c * w - s * z, c * x - s * y, c * y + s * x, c * z + s * w], -1)
    K = torch.tensor([[[20.0, 0, 5.5], [0, 20, 4.5], [0, 0, 1]]], dtype=torch.float64)
    after = rasterize(**moved, T_camera_world=torch.linalg.inv(T)[None], K=K, width=11, height=9, backend="reference")
    assert torch.allclose(before.color, after.color)
    assert torch.allclose(before.depth, after.depth)


@pytest.mark.parametrize("count", [1, 4])
def test_gradients_are_the_numerical_ones(count: int) -> None:
    generator = torch.Generator().manual_seed(count)

    def random(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    means = random(count, 3) - 0.5
    quats, scales = random(count, 4) - 0.5, 0.1 + 0.2 * random(count, 3)
    T = torch.eye(4, dtype=torch.float64).repeat(2, 1, 1)
    T[:, 2, 3] = 2.5
    T[1, :2, :2] = torch.tensor([[0.8, -0.6], [0.6, 0.8]])
    K = torch.tensor([[12.0, 0, 4.2], [0, 14, 3.1], [0, 0, 1]], dtype=torch.float64).repeat(2, 1, 1)
    background = random(2, 3)
    inputs = [means, quats, scales, 0.2 + 0.6 * random(count), random(count, 3), T, background]
    for x in inputs:
        x.requires_grad_()

    def images(means, quats, scales, opacities, colors, T, background):
        drawn = rasterize(means, quats, scales, opacities, colors, T, K, 9, 7, background, backend="reference")
        return drawn.color, drawn.depth, drawn.alpha

    assert torch.autograd.gradcheck(images, inputs, eps=1e-7, atol=1e-5, fast_mode=True)
