"""A training run: schedule, optimizers, warm start, resuming; interrupted or split over processes without a trace."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_training import CASCADED, EXACT, TINY, config, weights

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.model.checkpoint import load_checkpoint, save_checkpoint
from mvgamba_ros.model.raygamba import RayGamba
from mvgamba_ros.synthesis.shards import Shards
from mvgamba_ros.training.export import export
from mvgamba_ros.training.loop import Trainer
from mvgamba_ros.training.optimizers import OPTIMIZERS, make_optimizers
from mvgamba_ros.training.sample_batches import collate, make_sample
from mvgamba_ros.training.warm_start import warm_start


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
    """It then gives the same output as that one, and its new blocks learn."""
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


def test_a_run_may_begin_with_the_first_blocks_of_a_trained_network(tmp_path: Path) -> None:
    trained = RayGamba(TINY)
    save_checkpoint(tmp_path / "trained.safetensors", trained, {})
    shallower = RayGamba(replace(TINY, orders=TINY.orders[:1]))
    warm_start(shallower, tmp_path / "trained.safetensors")
    kept, whole = shallower.state_dict(), load_checkpoint(tmp_path / "trained.safetensors")[0].state_dict()
    assert all(torch.equal(value, whole[name]) for name, value in kept.items())
    assert not any(name.startswith("blocks.1.") for name in kept)


def test_a_start_that_does_not_fit_is_refused_by_name(data: Path, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "trained.safetensors", RayGamba(TINY), {})
    for change in ({"orders": ("across", "rows")}, {"orders": (*TINY.orders, "columns")}, {"width": 48}):
        wrong = config(data, model=replace(TINY, **change), start=str(tmp_path / "trained.safetensors"))
        with pytest.raises(ReconstructionError, match=r"trained\.safetensors") as error:
            Trainer(wrong, tmp_path / "run", print)
        assert error.value.code == ErrorCode.BAD_CHECKPOINT


def test_a_run_is_not_resumed_as_another_network(data: Path, tmp_path: Path) -> None:
    Trainer(config(data), tmp_path / "run", print).run(until_step=1)
    for change, words in (
        ({"model": replace(TINY, width=48)}, rf"model\.width: {TINY.width}, not 48"),
        ({"optimizer": "muon"}, "optimizer: adamw, not muon"),
        ({"train_only": ("decoder",)}, r"train_only: \(\), not \('decoder',\)"),
    ):
        with pytest.raises(ReconstructionError, match=rf"state\.pt is of a run with another {words}") as error:
            Trainer(config(data, **change), tmp_path / "run", print)
        assert error.value.code == ErrorCode.BAD_OPTION


def test_a_run_keeps_the_perceptual_loss_that_it_began_with(data: Path, tmp_path: Path) -> None:
    """Whatever weights the machine has on which it is resumed."""
    run = Trainer(config(data, perceptual="ssim"), tmp_path / "run", print)
    run.run(until_step=1)
    state = torch.load(run.state_file, weights_only=True)
    assert state["config"]["perceptual"] == "ssim"
    torch.save({**state, "config": {**state["config"], "perceptual": "lpips"}}, run.state_file)
    with pytest.raises(ReconstructionError, match="another perceptual: lpips, not ssim"):
        Trainer(config(data, perceptual="ssim"), tmp_path / "run", print)


def test_a_cascade_head_joins_a_trained_network_and_is_all_that_learns_where_the_config_says_so(
    data: Path, tmp_path: Path
) -> None:
    """The network's output is then as before, until the cascade head has learned."""
    torch.manual_seed(1)
    trained = RayGamba(TINY).eval()
    save_checkpoint(tmp_path / "trained.safetensors", trained, {})
    settings = config(
        data, model=CASCADED, start=str(tmp_path / "trained.safetensors"), train_only=("cascade_head", "decoder")
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
        Trainer(config(data, train_only=("cascade_head", "stem")), tmp_path / "run", print)
    assert error.value.code == ErrorCode.BAD_OPTION


def test_runs_of_different_precision_can_follow_each_other_in_one_process(data: Path, tmp_path: Path) -> None:
    for precision, mixed in (("bf16", "bf16"), ("fp32", "no")):
        run = Trainer(config(data, precision=precision), tmp_path / precision, lambda line: None)
        assert run.accelerator.mixed_precision == mixed
        run.run(until_step=1)
        assert torch.isfinite(weights(run)).all()
    with pytest.raises(ReconstructionError, match="precision: 'fp8'; choose fp32 or bf16"):
        Trainer(config(data, precision="fp8"), tmp_path / "none")


@pytest.mark.parametrize("has", [True, False])
def test_bfloat16_where_a_processor_has_no_instructions_for_it_is_said_to_be_slow(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has: bool
) -> None:
    monkeypatch.setattr("mvgamba_ros.training.training_run.has_bfloat16", lambda device: has)
    said: list[str] = []
    Trainer(config(data, precision="bf16"), tmp_path / "r", said.append)
    assert any("fp32 would be faster" in line for line in said) is not has


@pytest.mark.parametrize("there", [True, False])
def test_without_tensorboard_a_run_says_that_it_keeps_no_curves_and_trains(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    if there:
        pytest.importorskip("tensorboard")
    else:
        monkeypatch.setattr("mvgamba_ros.training.training_run.is_tensorboard_available", lambda: False)
    said: list[str] = []
    run = Trainer(config(data), tmp_path / "r", said.append)
    run.run(until_step=1)
    assert any("no curves are kept" in line for line in said) is not there
    assert bool(list((tmp_path / "r").rglob("events.out.tfevents*"))) is there and run.step == 1


def test_a_run_is_exported_with_its_recipe(data: Path, tmp_path: Path) -> None:
    Trainer(config(data), tmp_path / "run", lambda line: None).run(until_step=1)
    export(tmp_path / "run", tmp_path / "w.safetensors")
    _, recipe = load_checkpoint(tmp_path / "w.safetensors")
    assert recipe["step"] == 1
    assert recipe["training"]["seed"] == 0
    assert recipe["training"]["data"] == [data.name]
    assert recipe["data"][data.name]["recipe"]["seed"] == 5
    assert recipe["metrics"]["f5"] >= 0
