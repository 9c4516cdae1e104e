"""The rasteriser by tiles, in torch, against every pixel with every Gaussian in float64."""

from __future__ import annotations

import sys
import warnings
from typing import Any

import pytest
import torch
from test_kernels_rasterize_cuda import arguments

from mvgamba_ros.kernels import rasterize_cuda, rasterize_tiled
from mvgamba_ros.kernels.rasterize import Rendered, rasterize

NAMES = ["means", "quats", "scales", "opacities", "colors", "T_camera_world", "K", "background"]
SIZE: dict[str, Any] = {"width": 41, "height": 23}  # tiles that are cut off on both sides


def drawn(backend: str, dtype: torch.dtype, device: str = "cpu") -> tuple[Rendered, dict[str, torch.Tensor]]:
    """The pictures, and every gradient of a weighted sum of them."""
    scene = {n: x.to(device, dtype).requires_grad_(n != "K") for n, x in zip(NAMES, arguments(N=60), strict=True)}
    images = rasterize(**scene, **SIZE, backend=backend)
    g = torch.Generator().manual_seed(0)
    color, depth, alpha = (
        torch.randn(x.shape, generator=g, dtype=torch.float64).to(x) for x in (images.color, images.depth, images.alpha)
    )
    weighted = (images.color * color).sum() + (images.depth * images.alpha.detach() * depth).sum()
    (weighted + (images.alpha * alpha).sum()).backward()
    return images, {n: x.grad.double().cpu() for n, x in scene.items() if x.grad is not None}


def assert_equal(got: Any, right: Any, tolerance: float) -> None:
    for name, image, expected in zip(Rendered._fields, got[0], right[0], strict=True):
        assert (image.double().cpu() - expected).abs().max() < tolerance * expected.abs().max(), name
    assert got[1].keys() == right[1].keys() == set(NAMES) - {"K"}
    for name, expected in right[1].items():
        assert (got[1][name] - expected).abs().max() < tolerance * expected.abs().max(), name


@pytest.mark.parametrize("pairs", [1 << 23, 5000])
def test_pictures_and_gradients_are_the_references(pairs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many tiles are blended together."""
    monkeypatch.setattr(rasterize_tiled, "_PAIRS_AT_ONCE", pairs)
    right = drawn("reference", torch.float64)
    assert_equal(drawn("tiled", torch.float64), right, 1e-12)
    assert_equal(drawn("tiled", torch.float32), right, 1e-5)


def test_where_nothing_is_seen_there_is_the_background() -> None:
    scene = dict(zip(NAMES, arguments(), strict=True))
    scene["means"] = scene["means"] - torch.tensor([0.0, 0.0, 9.0])
    images = rasterize(**scene, **SIZE, backend="tiled")
    assert torch.equal(images.color, scene["background"][:, None, None].expand_as(images.color))
    assert not images.alpha.any() and not images.depth.any() and not images.median_depth.any()


def test_the_memory_of_the_gradient_is_that_of_the_tiles_blended_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: dict[int, int] = {}

    def pack(x: torch.Tensor) -> torch.Tensor:
        kept[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes() if x.is_floating_point() else 0
        return x

    monkeypatch.setattr(rasterize_tiled, "_PAIRS_AT_ONCE", 100_000)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        scene = {n: x.requires_grad_(n == "means") for n, x in zip(NAMES, arguments(N=2000), strict=True)}
        rasterize(**scene, **SIZE, backend="tiled")
    assert sum(kept.values()) < 1e6, "pairs of pixels and Gaussians are kept"


def test_without_any_package_torch_draws_by_tiles_and_nothing_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("gsplat", "diff_gaussian_rasterization"):
        monkeypatch.setitem(sys.modules, package, None)
    rasterize_cuda.working_rasteriser.cache_clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert rasterize_cuda.working_rasteriser("cpu") is rasterize_tiled.draw_tiled
    rasterize_cuda.working_rasteriser.cache_clear()


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_the_gpu_pictures_and_gradients_are_the_float64_references() -> None:
    assert_equal(drawn("tiled", torch.float32, "cuda"), drawn("reference", torch.float64), 1e-4)
