"""The native sampling along rays against plain torch, on every instruction set that runs here."""

from __future__ import annotations

from dataclasses import replace

import native_kernels
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from mvgamba_ros.kernels import epipolar_cpu
from mvgamba_ros.kernels.epipolar import photometric_cost, sample_source_views, silhouette_interval
from mvgamba_ros.kernels.ray_types import NUM_VIEW_FEATURES, EpipolarRays, SourceViews, ViewFeature

MIN_SIGMA = 0.02
TOLERANCE = 2e-4
"""Of float32 against float64; depths are of the size of 4."""
FEW = 0.005
"""Share of results that may differ: a rounding puts a point on the other side of a pixel's border, or a colour on the
other side of being valid."""

Scene = dict[str, Tensor | EpipolarRays | SourceViews]


def scene(views: int, size: int, rays: int, positions: int, seed: int) -> Scene:
    """Cameras around the origin in float64, pictures that are smooth but for their borders, rays of the first view."""
    g = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=g, dtype=torch.float64)

    def pictures(channels: int) -> Tensor:
        coarse = random(views, channels, 3, 3)
        return F.interpolate(coarse, (size, size), mode="bilinear").permute(0, 2, 3, 1).contiguous()

    back = F.normalize(random(views, 3) - 0.5, dim=-1)
    side = F.normalize(torch.linalg.cross(back, random(views, 3)), dim=-1)
    R = torch.stack([side, torch.linalg.cross(-back, side), -back], 1)  # world to camera
    zoom = torch.tensor([3.0, 3.0, 1.0], dtype=torch.float64)
    M = zoom[:, None] * R
    o = (zoom * torch.tensor([0, 0, 4.0], dtype=torch.float64)).expand(views, 3).contiguous()
    origin = 4 * back[0]
    directions = (torch.cat([0.6 * random(rays, 2) - 0.3, torch.ones(rays, 1, dtype=torch.float64)], 1)) @ R[0]
    # first hits, last exits and their sigmas: those of a view vary from pixel to pixel
    surfaces = torch.cat([4 + 0.3 * random(views, size, size, 2), 0.1 * random(views, size, size, 2)], -1)
    return {
        "rays": EpipolarRays(0, M, o, origin, directions),
        "alpha": pictures(1)[..., 0] + 0.2,
        "colors": torch.cat([pictures(3), pictures(1) + 0.2], -1),
        "sources": SourceViews(
            pictures(5), torch.cat([surfaces, (random(views, size, size, 1) > 0.3).double()], -1), MIN_SIGMA
        ),
        "begins": 2.5 + 0.1 * random(rays),
        "ends": 5.5 + 0.1 * random(rays),
        "depths": 3.5 + random(rays, positions),
        "colors3": random(rays, 3),
        "colors4": random(rays, 4),
    }


def sampled(s: Scene, positions: int, backend: str) -> list[Tensor]:
    """The results of all three on ``s``."""
    rays, begins, ends = s["rays"], s["begins"], s["ends"]
    near, far = silhouette_interval(rays, s["alpha"], -0.5, 0.05, begins, ends, max(positions, 2), backend)
    return [
        near,
        far,
        photometric_cost(rays, s["colors"], begins, ends, s["colors3"], positions, backend),
        sample_source_views(rays, s["sources"], s["colors4"], s["depths"], backend),
    ]


def to_float32(s: Scene) -> Scene:
    def single(x: Tensor | EpipolarRays | SourceViews) -> Tensor | EpipolarRays | SourceViews:
        if isinstance(x, Tensor):
            return x.float()
        if isinstance(x, SourceViews):
            return replace(x, pictures=x.pictures.float(), depth_maps=x.depth_maps.float())
        return replace(x, M=x.M.float(), o=x.o.float(), origin=x.origin.float(), directions=x.directions.float())

    return {name: single(x) for name, x in s.items()}


@settings(max_examples=30, deadline=None)
@given(
    views=st.integers(1, 5),
    size=st.integers(1, 40),
    rays=st.integers(0, 60),
    positions=st.integers(1, 40),
    threads=st.sampled_from([1, 2]),
)
def test_all_three_equal_the_float64_reference(views: int, size: int, rays: int, positions: int, threads: int) -> None:
    s = scene(views, size, rays, positions, seed=views * 1009 + size * 31 + rays)
    with native_kernels.threads(threads):
        got = sampled(to_float32(s), positions, "cpu")
    for expected, result in zip(sampled(s, positions, "reference"), got, strict=True):
        assert result.dtype == torch.float32
        assert result.shape == expected.shape
        away = (result.double() - expected).abs() > TOLERANCE
        assert away.sum() <= max(FEW * away.numel(), NUM_VIEW_FEATURES)


