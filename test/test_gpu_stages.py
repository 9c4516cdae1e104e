"""Every stage that runs torch runs on a GPU, a pretended one here, with the CPU's results and few copies."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pretended_gpu import CUDA, pretended_gpu
from rendered import regions, views
from test_model_raygamba import SMALL
from test_splats_fit import EYES, ball, hull_of, photos, sphere

from mvgamba_ros.config import ReconstructionConfig
from mvgamba_ros.config.segmentation_config import SegmentationConfig
from mvgamba_ros.config.splats_config import SplatConfig
from mvgamba_ros.geometry.visual_hull import carve
from mvgamba_ros.methods.mvgamba import MVGambaMethod
from mvgamba_ros.methods.published.gaussian_depth import render_depths
from mvgamba_ros.model.checkpoint import save_checkpoint
from mvgamba_ros.model.raygamba import RayGamba
from mvgamba_ros.options import Options
from mvgamba_ros.segmentation.classical import objectness
from mvgamba_ros.segmentation.classical.classical_segmenter import ClassicalSegmenter
from mvgamba_ros.segmentation.multiview.instance_network import InstanceNetwork
from mvgamba_ros.segmentation.multiview.multiview_segmenter import MultiviewSegmenter
from mvgamba_ros.segmentation.multiview.region_labels import label_region
from mvgamba_ros.segmentation.windows import make_windows
from mvgamba_ros.splats.fit import fit_gaussians
from mvgamba_ros.surface.depth_maps import DepthMaps
from mvgamba_ros.surface.tsdf import integrate_depth_maps
from mvgamba_ros.types import Prompts, View

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU: the tests marked cuda try that")

FEW = SplatConfig(count=120, steps=2, crop_size=24)


@pytest.fixture(scope="module")
def seen() -> list[View]:
    return views(3)


def test_gaussians_are_fitted_on_the_gpu_as_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = photos(ball(200))
    given = ball(200), sphere(), pictures, hull_of(pictures), FEW
    right = fit_gaussians(*given)
    assert not torch.equal(right.means, given[0].means), "nothing was fitted"
    with pretended_gpu(monkeypatch) as traffic:
        got = fit_gaussians(*given, device=CUDA)
    for name, value in vars(right).items():
        assert type(getattr(got, name)) is torch.Tensor
        torch.testing.assert_close(getattr(got, name), value, atol=2e-6, rtol=1e-4, msg=name)
    assert traffic.up <= 20, "the views, the Gaussians and the hull go up once"


def test_depth_maps_are_integrated_on_the_gpu_as_on_the_cpu(seen: list[View], monkeypatch: pytest.MonkeyPatch) -> None:
    hull = carve(seen, None, 32, 0.0)
    front = torch.from_numpy(np.stack([view.depth for view in seen if view.depth is not None]))
    K, poses = (np.stack(a) for a in zip(*[(view.camera.K, view.T_world_camera) for view in seen], strict=True))
    sigma = torch.full((*front.shape, 2), 0.002)
    maps = [DepthMaps(front, K, poses, front + 0.05, sigma), DepthMaps(front, K, poses, None, sigma[..., :1], True)]
    right = integrate_depth_maps(maps, hull, 3 * hull.voxel)
    with pretended_gpu(monkeypatch) as traffic:
        got = integrate_depth_maps(maps, hull, 3 * hull.voxel, device=CUDA)
    np.testing.assert_allclose(got.values, right.values, atol=1e-6)
    assert traffic.up <= 3 * 2 * len(seen) + 4 and traffic.down == 2, "a coarse and a fine field come back"


def test_depths_of_gaussians_are_rendered_on_the_gpu_as_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = photos(ball(200))
    given = ball(200), hull_of(pictures), np.stack([view.T_world_camera for view in pictures])
    right = render_depths(*given)
    with pretended_gpu(monkeypatch) as traffic:
        got = render_depths(*given, device=CUDA)
    assert type(got.front) is torch.Tensor and traffic.down - 1 <= len(EYES)
    same = torch.isclose(got.front, right.front, atol=1e-5)
    assert same.float().mean() > 0.999  # at an outline's pixel opacity rounds to either side of the limit


def test_the_segmentation_networks_run_on_the_gpu_as_on_the_cpu(
    seen: list[View], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mvgamba_ros.segmentation.multiview.region_labels.has_bfloat16", lambda device: False)
    torch.manual_seed(0)
    network, small = InstanceNetwork((8, 12, 16, 20)).eval(), objectness.load()
    region = regions()[0]
    given = views(3), region, Prompts(roi=region, support_height=0.0), False, SegmentationConfig()
    windows = make_windows(seen, region, Prompts(roi=region), 96)
    right = label_region(network, *given)
    odds = objectness.log_odds(small, windows, [[] for _ in windows])
    with pretended_gpu(monkeypatch) as traffic:
        got = label_region(network.to(CUDA), *given)
        network_down = traffic.down
        got_odds = objectness.log_odds(small.to(CUDA), windows, [[] for _ in windows])
    for name in ("wanted", "thing", "other"):
        for a, b in zip(getattr(got, name), getattr(right, name), strict=True):
            np.testing.assert_allclose(a, b, atol=2e-3)
    for a, b in zip(got_odds, odds, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-3)
    assert network_down == 2 and traffic.down == 3, "one copy of each result, whatever the number of views"


def test_segmenters_say_which_card_their_networks_run_on(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ClassicalSegmenter().provenance == MultiviewSegmenter().provenance == {"device": "cpu"}
    with pretended_gpu(monkeypatch):
        segmenter = MultiviewSegmenter.from_options(Options(device="cuda:0"))
        assert segmenter.provenance == {"device": "cuda:0 (pretended)"}
        assert all(parameter.is_cuda for parameter in segmenter.network.parameters())
        assert ClassicalSegmenter.from_options(Options(device="cpu")).provenance == {"device": "cpu"}


def test_of_a_reconstruction_little_goes_up_and_comes_down(
    seen: list[View], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Crops up, depths down, fused again: the number of copies is that of the tensors, not of rays or steps."""
    torch.manual_seed(0)
    save_checkpoint(tmp_path / "small.safetensors", RayGamba(SMALL), {})
    options = Options(prompts=Prompts(support_height=0.0), config=replace(ReconstructionConfig(), splats=FEW))
    hull = carve(seen, None, 32, 0.0)
    with pretended_gpu(monkeypatch) as traffic:
        method = MVGambaMethod(str(tmp_path / "small.safetensors"), device="cuda:0")
        loaded = replace(traffic)
        shape = method(seen, hull, options, lambda stage, share: None, lambda: False)
    assert type(shape.depths[0].front) is torch.Tensor and shape.gaussians is not None
    renders, count = FEW.steps + 2, len(seen)
    assert traffic.up - loaded.up <= 35 + 6 * count  # of each view's depths, measured and not, three when fused
    assert traffic.down <= 30 + renders
    assert traffic.waits <= 8 + renders * (3 * count + 4)
