"""The published network: its checkpoint's names, its figures, its initial state, its gradients."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rendered import orbit
from safetensors.torch import save_file
from torch.nn import functional as F

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.se3 import quat_to_matrix
from mvgamba_ros.methods.published.conditioning import condition, first_camera_rotation, rotated, turned
from mvgamba_ros.methods.published.flops import attention_flops, published_flops, scan_flops
from mvgamba_ros.methods.published.network import PRESETS, PublishedConfig, PublishedNetwork, scan
from mvgamba_ros.methods.published.published_weights import load_published, read_published
from mvgamba_ros.model.rotnet import RotNet, canonical_quaternions
from mvgamba_ros.types import Gaussians

SMALL = PublishedConfig(size=28, views=2, patch=14, width=32, layers=3)
DATA = Path(__file__).parent / "data"
PUBLISHED_STATE = DATA / "published_state.json"
"""Parameter names and shapes of the authors' default model, read off their code."""
GOLDEN = DATA / "published_golden.npz"
"""Position, opacity, scale, quaternion and colour (32, 14) that the authors' code gives of `SMALL` with `seeded`
weights and input, with mamba-ssm's reference scan, on a CPU: `soft` with RotNet's mixture, `hard` where it picks."""


def parameters(config: PublishedConfig) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in PublishedNetwork(config).parameters())


def seeded(network: PublishedNetwork) -> dict[str, torch.Tensor]:
    """Weights by name under the authors' names, drawn in alphabetical order."""
    rng, tensors = np.random.RandomState(7), {}
    for name, like in sorted(network.state_dict().items()):
        if name.endswith("coords"):
            tensors[name] = like
            continue
        shape = tuple(like.shape)
        draw = rng.standard_normal(math.prod(shape)).reshape(shape)
        if name.endswith("A_log"):
            draw = np.log(np.arange(1, shape[1] + 1)) + 0.1 * draw
        elif name.endswith("dt_proj.bias"):
            draw = 0.5 * draw - 3
        elif len(shape) == 1:
            draw = 0.1 * draw + name.endswith(("norm.weight", "norm_f.weight", ".D"))
        elif not name.endswith("pos_embed"):
            draw = draw * math.prod(shape[1:]) ** -0.5
        tensors[name] = torch.from_numpy(draw.astype(np.float32))
    return tensors


@pytest.mark.parametrize("rotations", ["soft", "hard"])
def test_it_gives_the_numbers_of_the_authors_code(rotations: str):
    config = replace(SMALL, straight_through=rotations == "hard")
    network = load_published(seeded(PublishedNetwork(config)), config)
    x = torch.from_numpy(np.random.RandomState(8).standard_normal((1, 2, 9, 28, 28)).astype(np.float32))
    with torch.no_grad():
        g = network(x)
    found = torch.cat([g.means, g.opacities[..., None], g.scales, g.quats, g.colors], -1)[0]
    with np.load(GOLDEN) as golden:
        torch.testing.assert_close(found, torch.from_numpy(golden[rotations]), atol=2e-6, rtol=0)


def test_the_release_preset_has_the_authors_names_and_shapes():
    published = {name: tuple(shape) for name, shape in json.loads(PUBLISHED_STATE.read_text()).items()}
    with torch.device("meta"):
        ours = {f"model.{k}": tuple(v.shape) for k, v in PublishedNetwork(PRESETS["release"]).state_dict().items()}
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


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_a_plain_state_dict_shows_its_own_sizes(suffix: str, tmp_path: Path):
    config = PublishedConfig(size=42, patch=14, width=32, layers=3, straight_through=True)
    tensors = PublishedNetwork(config).state_dict()
    tensors["decoder.get_rot.canonical_quaternions"] = canonical_quaternions()  # as the authors' hard RotNet stores it
    path = tmp_path / f"plain.{suffix}"
    (save_file if suffix == "safetensors" else torch.save)(tensors, path)
    assert read_published(path).config == config


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
    assert {name: parameters(config) for name, config in PRESETS.items()} == {
        "release": 86_629_734,  # the authors' code
        "paper": 48_739_942,  # it states 49 M
        "paper-14": 35_178_086,
        "tiny": 624_966,
    }
    assert PRESETS["paper"].tokens == PRESETS["release"].tokens == 16_384


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