def test_the_scenes_above_hold_what_they_are_to_test() -> None:
    """Rays that meet the silhouettes and rays that do not, colours valid and not, depth maps valid and not."""
    s = scene(4, 32, 60, 16, seed=7)
    near, far, cost, features = sampled(s, 16, "reference")
    assert 0.1 < float((far > near).double().mean()) < 0.95
    assert 0.05 < float((cost == 1).double().mean()) < 0.9
    assert 0.1 < float((features[..., ViewFeature.VALID] == 1).double().mean()) < 0.9


@native_kernels.every_instruction_set
def test_every_instruction_set_that_runs_here_gives_the_same(instructions: str) -> None:
    native_kernels.skip_unless_it_runs_here(instructions)
    s = to_float32(scene(4, 33, 50, 21, seed=3))
    rays, begins, ends = s["rays"], s["begins"], s["ends"]
    got = [
        *epipolar_cpu.silhouette_interval(rays, s["alpha"], -0.5, 0.05, begins, ends, 21, instructions),
        epipolar_cpu.photometric_cost(rays, s["colors"], begins, ends, s["colors3"], 21, instructions),
        epipolar_cpu.sample_source_views(rays, s["sources"], s["colors4"], s["depths"], instructions),
    ]
    for expected, result in zip(sampled(s, 21, "reference"), got, strict=True):
        away = (result - expected).abs() > TOLERANCE
        assert away.sum() <= FEW * away.numel()


def test_the_number_of_threads_changes_no_bit() -> None:
    s = to_float32(scene(3, 32, 77, 16, seed=5))
    first, *rest = native_kernels.by_threads(lambda: sampled(s, 16, "cpu"))
    for other in rest:
        assert all(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_features_of_a_view_that_faces_away_or_stands_on_the_point_are_finite() -> None:
    s = to_float32(scene(3, 16, 20, 8, seed=1))
    rays = s["rays"]
    s["depths"] = torch.linspace(-1e6, 1e6, 8).expand(20, 8).contiguous()
    assert all(x.isfinite().all() for x in sampled(s, 8, "cpu"))
    s["rays"] = replace(rays, M=torch.zeros_like(rays.M), o=torch.zeros_like(rays.o))
    assert all(x.isfinite().all() for x in sampled(s, 8, "cpu"))


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_no_gradient_flows(backend: str) -> None:
    s = to_float32(scene(3, 8, 5, 4, seed=0))
    s["depths"].requires_grad_()
    assert not any(x.requires_grad for x in sampled(s, 4, backend))


def test_below_the_floor_nothing_is_inside() -> None:
    rays = EpipolarRays(
        0, torch.zeros(1, 3, 3), torch.zeros(1, 3), torch.tensor([0.0, 0, 1]), torch.tensor([[0.0, 0, -1]])
    )
    near, far = silhouette_interval(rays, torch.ones(1, 4, 4), 0.25, 0.01, torch.zeros(1), torch.full((1,), 2.0), 41)
    assert float(near) == 0.0
    torch.testing.assert_close(far, torch.tensor([0.75]), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("colors", torch.zeros(3, 8, 8, 3), r"colors must be \(3, any, any, 4\).*\(3, 8, 8, 3\)"),
        ("colors", torch.zeros(3, 8, 9, 4), "pictures square"),
        ("near", torch.zeros(4), r"near must be \(5\)"),
        ("reference_colors", torch.zeros(5, 3).double(), "reference_colors must be torch.float32"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_expected_shape(name: str, value: Tensor, message: str) -> None:
    s = to_float32(scene(3, 8, 5, 4, seed=0))
    given = {
        "colors": s["colors"],
        "near": s["begins"],
        "far": s["ends"],
        "reference_colors": s["colors3"],
        name: value,
    }
    with pytest.raises(ValueError, match=message):
        photometric_cost(s["rays"], bins=4, **given)


def test_a_view_that_is_not_there_is_refused() -> None:
    s = to_float32(scene(3, 8, 5, 4, seed=0))
    with pytest.raises(ValueError, match="view must be one of 3, got 3"):
        sample_source_views(replace(s["rays"], view=3), s["sources"], s["colors4"], s["depths"])


def test_a_backend_that_does_not_fit_is_refused() -> None:
    s = scene(2, 8, 5, 4, seed=0)
    with pytest.raises(ValueError, match="float32"):
        sampled(s, 4, "cpu")
    with pytest.raises(ValueError, match="unknown backend 'gpu'"):
        sampled(s, 4, "gpu")
