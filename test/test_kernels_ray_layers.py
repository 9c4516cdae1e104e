"""The native small networks along rays against plain torch, on every instruction set that runs here."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace

import native_kernels
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_kernels_epipolar import scene
from torch import Tensor
from torch.nn import functional as F

from mvgamba_ros.kernels import ray_layers_cpu
from mvgamba_ros.kernels.ray_layers import aggregate_views, along_rays
from mvgamba_ros.kernels.ray_types import NUM_VIEW_FEATURES, Layer, RayMLP

TOLERANCE = 2e-5
"""Of float32 against float64, numbers of the size of 1."""


def layers(*sizes: tuple[int, ...], seed: int = 0) -> list[Layer]:
    """Random ones of weights (outputs, inputs) or (outputs, inputs, taps), in float64, that keep numbers' size."""
    g = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    return [(random(*size) * (2 / max(random(*size)[0].numel(), 1)) ** 0.5, random(size[0])) for size in sizes]


def cast(given: object, dtype: torch.dtype = torch.float32) -> object:
    """Tensors within ``given`` in ``dtype``."""
    if isinstance(given, Tensor):
        return given.to(dtype)
    if is_dataclass(given):
        return replace(given, **{f.name: cast(getattr(given, f.name), dtype) for f in fields(given)})
    return type(given)(cast(x, dtype) for x in given) if isinstance(given, tuple | list) else given


def rays_of(rays: int, inputs: int, positions: int, width: int, outputs: int, taps: int, depth: int) -> tuple:
    """Arguments of `along_rays` in float64."""
    g = torch.Generator().manual_seed(rays + inputs * 31 + positions * 1009)
    x, of_rays = (
        torch.randn(*shape, generator=g, dtype=torch.float64) for shape in ((rays, inputs, positions), (rays, width))
    )
    between = [(width, width, taps)] * (depth - 1)
    mlp = RayMLP(*layers((width, inputs)), tuple(layers(*between, (outputs, width, taps), seed=1)))
    return x, of_rays, mlp


def views_of(
    views: int, rays: int, rows: int, positions: int, width: int = 16, others: int = 6, size: int = 32
) -> tuple:
    """Arguments of `aggregate_views` in float64."""
    s = scene(views, size, rays, rows * positions, seed=views * 31 + rays)
    g = torch.Generator().manual_seed(positions)
    position_features, of_rays = (
        torch.randn(*shape, generator=g, dtype=torch.float64)
        for shape in ((rays, rows, others, positions), (rays, rows, width))
    )
    depths = s["depths"].view(rays, rows, positions)
    dense, *convolutions = layers((width, 2 * width + others), (width, width, 3), (1, width, 3), seed=2)
    mlp = RayMLP(dense, tuple(convolutions), tuple(layers((width, NUM_VIEW_FEATURES), (width, width))))
    return s["rays"], s["sources"], s["colors4"], depths, mlp, position_features, of_rays


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
        got = along_rays(*cast(arguments), "cpu")
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
def test_aggregate_views_equals_the_reference(
    views: int, rays: int, rows: int, positions: int, width: int, threads: int
) -> None:
    """In float32 both: a feature jumps where a rounding puts a point on the other side of a pixel's border."""
    arguments = cast(views_of(views, rays, rows, positions, width))
    with native_kernels.threads(threads):
        got = aggregate_views(*arguments, "cpu")
    expected = aggregate_views(*arguments, "reference")
    assert got.shape == expected.shape == (rays, rows, 1, positions)
    away = (got - expected).abs() > 1e-3
    assert away.sum() <= max(0.01 * away.numel(), 6)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_without_a_source_view_one_whose_features_are_zero_stands_in(backend: str) -> None:
    *samples, mlp, position_features, of_rays = cast(views_of(1, 7, 2, 5))
    features = torch.zeros(1, NUM_VIEW_FEATURES)
    for layer in mlp.view_layers:
        features = F.linear(features, *layer).relu()
    joined = torch.cat([features[0, :, None].expand(7, 2, -1, 5)] * 2 + [position_features], 2).flatten(0, 1)
    along = replace(mlp, view_layers=())
    expected = along_rays(joined, of_rays.flatten(0, 1), along, "reference").unflatten(0, (7, 2))
    got = aggregate_views(*samples, mlp, position_features, of_rays, backend)
    torch.testing.assert_close(got, expected, atol=TOLERANCE, rtol=TOLERANCE)


def test_the_layers_above_distinguish_rays_and_neighbours() -> None:
    x, of_rays, mlp = rays_of(5, 4, 9, 8, 2, 3, 2)
    result = along_rays(x, of_rays, mlp)
    assert not torch.allclose(result[0], result[1])
    one = x.clone()
    one[:, :, 4] += 1
    moved = (along_rays(one, of_rays, mlp) - result).abs().amax((0, 1)) > 0
    assert moved.tolist() == [False, False, True, True, True, True, True, False, False]


