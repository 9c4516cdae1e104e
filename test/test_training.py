"""Training: samples are true to the objects, losses are zero at the truth, runs resume and split without a trace."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from scipy.spatial import cKDTree

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.torch_rays import pixel_rays
from mvgamba_ros.geometry.unit_cube import UnitCube
from mvgamba_ros.metrics.image import ssim
from mvgamba_ros.model.checkpoint import load_checkpoint, save_checkpoint
from mvgamba_ros.model.cost_volume import hull_intervals
from mvgamba_ros.model.raygamba import RayGamba, RayGambaConfig
from mvgamba_ros.model.raygamba_output import RayGambaOutput
from mvgamba_ros.rendering.crops import MARGIN, CropWindow, crop, crop_intrinsics, make_crops, silhouette_window
from mvgamba_ros.synthesis.families import Procedural
from mvgamba_ros.synthesis.pose_sampling import CameraRig
from mvgamba_ros.synthesis.shards import DataRecipe, Shards, write_shards
from mvgamba_ros.training.batch import Sampling, collate, crop_depth, make_sample
from mvgamba_ros.training.export import export
from mvgamba_ros.training.loop import Trainer
from mvgamba_ros.training.losses import LossWeights, depth_losses, render_losses, total
from mvgamba_ros.training.optimizers import OPTIMIZERS, make_optimizers
from mvgamba_ros.training.perceptual import perceptual_loss, resolve_kind
from mvgamba_ros.training.train_config import TrainConfig, from_dict, load
from mvgamba_ros.training.validate import picture_scores
from mvgamba_ros.types import Camera, View

EXACT = Sampling(augmented=0.0, mirrored=0.0)
TINY = RayGambaConfig(size=96, width=32, skip=16, bins=8, orders=("rows", "across_reversed"))
CASCADED = replace(TINY, cascade_positions=8)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "three"
    recipe = DataRecipe("procedural", seed=5, count=3, per_shard=3, rig=CameraRig())
    write_shards(folder, Procedural(5, 3), recipe, log=lambda line: None)
    return folder


def config(data: Path, **changes: object) -> TrainConfig:
    base = TrainConfig(
        name="tiny", data=str(data), validation=str(data), model=TINY, samples=64, views_per_step=4, target_views=1,
        view_counts={2: 1.0}, warmup=6, validate_minutes=1e6,
    )  # fmt: skip
    return replace(base, **changes)


def weights(trainer: Trainer) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in trainer.network.parameters()])


@pytest.mark.parametrize("seed", range(4))
def test_the_true_depths_of_a_sample_lie_on_the_object(data: Path, seed: int) -> None:
    """In the mirror too."""
    sampling = replace(EXACT, mirrored=float(seed % 2))
    sample = make_sample(Shards(data)[seed % 3], 4, 1, 96, 48, sampling, np.random.default_rng(seed))
    batch = collate([sample]).inputs()
    origins, directions = pixel_rays(batch.K, batch.T_cube_camera, 48, 96)
    surface = cKDTree(sample.points.numpy())
    for depth in (sample.front, sample.back):
        points = origins[0, :, None, None] + depth[..., None] * directions[0]
        points = points[torch.isfinite(depth)].numpy()
        assert len(points) > 200
        # 4,096 points on a surface of some 10 square units are about 0.03 apart
        assert np.median(surface.query(points)[0]) < 0.03


def test_crops_need_not_be_as_large_as_the_stored_pictures(data: Path) -> None:
    """The same crop at another size: intrinsics and picture agree, depths and targets are what they were."""
    small, large = (make_sample(Shards(data)[0], 2, 1, s, 48, EXACT, np.random.default_rng(4)) for s in (96, 128))
    assert large.rgb.shape == (2, 3, 128, 128)
    assert torch.allclose(large.K[:, :2] * (96 / 128), small.K[:, :2], rtol=1e-5)
    shrunk = torch.nn.functional.interpolate(large.alpha[:, None], (96, 96), mode="bilinear")[:, 0]
    assert float((shrunk - small.alpha).abs().mean()) < 0.01
    assert torch.equal(large.front.nan_to_num(0), small.front.nan_to_num(0))
    assert large.target_rgb.shape == small.target_rgb.shape == (1, 96, 96, 3)


def test_the_hull_interval_holds_the_true_depths(data: Path) -> None:
    batch = collate([make_sample(Shards(data)[0], 6, 1, 96, 48, EXACT, np.random.default_rng(1))])
    rays = hull_intervals(batch.inputs(), 48)
    known = rays.valid & torch.isfinite(batch.front)
    assert ((batch.front - rays.near)[known] > -0.04).float().mean() > 0.98
    known = rays.valid & torch.isfinite(batch.back)
    assert ((rays.far - batch.back)[known] > -0.04).float().mean() > 0.98


def test_cropping_moves_a_point_as_it_moves_the_picture() -> None:
    alpha = np.zeros((64, 64), np.uint8)
    alpha[20:24, 30:34] = 255  # centred at (32, 22)
    window = silhouette_window(alpha > 127, 3.0)
    K = np.array([[50.0, 0, 32], [0, 50, 32], [0, 0, 1]])
    cropped = crop(np.full((64, 64, 3), 255, np.uint8), alpha, window, 48, on_white=True)
    u, v, _ = crop_intrinsics(K, window, 48) @ [0.0, (22 - 32) / 50, 1.0]
    ys, xs = np.nonzero(cropped[3] > 0.5)
    assert xs.mean() + 0.5 == pytest.approx(u, abs=0.5)
    assert ys.mean() + 0.5 == pytest.approx(v, abs=0.5)


@pytest.mark.parametrize("size", [48, 128])
def test_training_and_inference_crop_the_same_pixels(data: Path, size: int) -> None:
    """A stored view, given to inference as a captured one, at the margin that inference takes."""
    item = Shards(data)[0]
    item = {**item, "alpha": np.where(item["alpha"] > 127, 255, 0).astype(np.uint8)}  # a captured view's mask is hard
    item["rgb"] = np.where(item["alpha"][..., None] > 0, item["rgb"], 255).astype(np.uint8)
    sampling = replace(EXACT, margin=(MARGIN, MARGIN), tilt=0.0)
    sample = make_sample(item, 8, 1, size, size // 2, sampling, np.random.default_rng(0))
    side = item["alpha"].shape[-1]
    views = [
        View(item["rgb"][v], Camera(item["K"][v].astype(float), side, side), np.eye(4), mask=item["alpha"][v] > 0)
        for v in range(8)
    ]
    crops = make_crops(views, UnitCube(np.zeros(3), 1.0), size)
    for captured in range(8):  # the sample has them in an order of its own
        same = [v for v in range(8) if torch.equal(sample.alpha[v], crops.alpha[0, captured])]
        assert same
        torch.testing.assert_close(sample.rgb[same[0]], crops.rgb[0, captured], atol=1e-6, rtol=0)
        torch.testing.assert_close(sample.K[same[0]], crops.K[0, captured], rtol=1e-6, atol=0)


def test_a_crop_beyond_the_image_is_white_and_empty() -> None:
    black = np.zeros((20, 20, 3), np.uint8)
    window = silhouette_window(np.ones((20, 20), bool), 2.0)
    cropped = crop(black, np.ones((20, 20), bool), window, 40)
    assert (window.x0, window.y0, window.side) == (-10, -10, 40)
    assert (cropped[:3, 10:30, 10:30] == 0).all()
    assert (cropped[3, 10:30, 10:30] == 1).all()
    cropped[:, 10:30, 10:30] = [[[1]], [[1]], [[1]], [[0]]]
    assert (cropped[:3] == 1).all()
    assert (cropped[3] == 0).all()


def test_no_depth_is_invented_between_two_surfaces() -> None:
    depth = torch.full((1, 16, 16), 1.0)
    depth[:, :, 8:] = 2.0
    grid = crop_depth(depth, [CropWindow(0, 0, 16)], 8)
    known = grid[torch.isfinite(grid)]
    assert len(known) >= 32
    assert set(known.tolist()) == {1.0, 2.0}


def perfect(sample_output: RayGambaOutput, front: torch.Tensor, back: torch.Tensor) -> RayGambaOutput:
    return replace(sample_output, depth=torch.stack([front, back], -1).nan_to_num(0))


def test_depth_losses_are_zero_at_the_truth_and_measure_the_error_elsewhere(data: Path) -> None:
    batch = collate([make_sample(Shards(data)[0], 4, 1, 96, 48, EXACT, np.random.default_rng(2))])
    with torch.no_grad():
        output = RayGamba(TINY)(batch.inputs())
    exact = depth_losses(perfect(output, batch.front, batch.back), batch)
    assert float(exact["front"]) == float(exact["back"]) == 0.0
    off = depth_losses(perfect(output, batch.front + 0.1, batch.back - 0.05), batch)
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
        return depth_losses(replace(output, cascade_logits=sure), batch)

    assert float(losses(0.04)["cascade"]) < float(losses(0.0)["cascade"])
    assert float(losses(0.04)["cascade"]) < float(losses(0.08)["cascade"])
    assert float(losses(0.0)["initial_depth"]) == pytest.approx(0.04, rel=1e-3)
    assert float(losses(0.04, replace(missed, initial_depth=truth - 0.3))["cascade"]) == 0.0


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
    """To more than 30 dB on its novel views, within a minute: the network can say what the losses ask for."""
    exact = replace(EXACT, tilt=0.0, shift=0.0)
    sample = collate([make_sample(Shards(data)[0], 4, 2, 96, 48, exact, np.random.default_rng(1))])
    torch.manual_seed(0)
    network = RayGamba(RayGambaConfig(width=64, orders=("rows", "across_reversed")))
    rays = hull_intervals(sample.inputs(), network.grid)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, betas=(0.9, 0.95), weight_decay=0.0)
    weights = LossWeights(color=50.0, mask=5.0)
    for _ in range(250):
        output = network(sample.inputs(), rays)
        total(depth_losses(output, sample) | render_losses(output, sample, "ssim"), weights).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    with torch.no_grad():
        learned = picture_scores(network(sample.inputs(), rays), sample)
    assert learned["psnr"] > 30.0


def test_the_learning_rate_rises_stays_and_falls_and_its_length_can_be_settled_late(data: Path, tmp_path: Path) -> None:
    def rates(samples: int) -> list[float]:
        run = Trainer(config(data, samples=samples, warmup=10, cooldown=0.5), tmp_path / "r", lambda line: None)
        found = []
        for run.samples in range(0, samples + 1, 10):
            found.append(run.learning_rate() / run.config.learning_rate)
        return found

    short, long = rates(100), rates(200)
    assert short[0] < 0.01
    assert short[1:6] == long[1:6] == [1.0] * 5  # a run that is not yet cooling down does not know its length
    assert all(a > b for a, b in pairwise(short[5:]))
    assert short[-1] == pytest.approx(0.0, abs=1e-9)


def test_a_scene_whose_silhouettes_share_nothing_costs_no_nan(data: Path) -> None:
    batch = collate([make_sample(Shards(data)[0], 2, 1, 96, 48, EXACT, np.random.default_rng(3))])
    batch = replace(batch, alpha=torch.zeros_like(batch.alpha))
    with torch.no_grad():
        output = RayGamba(CASCADED)(batch.inputs())
        losses = depth_losses(output, batch) | render_losses(output, batch, "ssim")
    assert not output.rays.valid.any()
    assert all(torch.isfinite(value) for value in losses.values()), losses


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_resumed_run_gives_the_numbers_of_one_that_never_stopped(data: Path, tmp_path: Path, optimizer: str) -> None:
    quiet = lambda line: None  # noqa: E731
    settings = config(data, optimizer=optimizer)
    whole = Trainer(settings, tmp_path / "whole", quiet)
    whole.run(until_step=10)
    Trainer(settings, tmp_path / "parts", quiet).run(until_step=4)
    resumed = Trainer(settings, tmp_path / "parts", quiet)
    assert resumed.step == 4
    resumed.run(until_step=10)
    torch.testing.assert_close(weights(resumed), weights(whole), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_weight_has_one_optimizer_and_only_maps_between_features_decay(name: str) -> None:
    network = RayGamba(CASCADED)
    groups = [group for optimizer in make_optimizers(network, name, 1e-3, 0.1) for group in optimizer.param_groups]
    moved = [id(p) for group in groups for p in group["params"]]
    assert sorted(moved) == sorted(id(p) for p in network.parameters())
    decays = {id(p): group["weight_decay"] > 0 for group in groups for p in group["params"]}
    for path, p in network.named_parameters():
        assert decays[id(p)] == (path.endswith("weight") and p.ndim > 1), path


def test_a_step_of_muon_is_nearly_orthogonal_and_as_large_as_one_of_adamw(data: Path, tmp_path: Path) -> None:
    """Jordan et al., 2024: whatever the gradient's, most of the step's singular values are alike."""
    steps = {}
    for name in OPTIMIZERS:
        settings = config(data, optimizer=name, learning_rate=1e-3, weight_decay=0.0)
        run = Trainer(settings, tmp_path / name, lambda line: None)
        matrix = run.network.blocks[0].mixer.out_proj.weight
        before = matrix.detach().clone()
        run.samples = 32  # past the warm-up
        run.run(until_step=1)
        steps[name] = matrix.detach() - before

    def stretch(step: torch.Tensor) -> float:
        values = torch.linalg.svdvals(step)
        return float(values.max() / values.median())

    assert stretch(steps["muon"]) < 2.0 < stretch(steps["adamw"])
    size = {name: float(step.square().mean().sqrt()) for name, step in steps.items()}
    assert 0.1e-3 < size["muon"] < 0.3e-3  # AdamW's usual 0.2 of the rate; its first step is a whole one
    assert size["adamw"] == pytest.approx(1e-3, rel=0.05)


def test_an_unknown_optimizer_is_refused_by_name_and_an_old_torch_by_version(monkeypatch: pytest.MonkeyPatch) -> None:
    network = RayGamba(TINY)
    with pytest.raises(ReconstructionError, match="adamw, muon, not sgd") as error:
        make_optimizers(network, "sgd", 1e-3, 0.0)
    assert error.value.code == ErrorCode.BAD_OPTION
    monkeypatch.delattr(torch.optim, "Muon")
    with pytest.raises(ReconstructionError, match=r"install torch 2\.9") as error:
        make_optimizers(network, "muon", 1e-3, 0.0)
    assert error.value.code == ErrorCode.MISSING_PACKAGE


def test_a_run_may_begin_with_a_trained_network_and_more_blocks(data: Path, tmp_path: Path) -> None:
    """It then answers as that one did, and its new blocks learn."""
    trained = RayGamba(TINY).eval()
    save_checkpoint(tmp_path / "trained.safetensors", trained, {"seed": 3})
    deeper = replace(TINY, orders=(*TINY.orders, "across_reversed", "rows"))
    run = Trainer(config(data, model=deeper, start=str(tmp_path / "trained.safetensors")), tmp_path / "run", print)
    batch = collate([make_sample(Shards(data)[0], 3, 1, 96, 48, EXACT, np.random.default_rng(0))]).inputs()
    with torch.no_grad():
        torch.testing.assert_close(run.averaged()(batch).depth, trained(batch).depth, atol=1e-5, rtol=1e-5)
    new = run.network.blocks[3].mixer.out_proj.weight
    assert not new.any()
    run.run(until_step=2)
    assert new.any()
    (tmp_path / "trained.safetensors").unlink()  # a run has what it needs to go on
    assert Trainer(run.config, tmp_path / "run", print).step == 2
    export(tmp_path / "run", tmp_path / "deeper.safetensors")
    assert load_checkpoint(tmp_path / "deeper.safetensors")[1]["started_from"] == {"seed": 3}


def test_a_start_that_does_not_fit_is_refused_by_name(data: Path, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "trained.safetensors", RayGamba(TINY), {})
    for change in ({"orders": ("across", "rows")}, {"orders": (*TINY.orders, "columns")}, {"width": 48}):
        wrong = config(data, model=replace(TINY, **change), start=str(tmp_path / "trained.safetensors"))
        with pytest.raises(ReconstructionError, match=r"trained\.safetensors") as error:
            Trainer(wrong, tmp_path / "run", print)
        assert error.value.code == ErrorCode.BAD_CHECKPOINT


def test_a_run_is_not_resumed_as_another_network(data: Path, tmp_path: Path) -> None:
    Trainer(config(data), tmp_path / "run", print).run(until_step=1)
    for change, said in (
        ({"model": replace(TINY, width=48)}, rf"model\.width: {TINY.width}, not 48"),
        ({"optimizer": "muon"}, "optimizer: adamw, not muon"),
        ({"train_only": ["decoder"]}, r"train_only: \[\], not \['decoder'\]"),
    ):
        with pytest.raises(ReconstructionError, match=rf"state\.pt is of a run with another {said}") as error:
            Trainer(config(data, **change), tmp_path / "run", print)
        assert error.value.code == ErrorCode.BAD_OPTION


@pytest.mark.slow
def test_the_cards_commands_lead_from_stage_to_stage_to_the_shipped_network(data: Path, tmp_path: Path) -> None:
    """Each for one step, of a narrow network and on three objects."""
    root = Path(__file__).parents[1]
    lines = re.findall(
        r"^    mvgamba (train [^\\\n]*(?:\\\n[^\\\n]*)*)", (root / "MODEL_CARD.md").read_text(), re.MULTILINE
    )
    commands = [shlex.split(line.replace("\\\n", " ")) for line in lines]
    assert len(commands) > 10
    last = None
    for command in commands:
        if command[1] == "--export":
            export(tmp_path / command[command.index("-o") + 1], tmp_path / command[2])
            continue
        given = load(root / command[1], [value for key, value in pairwise(command) if key == "--set"])
        run = Trainer(
            config(
                data,
                model=replace(given.model, width=TINY.width, skip=TINY.skip),
                start=None if given.start is None else str(tmp_path / given.start),
                optimizer=given.optimizer,
                train_only=given.train_only,
                perceptual=given.perceptual,
            ),
            tmp_path / command[command.index("-o") + 1],
            lambda line: None,
        )
        run.run(until_step=run.step + 1)
        last = given.model
    assert last == load_checkpoint()[0].config


def test_a_run_keeps_the_perceptual_loss_that_it_began_with(data: Path, tmp_path: Path) -> None:
    """Whatever weights the machine has on which it is resumed."""
    run = Trainer(config(data, perceptual="ssim"), tmp_path / "run", print)
    run.run(until_step=1)
    state = torch.load(run.state_file, weights_only=True)
    assert state["config"]["perceptual"] == "ssim"
    torch.save({**state, "config": {**state["config"], "perceptual": "lpips"}}, run.state_file)
    with pytest.raises(ReconstructionError, match="another perceptual: lpips, not ssim"):
        Trainer(config(data, perceptual="ssim"), tmp_path / "run", print)


def test_the_perceptual_loss_is_ssim_only_where_that_was_left_open(no_lpips: None) -> None:
    assert resolve_kind("auto") == resolve_kind("ssim") == "ssim"
    for kind, message in (("lpips", "LPIPS needs"), ("vgg", "'vgg'; choose auto, lpips or ssim")):
        with pytest.raises(ReconstructionError, match=message) as error:
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


def test_a_cascade_head_joins_a_trained_network_and_is_all_that_learns_where_the_config_says_so(
    data: Path, tmp_path: Path
) -> None:
    """The network then answers as before, until the cascade head has learned."""
    torch.manual_seed(1)
    trained = RayGamba(TINY).eval()
    save_checkpoint(tmp_path / "trained.safetensors", trained, {})
    settings = config(
        data, model=CASCADED, start=str(tmp_path / "trained.safetensors"), train_only=["cascade_head", "decoder"]
    )
    run = Trainer(settings, tmp_path / "run", print)
    batch = collate([make_sample(Shards(data)[0], 3, 1, 96, 48, EXACT, np.random.default_rng(0))]).inputs()
    with torch.no_grad():
        stored = load_checkpoint(tmp_path / "trained.safetensors")[0](batch)  # matrices in half precision
        torch.testing.assert_close(run.averaged()(batch).depth, stored.depth, atol=1e-5, rtol=1e-5)
    before = {name: value.clone() for name, value in run.network.state_dict().items()}
    run.run(until_step=3)
    for name, value in run.network.state_dict().items():
        learns = name.split(".")[0] in settings.train_only
        assert learns or torch.equal(value, before[name]), name
    assert run.network.cascade_head.along[-1].weight.any()
    assert not torch.equal(run.network.decoder[0].weight, before["decoder.0.weight"])


def test_a_part_that_the_network_has_not_is_named(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ReconstructionError, match="has no cascade_head; its parts are attribute_head, blocks") as error:
        Trainer(config(data, train_only=["cascade_head", "stem"]), tmp_path / "run", print)
    assert error.value.code == ErrorCode.BAD_OPTION


def test_runs_of_different_precision_can_follow_each_other_in_one_process(data: Path, tmp_path: Path) -> None:
    for precision in ("bf16", "no"):
        run = Trainer(config(data, precision=precision), tmp_path / precision, lambda line: None)
        assert run.accelerator.mixed_precision == precision
        run.run(until_step=1)
        assert torch.isfinite(weights(run)).all()


@pytest.mark.slow
def test_an_interrupted_run_saves_the_step_it_was_at(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(_plain(asdict(config(data, samples=100_000)))))
    train = [sys.executable, "-m", "mvgamba_ros.cli", "train", str(file), "-o", str(tmp_path / "run")]
    with subprocess.Popen(train, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        while "objects" not in process.stdout.readline():  # the first line of progress
            assert process.poll() is None
        os.killpg(process.pid, signal.SIGTERM)  # as a terminal or a supervisor does: the loader's process gets it too
        assert "stopped at step" in process.communicate(timeout=60)[0]
    assert process.returncode == 0
    assert Trainer(config(data), tmp_path / "run", lambda line: None).step > 0


@pytest.mark.slow
def test_one_interrupted_process_stops_its_fellow(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(_plain(asdict(config(data, samples=100_000)))))
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", "29518"]
    train = ["-m", "mvgamba_ros.cli", "train", str(file), "-o", str(tmp_path / "run")]
    env = {**os.environ, "ACCELERATE_USE_CPU": "true"}
    with subprocess.Popen([*launch, *train], stdout=subprocess.PIPE, text=True, env=env) as process:
        assert process.stdout is not None
        while "objects" not in process.stdout.readline():
            assert process.poll() is None
        first, *_ = children(process.pid)
        os.kill(first, signal.SIGTERM)
        assert "stopped at step" in process.communicate(timeout=60)[0]
    assert process.returncode == 0


def children(pid: int) -> list[int]:
    """Process ids of the children of ``pid``."""
    return [int(p) for task in Path(f"/proc/{pid}/task").iterdir() for p in (task / "children").read_text().split()]


@pytest.mark.slow
def test_two_processes_take_the_step_that_one_takes(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(_plain(asdict(config(data)))))
    train = ["-m", "mvgamba_ros.cli", "train", str(file), "--until-step", "2", "-o"]
    # `accelerate launch` starts several CPU processes through MPI only; torchrun sets what Accelerate reads as well
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", "29517"]
    env = {**os.environ, "ACCELERATE_USE_CPU": "true"}
    subprocess.run([*launch, *train, str(tmp_path / "two")], check=True, timeout=240, env=env)
    subprocess.run([sys.executable, *train, str(tmp_path / "one")], check=True, timeout=240)
    one, two = (torch.load(tmp_path / n / "state.pt", weights_only=True)["network"] for n in ("one", "two"))
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, atol=2e-5, rtol=1e-3, msg=name)


def _plain(value: object) -> object:
    """Tuples to lists: YAML's safe writer knows no tuples."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value


