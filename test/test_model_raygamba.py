"""The shipped network's architecture: what must hold whatever the weights are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.camera import project
from mvgamba_ros.geometry.se3 import look_at
from mvgamba_ros.geometry.torch_rays import means, pixel_rays
from mvgamba_ros.kernels.epipolar import sample_source_views
from mvgamba_ros.kernels.ray_types import NUM_VIEW_FEATURES, ViewFeature
from mvgamba_ros.model.cascade_head import MultiViewFeatures
from mvgamba_ros.model.checkpoint import load_checkpoint, save_checkpoint
from mvgamba_ros.model.cost_volume import hull_intervals, plane_sweep_cost_volume
from mvgamba_ros.model.depth_head import DepthBinHead
from mvgamba_ros.model.raygamba import RayGamba
from mvgamba_ros.model.raygamba_config import ORDERS, RayGambaConfig
from mvgamba_ros.rendering.crops import CropBatch
from mvgamba_ros.types import Camera

SMALL = RayGambaConfig(size=48, width=32, skip=16, bins=8, orders=ORDERS, cascade_positions=8)
RADIUS = 0.6


def sphere_seen_from(
    views: int, size: int = 48, elevation: float = 0.6, distance: float = 4.0, uneven: bool = False
) -> CropBatch:
    """Soft silhouettes of a sphere at the cube's centre, coloured by direction so that views agree on its surface."""
    poses = []
    steps = np.arange(views) + (0.1 * np.arange(views) ** 2 if uneven else 0)
    for azimuth in steps * 2 * np.pi / views + 0.3:
        eye = distance * np.array(
            [np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)]
        )
        poses.append(look_at(eye, np.zeros(3), np.array([0.0, 0.0, 1.0])))
    T = torch.tensor(np.stack(poses), dtype=torch.float32)[None]
    focal = size * distance / (2.6 * RADIUS)
    K = torch.tensor([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]]).expand(1, views, 3, 3).contiguous()
    origins, directions = pixel_rays(K, T, size, size)
    d = torch.nn.functional.normalize(directions, dim=-1)
    along = -(origins[:, :, None, None] * d).sum(-1)
    closest = origins[:, :, None, None] + along[..., None] * d
    miss = RADIUS - closest.norm(dim=-1)
    alpha = (miss * focal / distance + 0.5).clamp(0, 1)
    hit = closest - d * (RADIUS**2 - closest.square().sum(-1)).clamp(min=0).sqrt()[..., None]
    rgb = (0.5 + 0.5 * torch.sin(6 * hit)).permute(0, 1, 4, 2, 3)
    rgb = rgb * alpha[:, :, None] + 1 - alpha[:, :, None]
    return CropBatch(rgb, alpha, K, T, torch.tensor([-torch.inf]))


def sphere_depth(batch: CropBatch, grid: int) -> torch.Tensor:
    origins, directions = pixel_rays(batch.K, batch.T_cube_camera, grid, batch.alpha.shape[-1])
    a = directions.square().sum(-1)
    b = (origins[:, :, None, None] * directions).sum(-1)
    c = origins.square().sum(-1)[..., None, None] - RADIUS**2
    return (-b - (b * b - a * c).clamp(min=0).sqrt()) / a


@pytest.fixture(scope="module")
def network() -> RayGamba:
    torch.manual_seed(0)
    network = RayGamba(SMALL)
    # the heads start at zero; random ones make every claim below about the whole network
    assert network.cascade_head is not None
    for parameter in (*network.attribute_head.parameters(), *network.cascade_head.along[-1].parameters()):
        torch.nn.init.normal_(parameter, std=0.2)
    return network.eval()


def test_the_hull_interval_of_a_sphere_holds_the_sphere_and_little_more() -> None:
    batch = sphere_seen_from(8)
    rays = hull_intervals(batch, SMALL)
    truth = sphere_depth(batch, 24)
    slack = (truth - rays.near)[rays.valid]
    assert rays.valid.float().mean() > 0.3
    assert slack.min() > -0.05
    assert slack.mean() < 0.12