@native_kernels.every_instruction_set
def test_every_instruction_set_that_runs_here_gives_the_same(instructions: str) -> None:
    native_kernels.skip_unless_it_runs_here(instructions)
    x, of_rays, mlp = cast(rays_of(50, 7, 21, 16, 2, 3, 2))
    got = ray_layers_cpu.along_rays(x, of_rays, mlp, instructions)
    expected = along_rays(x, of_rays, mlp, "reference")
    torch.testing.assert_close(got, expected, atol=TOLERANCE, rtol=TOLERANCE)
    arguments = cast(views_of(4, 50, 2, 16))
    got = ray_layers_cpu.aggregate_views(*arguments, instructions)
    away = (got - aggregate_views(*arguments, "reference")).abs() > 1e-3
    assert away.sum() <= 0.01 * away.numel()


def test_the_number_of_threads_changes_no_bit() -> None:
    along, views = cast(rays_of(77, 7, 16, 16, 2, 3, 2)), cast(views_of(3, 77, 2, 16))
    first, *rest = native_kernels.by_threads(lambda: (along_rays(*along, "cpu"), aggregate_views(*views, "cpu")))
    for other in rest:
        assert all(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_gradients_flow_by_default_and_the_native_backend_refuses_to_give_them() -> None:
    x, of_rays, mlp = cast(rays_of(6, 4, 9, 8, 2, 3, 2))
    mlp.position_layer[0].requires_grad_()
    along_rays(x, of_rays, mlp).sum().backward()
    assert mlp.position_layer[0].grad is not None
    with pytest.raises(ValueError, match="no gradients"):
        along_rays(x, of_rays, mlp, "cpu")
    with torch.no_grad():
        along_rays(x, of_rays, mlp, "cpu")


def test_within_autocast_it_stays_float32() -> None:
    arguments = cast(rays_of(6, 4, 9, 8, 2, 3, 2))
    with torch.autocast("cpu", torch.bfloat16):
        got = along_rays(*arguments)
    assert torch.equal(got, along_rays(*arguments, "cpu"))


def test_within_autocast_torch_is_as_fine_where_no_gradient_is_needed_and_halves_where_one_is() -> None:
    """So does a GPU, which has no native kernel."""
    x, of_rays, mlp = cast(rays_of(6, 4, 9, 8, 2, 3, 2))
    views = cast(views_of(3, 9, 2, 8))
    exact = along_rays(x, of_rays, mlp, "reference")
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(along_rays(x, of_rays, mlp, "reference"), exact)
        assert torch.equal(along_rays(x, of_rays.bfloat16().float(), mlp, "reference"),
                           along_rays(x, of_rays.bfloat16(), mlp, "reference"))  # fmt: skip
        assert along_rays(x.requires_grad_(), of_rays, mlp, "reference").dtype == torch.bfloat16
        within = aggregate_views(*views, "reference")
    assert torch.equal(within, aggregate_views(*views, "reference"))


def test_of_half_precision_all_is_taken_in_float32() -> None:
    *inputs, mlp, position_features, of_rays = cast(views_of(3, 9, 2, 8))
    low = *cast(tuple(inputs), torch.bfloat16), mlp, *cast((position_features, of_rays), torch.bfloat16)
    expected = aggregate_views(*cast(low), "cpu")
    assert torch.equal(aggregate_views(*low, "cpu"), expected)


def test_what_is_no_number_stays_none() -> None:
    x, of_rays, mlp = cast(rays_of(3, 4, 9, 8, 2, 3, 2))
    x[1, 2, 4] = torch.nan
    result = along_rays(x, of_rays, mlp, "cpu")
    assert result[1, :, 4].isnan().all()
    assert result[[0, 2]].isfinite().all()


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, r, mlp: (x[0], r, mlp), r"position_features must be \(rays, inputs, positions\), got \(4, 9\)"),
        (lambda x, r, mlp: (x, r[:2], mlp), r"ray_features must be \(3, 8\), got \(2, 8\)"),
        (lambda x, r, mlp: (x[:, :3], r, mlp), r"a weight must be \(outputs, 3\).*got \(8, 4\)"),
        (
            lambda x, r, mlp: (x, r, replace(mlp, convolutions=[(w[..., :2], b) for w, b in mlp.convolutions])),
            r"odd taps up to 9\), got \(8, 8, 2\)",
        ),
        (
            lambda x, r, mlp: (x, r, replace(mlp, position_layer=(mlp.position_layer[0], mlp.position_layer[1][:3]))),
            r"a bias must be \(8,\), got \(3,\)",
        ),
        (lambda x, r, mlp: (x, r, replace(mlp, view_layers=mlp.convolutions)), "must have no view_layers"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(backend: str, change, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        along_rays(*change(*cast(rays_of(3, 4, 9, 8, 2, 3, 2))), backend)


def test_views_that_do_not_fit_are_refused() -> None:
    arguments = list(cast(views_of(3, 5, 2, 8)))
    sources = arguments[1]
    for place, value, message in (
        (1, replace(sources, pictures=sources.pictures[..., :-1]), "pictures must be"),
        (1, replace(sources, depth_maps=sources.depth_maps[..., :-1]), "depth_maps must be"),
        (2, arguments[2][..., :-1], "reference_colors must be"),
        (3, arguments[3][..., :-1], "position_features must be"),
        (6, arguments[6][..., :-1], "ray_features must be"),
    ):
        wrong = [*arguments[:place], value, *arguments[place + 1 :]]
        with pytest.raises(ValueError, match=message):
            aggregate_views(*wrong)
    with pytest.raises(ValueError, match="unknown backend"):
        aggregate_views(*arguments, "cuda")
