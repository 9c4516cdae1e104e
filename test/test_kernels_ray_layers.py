"""The native small networks along rays against plain torch, on every instruction set that runs here."""

from __future__ import annotations

from dataclasses import replace

import native_kernels
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_kernels_sightlines import scene, to_float32
from torch import Tensor
from torch.nn import functional as F

from mvgamba_ros.kernels import ray_layers_cpu
from mvgamba_ros.kernels.ray_layers import aggregate_views, along_rays
from mvgamba_ros.kernels.ray_types import Layer, Sightlines
from mvgamba_ros.kernels.sightlines import NUM_VIEW_FEATURES

TOLERANCE = 2e-5
"""Of float32 against float64, numbers of the size of 1."""
LEAST_DOUBT = 0.02


def layers(*sizes: tuple[int, ...], seed: int = 0) -> list[Layer]:
    """Random ones of weights (outputs, inputs) or (outputs, inputs, taps), in float64, that keep numbers' size."""
    g = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    return [(random(*size) * (2 / max(random(*size)[0].numel(), 1)) ** 0.5, random(size[0])) for size in sizes]


def single(given: object) -> object:
    """Tensors within ``given`` in float32."""
    if isinstance(given, Tensor):
        return given.float()
    return type(given)(single(x) for x in given) if isinstance(given, tuple | list) else given


def rays_of(rays: int, inputs: int, positions: int, width: int, outputs: int, taps: int, depth: int) -> tuple:
    """Arguments of `along_rays` in float64."""
    g = torch.Generator().manual_seed(rays + inputs * 31 + positions * 1009)
    x, of_rays = (
        torch.randn(*shape, generator=g, dtype=torch.float64) for shape in ((rays, inputs, positions), (rays, width))
    )
    between = [(width, width, taps)] * (depth - 1)
    return x, of_rays, *layers((width, inputs)), layers(*between, (outputs, width, taps), seed=1)


def views_of(
    views: int, rays: int, rows: int, positions: int, width: int = 16, others: int = 6, size: int = 32
) -> tuple:
    """Arguments of `aggregate_views` in float64."""
    s = scene(views, size, rays, rows * positions, seed=views * 31 + rays)
    g = torch.Generator().manual_seed(positions)
    beside, of_rays = (
        torch.randn(*shape, generator=g, dtype=torch.float64)
        for shape in ((rays, rows, others, positions), (rays, rows, width))
    )
    depths = s["depths"].view(rays, rows, positions)
    asked = s["rays"], s["pictures"], s["found"], depths, s["own4"], LEAST_DOUBT
    dense, *convolutions = layers((width, 2 * width + others), (width, width, 3), (1, width, 3), seed=2)
    return *asked, layers((width, NUM_VIEW_FEATURES), (width, width)), beside, of_rays, dense, convolutions


def single_views(arguments: tuple) -> tuple:
    rays, *rest = arguments
    return to_float32({"rays": rays})["rays"], *single(tuple(rest))


@settings(max_examples=40, deadline=None)
@given(
    rays=st.integers(0, 20),
    inputs=st.integers(1, 12),
    positions=st.integers(1, 40),
    width=st.integers(1, 40),
    outputs=st.integers(1, 20),
    taps=st.sampled_from([1, 3, 9]),
    depth=st.integers(1, 3),
    threads=st.sampled_from([1, 2]),
)
def test_along_rays_equals_the_float64_reference(
    rays: int, inputs: int, positions: int, width: int, outputs: int, taps: int, depth: int, threads: int
) -> None:
    arguments = rays_of(rays, inputs, positions, width, outputs, taps, depth)
    with native_kernels.threads(threads):
        got = along_rays(*single(arguments), "cpu")
    assert got.dtype == torch.float32
    torch.testing.assert_close(got.double(), along_rays(*arguments, "reference"), atol=TOLERANCE, rtol=TOLERANCE)


@settings(max_examples=30, deadline=None)
@given(
    views=st.integers(1, 5),
    rays=st.integers(0, 30),
    rows=st.integers(1, 3),
    positions=st.integers(1, 40),
    width=st.integers(1, 20),
    threads=st.sampled_from([1, 2]),
)
def test_weigh_views_equals_the_reference(
    views: int, rays: int, rows: int, positions: int, width: int, threads: int
) -> None:
    """In float32 both: what views say jumps where a rounding puts a point on the other side of a pixel's border."""
    arguments = single_views(views_of(views, rays, rows, positions, width))
    with native_kernels.threads(threads):
        got = aggregate_views(*arguments, "cpu")
    expected = aggregate_views(*arguments, "reference")
    assert got.shape == expected.shape == (rays, rows, 1, positions)
    away = (got - expected).abs() > 1e-3
    assert away.sum() <= max(0.01 * away.numel(), 6)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_a_view_without_others_hears_one_that_says_nothing(backend: str) -> None:
    *asked, of_views, beside, of_rays, dense, convolutions = single_views(views_of(1, 7, 2, 5))
    told = torch.zeros(1, NUM_VIEW_FEATURES)
    for layer in of_views:
        told = F.linear(told, *layer).relu()
    joined = torch.cat([told[0, :, None].expand(7, 2, -1, 5)] * 2 + [beside], 2).flatten(0, 1)
    expected = along_rays(joined, of_rays.flatten(0, 1), dense, convolutions, "reference").unflatten(0, (7, 2))
    got = aggregate_views(*asked, of_views, beside, of_rays, dense, convolutions, backend)
    torch.testing.assert_close(got, expected, atol=TOLERANCE, rtol=TOLERANCE)