@pytest.mark.parametrize("side", [12, 8, 4])
def test_a_rays_mean_is_that_of_its_pixels(side: int) -> None:
    pictures = torch.rand(2, 3, 24, 24)
    torch.testing.assert_close(means(pictures, 24 // side), F.avg_pool2d(pictures, side))


def test_a_known_floor_cuts_the_hull_interval() -> None:
    batch = sphere_seen_from(4)
    free = hull_intervals(batch, SMALL)
    cut = hull_intervals(replace(batch, floor=torch.tensor([-0.5])), SMALL)
    far = (cut.origins[:, :, None, None] + cut.far[..., None] * cut.directions)[cut.valid]
    assert far[:, 2].min() > -0.52
    assert free.far[free.valid].mean() > cut.far[cut.valid].mean()


def test_colours_agree_best_at_the_true_depth() -> None:
    batch = sphere_seen_from(8)
    rays = hull_intervals(batch, SMALL)
    bins = 12
    least = plane_sweep_cost_volume(batch, rays, bins)[:, :, bins:]
    best = least.argmin(2)
    share = (sphere_depth(batch, 24) - rays.near) / (rays.far - rays.near).clamp(min=1e-6)
    wide = rays.valid & ((rays.far - rays.near) > 0.3)
    error = ((best + 0.5) / bins - share)[wide].abs()
    assert error.median() < 1.5 / bins


@pytest.mark.parametrize("views", [1, 2, 4, 16])
def test_any_number_of_views_gives_gaussians_inside_the_hull(network: RayGamba, views: int) -> None:
    with torch.no_grad():
        output = network(sphere_seen_from(views))
    gaussians = output.gaussians()
    assert len(gaussians.means) == 2 * int(output.rays.valid.sum()) > 0
    valid = output.rays.valid
    assert (output.initial_depth >= output.rays.near[..., None] - 1e-5)[valid].all()
    assert (output.initial_depth <= output.rays.far[..., None] + 1e-5)[valid].all()
    assert output.cascade_half_range is not None
    assert ((output.depth - output.initial_depth).abs() <= output.cascade_half_range)[valid].all()
    assert (output.sigma > 0)[valid].all()
    for value in (gaussians.means, gaussians.scales, gaussians.quats, gaussians.opacities, gaussians.colors):
        assert torch.isfinite(value).all()
    torch.testing.assert_close(gaussians.quats.norm(dim=-1), torch.ones(len(gaussians.quats)))


def test_a_cascade_head_that_has_learned_nothing_changes_no_depth() -> None:
    torch.manual_seed(0)
    batch = sphere_seen_from(4)
    with torch.no_grad():
        output = RayGamba(SMALL).eval()(batch)
    torch.testing.assert_close(output.depth, output.initial_depth, atol=1e-6, rtol=1e-6)


def test_multi_view_features_tell_a_point_on_the_surface_from_those_beside_it() -> None:
    """With the sphere's true depth maps: at its surface colours agree and the point lies on their first hits; in front
    of it it lies in front of them, and behind it behind."""
    batch, config = sphere_seen_from(6, size=64), replace(SMALL, size=64)
    rays = hull_intervals(batch, config)
    truth = torch.where(rays.valid, sphere_depth(batch, 32), 0)
    sigma = torch.full((*truth.shape, 2), 0.02)
    multi_view = MultiViewFeatures.of(batch, rays, torch.stack([truth, truth + 0.5], -1), sigma, config)
    pick = rays.valid[0, 0] & (truth[0, 0] < truth[0, 0][rays.valid[0, 0]].median())  # the middle, others see it too
    colors = multi_view.reference_colors[0, 0][pick]

    def features(offset: float) -> torch.Tensor:
        z = truth[0, 0][pick, None] + offset
        epipolar_rays, sources = multi_view.of_view(0, 0, rays.origins[0, 0], rays.directions[0, 0][pick])
        sampled = sample_source_views(epipolar_rays, sources, colors, z)
        assert sampled.shape == (5, int(pick.sum()), 1, NUM_VIEW_FEATURES)
        near = sampled[[0, 4]]  # the neighbours on either side, which see the same side of the sphere
        return near[near[..., ViewFeature.VALID] > 0].mean(0)

    before, at, behind = features(-0.15), features(0.0), features(0.15)
    color, signed = ViewFeature.COLOR_DIFFERENCE, ViewFeature.BEHIND_FIRST_HIT
    assert at[color] < 0.5 * min(before[color], behind[color])
    assert abs(float(at[signed])) < 0.25
    assert before[signed] < -0.5
    assert behind[signed] > 0.5


def test_the_same_views_give_the_same_answer(network: RayGamba) -> None:
    batch = sphere_seen_from(3)
    with torch.no_grad():
        assert torch.equal(network(batch).depth, network(batch).depth)


def test_scenes_of_one_batch_do_not_see_each_other(network: RayGamba) -> None:
    one, other = sphere_seen_from(3), sphere_seen_from(3, elevation=0.2)
    both = CropBatch(*(torch.cat([getattr(one, f), getattr(other, f)]) for f in vars(one)))
    with torch.no_grad():
        torch.testing.assert_close(network(both).depth[:1], network(one).depth, atol=1e-4, rtol=1e-4)


def test_the_order_in_which_views_arrive_does_not_matter(network: RayGamba) -> None:
    batch = sphere_seen_from(4, uneven=True)
    shuffle = [2, 0, 3, 1]
    with torch.no_grad():
        per_view = (f[:, shuffle] for f in (batch.rgb, batch.alpha, batch.K, batch.T_cube_camera))
        given, shuffled = network(batch), network(CropBatch(*per_view, batch.floor))
    torch.testing.assert_close(shuffled.depth, given.depth[:, shuffle], atol=1e-4, rtol=1e-4)


def test_every_scan_order_visits_each_kept_token_once(network: RayGamba) -> None:
    keep = torch.rand(2, 3 * network.tokens**2) > 0.5
    for name in ORDERS:
        kept = (~keep).byte().argsort(dim=1, stable=True)[:, : int(keep.sum(1).max())]
        order = network._order(name, kept, keep, torch.tensor([[2, 0, 1], [0, 1, 2]]))
        for scene in range(2):
            visited = kept[scene, order[scene, : int(keep[scene].sum())]]
            assert sorted(visited.tolist()) == torch.nonzero(keep[scene])[:, 0].tolist()


def test_a_checkpoint_returns_as_it_was_saved(network: RayGamba, tmp_path) -> None:
    path = tmp_path / "weights.safetensors"
    save_checkpoint(path, network, {"seed": 3})
    loaded, recipe = load_checkpoint(path)
    assert recipe == {"seed": 3}
    batch = sphere_seen_from(2)
    save_checkpoint(path, loaded, {})
    again, _ = load_checkpoint(path)
    with torch.no_grad():
        depth = loaded(batch).depth
        torch.testing.assert_close(depth, network(batch).depth, rtol=0, atol=1e-3)  # stored in half precision
        assert torch.equal(again(batch).depth, depth)


def test_a_checkpoint_with_a_missing_tensor_is_refused(network: RayGamba, tmp_path) -> None:
    path = tmp_path / "weights.safetensors"
    wider = RayGamba(replace(SMALL, width=48))
    wider.config = SMALL
    save_checkpoint(path, wider, {})
    with pytest.raises(ReconstructionError, match="its config wants") as caught:
        load_checkpoint(path)
    assert caught.value.code is ErrorCode.BAD_CHECKPOINT


def test_no_checkpoint_is_an_error_that_names_the_file(tmp_path) -> None:
    with pytest.raises(ReconstructionError, match=r"nowhere\.safetensors"):
        load_checkpoint(tmp_path / "nowhere.safetensors")


def test_gaussians_lie_before_their_camera_on_the_rays_of_their_own_pixels(network: RayGamba) -> None:
    """`project` puts what the network answers for a cell of the grid at that cell's centre, at the depth it answers."""
    batch = sphere_seen_from(3, uneven=True)
    with torch.no_grad():
        output = network(batch)
    means, valid = output.gaussians().means.double().numpy(), output.rays.valid[0].numpy()
    side, rows = batch.alpha.shape[-1], np.cumsum([0, *valid.sum((1, 2))])
    layers = means.reshape(2, rows[-1], 3)  # the first surface's, then the last one's
    for v in range(3):
        camera = Camera(batch.K[0, v].double().numpy(), side, side)
        at = (np.argwhere(valid[v])[:, ::-1] + 0.5) * side / valid.shape[-1]
        for layer in range(2):
            pixels, z = project(
                camera, batch.T_cube_camera[0, v].double().numpy(), layers[layer, rows[v] : rows[v + 1]]
            )
            np.testing.assert_allclose(pixels, at, atol=1e-3)
            np.testing.assert_allclose(z, output.depth[0, v][output.rays.valid[0, v]][:, layer], atol=1e-5)
            assert (z > 2.0).all()  # four units away, within a cube of half a side of one


def test_bfloat16_products_change_the_answer_by_little(network: RayGamba) -> None:
    """Every processor can multiply in bfloat16, though not every one gains by it."""
    batch = sphere_seen_from(4)
    with torch.no_grad():
        exact = network(batch)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = network(batch)
    valid = exact.rays.valid
    assert torch.equal(valid, rounded.rays.valid)
    for name in ("depth", "scales", "quats", "opacities", "colors"):
        a, b = getattr(exact, name)[valid], getattr(rounded, name)[valid]
        assert b.dtype == torch.float32
        assert not torch.equal(a, b), f"{name}: no product was rounded"
        assert float((a - b).abs().mean()) < 0.01 * float(a.abs().max())


def test_the_bins_layers_are_those_of_torch() -> None:
    """Rays are convolved as pictures without a copy, or natively; forward and gradients are `nn.Conv1d`'s own."""
    torch.manual_seed(1)
    head = DepthBinHead(24, bins=8)
    features, at_bins = torch.randn(50, 24), torch.randn(50, DepthBinHead.AT_BIN, 8)
    x = head.bin(at_bins.transpose(1, 2)) + head.ray(features)[:, None]
    plain = head.direct(features).unflatten(-1, (2, -1)) + head.along(x.transpose(1, 2))
    fast = head(features, at_bins)
    torch.testing.assert_close(fast, plain)
    with torch.no_grad():
        torch.testing.assert_close(head(features, at_bins), plain, rtol=1e-5, atol=1e-5)
    toward = torch.randn_like(plain)
    gradients = [torch.autograd.grad((y * toward).sum(), list(head.parameters())) for y in (fast, plain)]
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("views", "share"), [(2, 1.0), (4, 1.0), (8, 0.5)])
def test_blurred_gaussians_are_wider_by_the_low_pass_of_their_own_pixels(
    network: RayGamba, views: int, share: float
) -> None:
    with torch.no_grad():
        output = network(sphere_seen_from(views))
    crisp, blurred = output.gaussians(), output.gaussians(blurred=True)
    added = blurred.scales.square() - crisp.scales.square()
    # all views look from the same distance with the same focal length: depths of the sphere over that
    focal = float(output.K[0, 0, 0, 0])
    expected = share * 0.3 * (output.depth[0][output.rays.valid[0]] / focal).square().T.flatten()
    torch.testing.assert_close(added, expected[:, None].expand_as(added), rtol=1e-3, atol=1e-8)
    assert torch.equal(blurred.means, crisp.means)
