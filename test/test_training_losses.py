"""Losses are least at the truth, and a network can reach it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_training import CASCADED, EXACT, TINY

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.metrics.image import ssim
from mvgamba_ros.model.cost_volume import hull_intervals
from mvgamba_ros.model.raygamba import RayGamba, RayGambaConfig
from mvgamba_ros.model.raygamba_output import RayGambaOutput
from mvgamba_ros.synthesis.shards import Shards
from mvgamba_ros.training.losses import LossWeights, depth_losses, render_losses, total
from mvgamba_ros.training.perceptual import perceptual_loss, resolve_kind
from mvgamba_ros.training.sample_batches import collate, make_sample
from mvgamba_ros.training.validate import output_scores


def perfect(sample_output: RayGambaOutput, front: torch.Tensor, back: torch.Tensor) -> RayGambaOutput:
    return replace(sample_output, depth=torch.stack([front, back], -1).nan_to_num(0))


def test_depth_losses_are_zero_at_the_truth_and_measure_the_error_elsewhere(data: Path) -> None:
    batch = collate([make_sample(Shards(data)[0], 4, 1, 96, 48, EXACT, np.random.default_rng(2))])
    with torch.no_grad():
        output = RayGamba(TINY)(batch.inputs())
    exact = depth_losses(perfect(output, batch.front, batch.back), batch, LossWeights())
    assert float(exact["front"]) == float(exact["back"]) == 0.0
    off = depth_losses(perfect(output, batch.front + 0.1, batch.back - 0.05), batch, LossWeights())
    assert float(off["front"]) == pytest.approx(0.1, rel=1e-4)
    assert float(off["back"]) == pytest.approx(0.05, rel=1e-4)


def test_the_cascade_heads_losses_are_least_at_the_truth(data: Path) -> None:
    """Where the depth head missed by a third of the cascade's half range: cross-entropy is least at the true position,
    and the initial depths are compared with the truth as well. A truth out of range costs nothing."""
    batch = collate([make_sample(Shards(data)[0], 4, 1, 96, 48, EXACT, np.random.default_rng(2))])
    with torch.no_grad():
        output = RayGamba(CASCADED)(batch.inputs())
    truth = torch.stack([batch.front, batch.back], -1).nan_to_num(0)
    half_range = torch.full_like(truth, 0.12)
    missed = replace(output, initial_depth=truth - 0.04, cascade_half_range=half_range)
    positions = (torch.arange(8) + 0.5) / 8 * 2 - 1

    def losses(at: float, output: RayGambaOutput = missed) -> dict[str, torch.Tensor]:
        sure = -((positions * 0.12 - at) / 0.03).square().expand(*truth.shape, 8)
        return depth_losses(replace(output, cascade_logits=sure), batch, LossWeights())

    assert float(losses(0.04)["cascade"]) < float(losses(0.0)["cascade"])
    assert float(losses(0.04)["cascade"]) < float(losses(0.08)["cascade"])
    assert float(losses(0.0)["initial_depth"]) == pytest.approx(0.04, rel=1e-3)
    assert float(losses(0.04, replace(missed, initial_depth=truth - 0.3))["cascade"]) == 0.0


def test_a_narrow_range_of_the_cascade_counts_less(data: Path) -> None:
    """Right in a wide range and wrong in a narrow one: the narrow one costs less where ranges are weighed."""
    batch = collate([make_sample(Shards(data)[0], 4, 1, 96, 48, EXACT, np.random.default_rng(2))])
    with torch.no_grad():
        output = RayGamba(CASCADED)(batch.inputs())
    truth = torch.stack([batch.front, batch.back], -1).nan_to_num(0)
    half_range = torch.tensor([0.12, 0.012]).expand_as(truth)
    positions = (torch.arange(8) + 0.5) / 8 * 2 - 1
    logits = -((positions - torch.tensor([[0.0], [0.8]])) / 0.2).square().expand(*truth.shape, 8)
    sure = replace(output, initial_depth=truth, cascade_half_range=half_range, cascade_logits=logits)
    weighed, alike = (float(depth_losses(sure, batch, LossWeights(cascade_range=x))["cascade"]) for x in (3.0, 1e3))
    assert weighed < 0.5 * alike


def test_rendering_losses_pull_colours_and_silhouette_towards_the_truth(data: Path) -> None:
    batch = collate([make_sample(Shards(data)[0], 4, 2, 96, 48, EXACT, np.random.default_rng(3))])
    torch.manual_seed(0)
    output = RayGamba(TINY)(batch.inputs())
    truth = perfect(output, batch.front, batch.back)
    astray = perfect(output, batch.front + 0.3, batch.back + 0.3)
    with torch.no_grad():
        at_truth, away = (render_losses(x, batch, "ssim") for x in (truth, astray))
    for name in ("color", "mask", "rendered_depth"):
        assert float(at_truth[name]) < 0.7 * float(away[name]), name


def test_the_ssim_loss_is_the_score_and_pulls_a_picture_towards_the_true_one() -> None:
    truth = torch.rand(2, 40, 56, 3, generator=torch.Generator().manual_seed(0))
    found = (truth + 0.1 * torch.randn(truth.shape, generator=torch.Generator().manual_seed(1))).clamp(0, 1)
    found.requires_grad_()
    before = perceptual_loss(found, truth, "ssim")
    scores = [ssim(a, b) for a, b in zip(found.detach().numpy(), truth.numpy(), strict=True)]
    assert float(before.detach()) == pytest.approx(1 - np.mean(scores), abs=1e-4)
    assert float(perceptual_loss(truth, truth, "ssim")) == pytest.approx(0.0, abs=1e-5)
    before.backward()
    assert found.grad is not None
    after = perceptual_loss(found.detach() - 0.03 * found.grad / found.grad.abs().max(), truth, "ssim")
    assert float(after) < 0.9 * float(before.detach())


@pytest.mark.slow
def test_one_object_is_learned_by_heart(data: Path) -> None:
    """To more than 30 dB on its novel view, within a minute: the network can reach what the losses want."""
    exact = replace(EXACT, tilt=0.0, shift=0.0)
    sample = collate([make_sample(Shards(data)[0], 2, 1, 96, 48, exact, np.random.default_rng(1))])
    torch.manual_seed(0)
    network = RayGamba(RayGambaConfig(width=64, orders=("rows", "across_reversed")))
    rays = hull_intervals(sample.inputs(), network.config)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, betas=(0.9, 0.95), weight_decay=0.0)
    weights = LossWeights(color=50.0, mask=5.0)
    for _ in range(160):
        output = network(sample.inputs(), rays)
        total(depth_losses(output, sample, weights) | render_losses(output, sample, "ssim"), weights).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    with torch.no_grad():
        learned = output_scores(network(sample.inputs(), rays), sample)
    assert learned["psnr"] > 30.0


def test_a_scene_whose_silhouettes_share_nothing_costs_no_nan(data: Path) -> None:
    batch = collate([make_sample(Shards(data)[0], 2, 1, 96, 48, EXACT, np.random.default_rng(3))])
    batch = replace(batch, alpha=torch.zeros_like(batch.alpha))
    with torch.no_grad():
        output = RayGamba(CASCADED)(batch.inputs())
        losses = depth_losses(output, batch, LossWeights()) | render_losses(output, batch, "ssim")
    assert not output.rays.valid.any()
    assert all(torch.isfinite(value) for value in losses.values()), losses


def test_the_perceptual_loss_is_ssim_only_where_that_was_left_open(no_lpips: None) -> None:
    assert resolve_kind("auto") == resolve_kind("ssim") == "ssim"
    for kind, words in (("lpips", "LPIPS needs"), ("vgg", "'vgg'; choose auto, lpips or ssim")):
        with pytest.raises(ReconstructionError, match=words) as error:
            resolve_kind(kind)
        assert error.value.code == ErrorCode.BAD_OPTION


def test_lpips_pulls_a_picture_towards_the_true_one(lpips_here: None) -> None:
    truth = torch.rand(1, 48, 48, 3, generator=torch.Generator().manual_seed(0))
    found = (truth + 0.3).requires_grad_()
    before = perceptual_loss(found, truth, "lpips")
    before.backward()
    assert found.grad is not None
    after = perceptual_loss(found.detach() - 0.01 * found.grad / found.grad.abs().max(), truth, "lpips")
    assert float(after) < 0.9 * float(before.detach())
