"""The way from crops to depths on a GPU that is pretended: it stays there, and its results are the CPU's."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

import pytest
import torch
from pretended_gpu import CUDA, OnGpu, pretended_gpu
from rendered import views
from test_kernels_rasterize_cuda import SIZE, arguments
from test_model_raygamba import SMALL, sphere_seen_from
from torch import Tensor

from mvgamba_ros.geometry.torch_rays import to_device
from mvgamba_ros.geometry.unit_cube import fit
from mvgamba_ros.geometry.visual_hull import carve
from mvgamba_ros.kernels import native
from mvgamba_ros.kernels.rasterize import rasterize
from mvgamba_ros.methods.mvgamba import MVGambaMethod
from mvgamba_ros.methods.published.network import PRESETS, PublishedNetwork
from mvgamba_ros.model.cost_volume import hull_intervals
from mvgamba_ros.model.raygamba import RayGamba
from mvgamba_ros.options import Options

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU: the tests marked cuda try that")


def tensors(value: Any, name: str = "") -> dict[str, Tensor]:
    """All tensors of a dataclass of tensors, None and such dataclasses."""
    if is_dataclass(value):
        return {k: t for f in fields(value) for k, t in tensors(getattr(value, f.name), f"{name}.{f.name}").items()}
    return {} if value is None else {name: value}


def test_the_pretended_gpu_refuses_what_a_gpu_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    with pretended_gpu(monkeypatch):
        x = torch.ones(3, device=CUDA)
        assert x.is_cuda and (2 * x + torch.tensor(1.0)).sum().item() == 9.0
        assert x.cpu().device.type == "cpu"
        with pytest.raises(RuntimeError, match="on the CPU"):
            x + torch.ones(3)


def test_the_network_stays_on_the_gpu_and_its_depths_are_the_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    network = RayGamba(SMALL).eval()
    batch = sphere_seen_from(3)
    with torch.no_grad():
        rays = hull_intervals(batch, SMALL)
        right = network(batch, rays)
        with pretended_gpu(monkeypatch):
            monkeypatch.setattr(native, "library", lambda: pytest.fail("it takes the native kernels for processors"))
            there = to_device(batch, CUDA)
            found = hull_intervals(there, SMALL)
            got = network.to(CUDA)(there, found)
            results = {**tensors(found, "rays"), **tensors(got)}
            assert all(isinstance(x, OnGpu) for x in results.values())
            results = {k: x.cpu() for k, x in results.items()}
    expected = {**tensors(rays, "rays"), **tensors(right)}
    assert results.keys() == expected.keys()
    for name, value in expected.items():  # a point at a pixel's border may read the other pixel
        apart = ((results[name].float() - value.float()).abs() > 2e-4 * (1 + value.float().abs())).float().mean()
        assert apart < 0.005, f"{name}: {apart:.2%} are apart"


def test_the_published_network_stays_on_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    network = PublishedNetwork(PRESETS["tiny"]).eval()
    views = torch.rand(1, 4, 9, 112, 112)
    with torch.no_grad():
        right = network(views)
        with pretended_gpu(monkeypatch):
            got = to_device(network.to(CUDA)(views.to(CUDA)), torch.device("cpu"))
    for name, value in vars(right).items():
        torch.testing.assert_close(getattr(got, name), value, rtol=2e-4, atol=2e-4)


def test_crops_go_to_the_gpu_and_depths_come_back_as_the_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = views(3)
    cube = fit(*carve(seen, None, 48, 0.0).bounds())
    right = MVGambaMethod(device="cpu", precision="float32")._forward_pass(seen, cube, Options())
    with pretended_gpu(monkeypatch) as traffic:
        there = MVGambaMethod(device=str(CUDA), precision="float32")
        got = there._forward_pass(seen, cube, Options())
    assert there.provenance["device"] == "cuda:0 (pretended)" and there.provenance["selective_scan"] == "torch"
    assert there.notes == ()
    assert traffic.most_bytes < 85 * 2**20, "weights and all, as docs/gpu.md has it"
    apart = (got.depth - right.depth).abs()[right.rays.valid & got.rays.valid]
    assert type(got.depth) is Tensor and (got.rays.valid != right.rays.valid).float().mean() < 1e-3
    assert apart.mean() < 1e-4 and (apart > 1e-3).float().mean() < 0.005


def test_gaussians_are_drawn_on_the_gpu_without_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = arguments()
    right = rasterize(*scene[:7], **SIZE, background=scene[7])
    with pretended_gpu(monkeypatch):
        moved = [x.to(CUDA) for x in scene]
        images = [x.cpu() for x in rasterize(*moved[:7], **SIZE, background=moved[7])]
    for got, expected in zip(images, right, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)