def test_a_run_is_exported_with_its_recipe(data: Path, tmp_path: Path) -> None:
    Trainer(config(data), tmp_path / "run", lambda line: None).run(until_step=1)
    export(tmp_path / "run", tmp_path / "w.safetensors")
    _, recipe = load_checkpoint(tmp_path / "w.safetensors")
    assert recipe["step"] == 1
    assert recipe["training"]["seed"] == 0
    assert recipe["training"]["data"] == data.name
    assert recipe["data"]["data"]["recipe"]["seed"] == 5
    assert recipe["metrics"]["f5"] >= 0


def test_an_unknown_setting_is_named(tmp_path: Path) -> None:
    with pytest.raises(ReconstructionError, match="learning_rat") as caught:
        from_dict({"name": "x", "data": "d", "validation": "v", "learning_rat": 1})
    assert caught.value.code is ErrorCode.BAD_OPTION
    with pytest.raises(ReconstructionError, match=r"none\.yaml"):
        load(tmp_path / "none.yaml")


def test_settings_change_from_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("name: x\ndata: d\nvalidation: v\n")
    changed = load(file, ["learning_rate=1e-2", "model.width=64", "sampling.augmentation.jitter=0.5"])
    assert (changed.model.width, changed.sampling.augmentation.jitter) == (64, 0.5)
    assert changed.learning_rate == 0.01
