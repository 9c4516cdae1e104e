"""The native pooling over views against plain torch, forward and gradients, on every instruction set that runs here."""

from __future__ import annotations

import native_kernels
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mvgamba_ros.kernels.pool import pool_views
from mvgamba_ros.kernels.pool_cpu import PoolViews

TOLERANCE = 1e-6
"""Of float32 against float64, numbers of the size of 1."""


def both_features(views: int, points: int, channels: int, others: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """In float32; half of the view features are 0, as after a ReLU, so that views often share the maximum."""
    g = torch.Generator().manual_seed(seed)
    return torch.randn(views, points, channels, generator=g).relu(), torch.randn(points, others, generator=g)


def with_gradients(view_features: Tensor, position_features: Tensor, backend: str) -> list[Tensor]:
    view_features, position_features = (
        view_features.clone().requires_grad_(),
        position_features.clone().requires_grad_(),
    )
    out = pool_views(view_features, position_features, backend)
    weights = torch.sin(torch.arange(out.numel(), dtype=torch.float64)).view(out.shape).to(out.dtype)
    (out * weights).sum().backward()
    assert view_features.grad is not None and position_features.grad is not None
    return [out.detach(), view_features.grad, position_features.grad]


@settings(max_examples=40, deadline=None)
@given(
    views=st.integers(1, 6),
    points=st.integers(0, 40),
    channels=st.integers(1, 40),
    others=st.integers(0, 40),
    threads=st.sampled_from([1, 2]),
)
def test_result_and_gradients_equal_the_float64_reference(
    views: int, points: int, channels: int, others: int, threads: int
) -> None:
    view_features, position_features = both_features(
        views, points, channels, others, seed=views * 1009 + points * 31 + channels
    )
    with native_kernels.threads(threads):
        got = with_gradients(view_features, position_features, "cpu")
    for expected, result in zip(
        with_gradients(view_features.double(), position_features.double(), "reference"), got, strict=True
    ):
        assert result.dtype == torch.float32
        torch.testing.assert_close(result.double(), expected, atol=TOLERANCE, rtol=0)


@native_kernels.every_instruction_set
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_instruction_set_that_runs_here_gives_the_bits_of_the_reference(
    instructions: str, dtype: torch.dtype
) -> None:
    native_kernels.skip_unless_it_runs_here(instructions)
    view_features, position_features = both_features(3, 50, 19, 7)
    view_features = view_features.to(dtype)
    result = PoolViews.apply(view_features, position_features, instructions)
    assert result.dtype == dtype
    assert torch.equal(result, pool_views(view_features, position_features, "reference"))


def test_half_precision_rounds_to_the_nearest_and_keeps_what_is_no_number() -> None:
    numbers = torch.tensor([1 + 2**-8, 1 + 3 * 2**-8, -(2**-130), 3.4e38, torch.inf, -torch.inf, torch.nan])
    view_features, position_features = torch.zeros(1, 7, 1, dtype=torch.bfloat16), numbers[:, None]
    torch.testing.assert_close(
        pool_views(view_features, position_features, "cpu")[:, 2], numbers.bfloat16(), rtol=0, atol=0, equal_nan=True
    )


def test_gradients_of_half_precision_have_its_dtype() -> None:
    view_features, position_features = both_features(3, 20, 16, 6)
    _, of_views, of_positions = with_gradients(view_features.bfloat16(), position_features, "cpu")
    _, expected, _ = with_gradients(view_features.bfloat16(), position_features, "reference")
    assert of_views.dtype == torch.bfloat16
    assert of_positions.dtype == torch.float32
    torch.testing.assert_close(of_views, expected, atol=1e-2, rtol=0)


def test_any_strides_are_right() -> None:
    view_features, position_features = both_features(4, 30, 9, 5)
    strided = view_features.permute(2, 1, 0).contiguous().permute(2, 1, 0), position_features.t().contiguous().t()
    assert torch.equal(pool_views(*strided, "cpu"), pool_views(view_features, position_features, "cpu"))


@pytest.mark.parametrize(
    ("view_features", "position_features", "backend", "message"),
    [
        (torch.zeros(0, 5, 3), torch.zeros(5, 2), None, r"at least one view, got \(0, 5, 3\)"),
        (torch.zeros(2, 5), torch.zeros(5, 2), None, r"\(views, points, channels\).*\(2, 5\)"),
        (torch.zeros(2, 5, 3), torch.zeros(4, 2), None, r"position_features must be \(5, any\).*\(4, 2\)"),
        (torch.zeros(2, 5, 3, device="meta"), torch.zeros(5, 2), None, "position_features must be on meta"),
        (torch.zeros(2, 5, 3).double(), torch.zeros(5, 2), "cpu", "not torch.float64"),
        (torch.zeros(2, 5, 3), torch.zeros(5, 2).double(), "cpu", "beside torch.float64"),
        (torch.zeros(2, 5, 3), torch.zeros(5, 2), "gpu", "unknown backend 'gpu'"),
    ],
)
def test_what_does_not_fit_is_refused(
    view_features: Tensor, position_features: Tensor, backend: str | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        pool_views(view_features, position_features, backend)
