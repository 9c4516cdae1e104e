"""The published network: its checkpoint's names, its figures, its initial state, its gradients."""

import json
import math
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.methods.published.flops import attention_flops, published_flops, scan_flops
from mvgamba_ros.methods.published.network import (
    PAPER,
    PUBLISHED,
    PublishedConfig,
    PublishedNetwork,
    condition,
    load_published,
    read_published,
    scan,
)
from mvgamba_ros.model.rotnet import RotNet, canonical_quaternions

SMALL = PublishedConfig(size=28, views=2, patch=14, width=32, layers=3)
PUBLISHED_STATE = Path(__file__).parent / "data" / "published_state.json"
"""Parameter names and shapes of the authors' default model, read off their code."""


def parameters(config: PublishedConfig) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in PublishedNetwork(config).parameters())


def test_the_published_preset_has_the_authors_names_and_shapes():
    published = {name: tuple(shape) for name, shape in json.loads(PUBLISHED_STATE.read_text()).items()}
    with torch.device("meta"):
        ours = {f"model.{k}": tuple(v.shape) for k, v in PublishedNetwork(PUBLISHED).state_dict().items()}
    assert ours == published


def test_a_checkpoint_with_the_authors_names_loads_as_it_is(tmp_path: Path):
    torch.manual_seed(0)
    trained = PublishedNetwork(SMALL).eval()
    tensors = {f"model.{name}": value for name, value in trained.state_dict().items()}
    tensors["lpips_loss.lin0.weight"] = torch.zeros(3)
    torch.save({"model": tensors}, tmp_path / "mvgamba.pth")
    x = torch.randn(1, 2, 9, 28, 28)
    with torch.no_grad():
        assert torch.equal(read_published(tmp_path / "mvgamba.pth", SMALL)(x).means, trained(x).means)


@pytest.mark.parametrize("fault", ["missing", "surplus", "misshapen"])
def test_a_checkpoint_that_does_not_fit_is_refused(fault: str):
    tensors = {f"model.{name}": value for name, value in PublishedNetwork(SMALL).state_dict().items()}
    if fault == "missing":
        del tensors["model.transformer.norm_f.weight"]
    elif fault == "surplus":
        tensors["model.decoder.extra"] = torch.zeros(1)
    else:
        tensors["model.transformer.pos_embed"] = torch.zeros(4, 32)
    with pytest.raises(ReconstructionError) as error:
        load_published(tensors, SMALL)
    assert error.value.code == ErrorCode.BAD_CHECKPOINT


def test_parameter_counts_of_the_presets():
    assert PAPER.tokens == PUBLISHED.tokens == 16_384
    # the paper states 49 M; the parts that it describes, at 16,384 tokens, come to this
    assert parameters(PAPER) == 35_178_086
    assert parameters(PUBLISHED) == 86_629_734


def test_gaussians_are_in_their_ranges_one_for_each_token():
    torch.manual_seed(0)
    gaussians = PublishedNetwork(SMALL).eval()(torch.randn(2, 2, 9, 28, 28))
    assert gaussians.means.shape == (2, SMALL.tokens, 3) == (2, 32, 3)
    assert gaussians.means.abs().max() <= 0.8
    torch.testing.assert_close(gaussians.quats.norm(dim=-1), torch.ones(2, 32))
    assert (gaussians.scales > 0).all()
    assert gaussians.colors.min() >= 0 and gaussians.colors.max() <= 1


def test_it_starts_grey_faint_and_small():
    torch.manual_seed(0)
    decoder = PublishedNetwork(SMALL).eval().decoder
    with torch.no_grad():
        gaussians = decoder(torch.zeros(1, 5, 32))
    assert (gaussians.colors == 0.5).all()
    assert gaussians.opacities.mean() == pytest.approx(0.1, abs=0.03)
    assert gaussians.scales.mean() == pytest.approx(0.1 * math.log1p(math.exp(-1.8)), rel=0.2)