def test_the_first_camera_has_the_authors_pose_and_turning_back_is_exact():
    poses = torch.from_numpy(np.stack(orbit(4)))[None]
    R = first_camera_rotation(poses)
    T = rotated(R, poses)
    torch.testing.assert_close(T[0, 0, :3, :3], torch.diag(torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64)))
    torch.testing.assert_close(torch.linalg.det(R), torch.ones(1, dtype=torch.float64))
    quats = F.normalize(torch.randn(5, 4, dtype=torch.float64), dim=-1)
    some = Gaussians(torch.randn(5, 3).double(), quats, torch.rand(5, 3), torch.rand(5), torch.rand(5, 3))
    there = turned(R[0].numpy(), some)
    for before, after in zip(some.quats, there.quats, strict=True):
        expected = R[0].numpy() @ quat_to_matrix(before.numpy())
        np.testing.assert_allclose(quat_to_matrix(after.numpy()), expected, atol=1e-12)
    back = turned(R[0].numpy().T, there)
    torch.testing.assert_close(back.means, some.means)
    torch.testing.assert_close((back.quats * some.quats).sum(-1).abs(), torch.ones(5, dtype=torch.float64))


def test_the_wrong_number_of_views_is_refused():
    with pytest.raises(ValueError, match="expected"):
        PublishedNetwork(SMALL)(torch.randn(1, 3, 9, 28, 28))


def test_rotnet_soft_mixes_and_straight_through_picks():
    canonical = F.normalize(canonical_quaternions(), dim=-1)
    assert canonical.shape == (32, 4)
    logits = torch.full((32, 32), -30.0) + 60 * torch.eye(32)
    torch.testing.assert_close(RotNet()(logits), canonical)
    torch.manual_seed(0)
    logits = torch.randn(64, 32, requires_grad=True)
    for network in (RotNet(straight_through=True).train(), RotNet(straight_through=True).eval()):
        distance = torch.cdist(network(logits), canonical).min(1).values
        assert distance.max() < 1e-3
    weights = torch.arange(4.0)
    (RotNet(straight_through=True).train()(logits) * weights).sum().backward()
    assert logits.grad is not None and logits.grad.abs().sum() > 0


def test_rotnet_has_a_direction_and_a_gradient_where_its_mixture_cancels():
    logits = torch.zeros(1, 32, requires_grad=True)
    quaternion = RotNet()(logits)
    torch.testing.assert_close(quaternion, torch.tensor([[1.0, 0, 0, 0]]), atol=1e-3, rtol=0)
    quaternion[0, 1].backward()
    assert logits.grad is not None and torch.isfinite(logits.grad).all() and logits.grad.abs().max() > 0


def test_rotnets_temperature_falls_from_2_to_a_half():
    rotation = RotNet(straight_through=True)
    found = []
    for updates in (0, 100_000, 1_000_000):
        rotation.set_updates(updates)
        found.append(rotation.temperature)
    assert found == [2.0, pytest.approx(2 * 0.999995**100_000), 0.5]


def test_costs_are_those_of_the_papers_table():
    lengths = [1024, 2048, 4096, 8192, 16384, 32768]
    assert [round(scan_flops(n, 512) / 1e9, 2) for n in lengths] == [0.07, 0.13, 0.27, 0.54, 1.07, 2.15]
    assert round(attention_flops(1024, 512) / 1e9, 2) == 2.15
    assert round(attention_flops(32768, 512) / 1e9, 2) == 1133.87
    parts = published_flops(PRESETS["paper-14"])
    assert parts["scans"] == 14 * scan_flops(16384, 512)
    assert sum(parts.values()) > 2 * 16384 * 14 * 3 * 512 * 1024