def test_the_layers_above_tell_rays_and_neighbours_apart() -> None:
    x, of_rays, dense, convolutions = rays_of(5, 4, 9, 8, 2, 3, 2)
    told = along_rays(x, of_rays, dense, convolutions)
    assert not torch.allclose(told[0], told[1])
    one = x.clone()
    one[:, :, 4] += 1
    moved = (along_rays(one, of_rays, dense, convolutions) - told).abs().amax((0, 1)) > 0
    assert moved.tolist() == [False, False, True, True, True, True, True, False, False]


@native_kernels.every_instruction_set
def test_every_instruction_set_that_runs_here_gives_the_same(instructions: str) -> None:
    native_kernels.skip_unless_it_runs_here(instructions)
    x, of_rays, dense, convolutions = single(rays_of(50, 7, 21, 16, 2, 3, 2))
    got = ray_layers_cpu.along_rays(x, of_rays, [dense, *convolutions], instructions)
    expected = along_rays(x, of_rays, dense, convolutions, "reference")
    torch.testing.assert_close(got, expected, atol=TOLERANCE, rtol=TOLERANCE)
    arguments = single_views(views_of(4, 50, 2, 16))
    *asked, dense, convolutions = arguments
    got = ray_layers_cpu.aggregate_views(*asked, [dense, *convolutions], instructions)
    away = (got - aggregate_views(*arguments, "reference")).abs() > 1e-3
    assert away.sum() <= 0.01 * away.numel()


def test_the_number_of_threads_changes_no_bit() -> None:
    along, weigh = single(rays_of(77, 7, 16, 16, 2, 3, 2)), single_views(views_of(3, 77, 2, 16))
    first, *rest = native_kernels.by_threads(lambda: (along_rays(*along, "cpu"), aggregate_views(*weigh, "cpu")))
    for other in rest:
        assert all(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_gradients_flow_by_default_and_the_native_backend_refuses_to_give_them() -> None:
    x, of_rays, dense, convolutions = single(rays_of(6, 4, 9, 8, 2, 3, 2))
    dense[0].requires_grad_()
    along_rays(x, of_rays, dense, convolutions).sum().backward()
    assert dense[0].grad is not None
    with pytest.raises(ValueError, match="no gradients"):
        along_rays(x, of_rays, dense, convolutions, "cpu")
    with torch.no_grad():
        along_rays(x, of_rays, dense, convolutions, "cpu")


def test_within_autocast_it_stays_float32() -> None:
    arguments = single(rays_of(6, 4, 9, 8, 2, 3, 2))
    with torch.autocast("cpu", torch.bfloat16):
        got = along_rays(*arguments)
    assert torch.equal(got, along_rays(*arguments, "cpu"))


def test_of_half_precision_all_is_taken_in_float32() -> None:
    rays, *given = single_views(views_of(3, 9, 2, 8))
    halves = [x.bfloat16() if isinstance(x, Tensor) else x for x in given]
    low = replace(rays, **{name: getattr(rays, name).bfloat16() for name in ("M", "o", "origin", "directions")})
    expected = aggregate_views(*single_views((low, *halves)), "cpu")
    assert torch.equal(aggregate_views(low, *halves, "cpu"), expected)


def test_what_is_no_number_stays_none() -> None:
    x, of_rays, dense, convolutions = single(rays_of(3, 4, 9, 8, 2, 3, 2))
    x[1, 2, 4] = torch.nan
    told = along_rays(x, of_rays, dense, convolutions, "cpu")
    assert told[1, :, 4].isnan().all()
    assert told[[0, 2]].isfinite().all()


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, r, d, c: (x[0], r, d, c), r"x must be \(rays, inputs, positions\), got \(4, 9\)"),
        (lambda x, r, d, c: (x, r[:2], d, c), r"of_rays must be \(3, 8\), got \(2, 8\)"),
        (lambda x, r, d, c: (x[:, :3], r, d, c), r"a weight must be \(outputs, 3\).*got \(8, 4\)"),
        (lambda x, r, d, c: (x, r, d, [(c[0][0][..., :2], c[0][1])]), r"odd taps up to 9\), got \(8, 8, 2\)"),
        (lambda x, r, d, c: (x, r, (d[0], d[1][:3]), c), r"a bias must be \(8,\), got \(3,\)"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(backend: str, change, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        along_rays(*change(*single(rays_of(3, 4, 9, 8, 2, 3, 2))), backend)


def test_views_that_do_not_fit_are_refused() -> None:
    arguments = list(single_views(views_of(3, 5, 2, 8)))
    for place, message in ((1, "pictures must be"), (3, "beside must be"), (4, "own must be"), (8, "of_rays must")):
        wrong = list(arguments)
        wrong[place] = wrong[place][..., :-1]
        with pytest.raises(ValueError, match=message):
            aggregate_views(*wrong)
    assert isinstance(arguments[0], Sightlines)
    with pytest.raises(ValueError, match="unknown backend"):
        aggregate_views(*arguments, "cuda")