def test_every_parameter_gets_a_gradient():
    torch.manual_seed(0)
    network = PublishedNetwork(SMALL).train()
    torch.nn.init.normal_(
        network.decoder.gs_layer["rgb"].weight, std=0.1
    )  # zero at first, which stops its inputs' share
    gaussians = network(torch.randn(2, 2, 9, 28, 28))
    target = torch.randn(SMALL.tokens, 3)
    loss = (gaussians.means - target).square().mean() + (gaussians.quats * torch.arange(4.0)).sum(-1).mean()
    (loss + gaussians.scales.mean() + gaussians.opacities.mean() + gaussians.colors.square().mean()).backward()
    silent = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert silent == []


def test_the_scan_visits_every_patch_once_in_each_of_four_orders():
    orders = scan(torch.arange(6.0).reshape(1, 1, 2, 3))[0, :, 0].reshape(4, 6).tolist()
    assert orders == [[0, 1, 2, 3, 4, 5], [0, 3, 1, 4, 2, 5], [2, 1, 0, 5, 4, 3], [3, 0, 4, 1, 5, 2]]


def test_a_token_sees_only_those_before_it():
    torch.manual_seed(0)
    network = PublishedNetwork(SMALL).eval()
    x = torch.randn(1, 32, 32)
    changed = x.clone()
    changed[0, 20] += 1
    with torch.no_grad():
        difference = (network.transformer(x) - network.transformer(changed)).abs().sum(-1)[0]
    assert difference[:20].max() == 0
    assert difference[20] > 0


def test_conditions_hold_pluecker_rays_of_the_cameras():
    K = torch.tensor([[20.0, 0, 4], [0, 20, 4], [0, 0, 1]]).expand(1, 1, 3, 3)
    T = torch.eye(4).repeat(1, 1, 1, 1)
    T[0, 0, :3, 3] = torch.tensor([0.3, -0.2, -1.5])
    x = condition(torch.rand(1, 1, 3, 8, 8), K, T)[0, 0]
    moment, direction = x[3:6], x[6:9]
    torch.testing.assert_close(direction.norm(dim=0), torch.ones(8, 8))
    assert (moment * direction).sum(0).abs().max() < 1e-5
    torch.testing.assert_close(direction[:2, 4, 4] / direction[2, 4, 4], torch.tensor([0.025, 0.025]))
    torch.testing.assert_close(moment[:, 0, 0], torch.linalg.cross(T[0, 0, :3, 3], direction[:, 0, 0]))


def test_the_wrong_number_of_views_is_refused():
    with pytest.raises(ValueError, match="expected"):
        PublishedNetwork(SMALL)(torch.randn(1, 3, 9, 28, 28))


def test_rotnet_soft_mixes_and_straight_through_picks():
    canonical = F.normalize(canonical_quaternions(), dim=-1)
    assert canonical.shape == (32, 4)
    logits = torch.full((32, 32), -30.0) + 60 * torch.eye(32)
    torch.testing.assert_close(RotNet()(logits), canonical, atol=2e-4, rtol=0)
    torch.manual_seed(0)
    logits = torch.randn(64, 32, requires_grad=True)
    for network in (RotNet(straight_through=True).train(), RotNet(straight_through=True).eval()):
        distance = torch.cdist(network(logits), canonical).min(1).values
        assert distance.max() < 1e-3
    weights = torch.arange(4.0)
    (RotNet(straight_through=True).train()(logits) * weights).sum().backward()
    assert logits.grad is not None and logits.grad.abs().sum() > 0


def test_costs_are_those_of_the_papers_table():
    lengths = [1024, 2048, 4096, 8192, 16384, 32768]
    assert [round(scan_flops(n, 512) / 1e9, 2) for n in lengths] == [0.07, 0.13, 0.27, 0.54, 1.07, 2.15]
    assert round(attention_flops(1024, 512) / 1e9, 2) == 2.15
    assert round(attention_flops(32768, 512) / 1e9, 2) == 1133.87
    parts = published_flops(PAPER)
    assert parts["scans"] == 14 * scan_flops(16384, 512)
    assert sum(parts.values()) > 2 * 16384 * 14 * 3 * 512 * 1024
