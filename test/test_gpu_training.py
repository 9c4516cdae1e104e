"""Minutes that are left on a device train: data made there, a state that comes back in parts and is gone on from."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from test_training_recipe import write_recipe
from tiny_training import config

from mvgamba_ros.model.checkpoint import load_checkpoint
from mvgamba_ros.synthesis.shards import DataRecipe, ShardRecipe
from mvgamba_ros.training.loop import Trainer
from mvgamba_ros.training.recipe import load_plan
from mvgamba_ros.training.state import load_state
from tools import gpu_training
from tools.carried_state import PART_BYTES, pack, unpack


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state of a run of two steps, by both optimizers."""
    run = tmp_path_factory.mktemp("run")
    Trainer(config(data, optimizer="muon"), run, lambda line: None).run(until_step=2)
    return run / "state.pt"


def test_time_that_is_left_renders_and_learns_and_the_next_goes_on_from_it(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def written(folder: Path, source: Any, recipe: ShardRecipe, workers: int, log: Callable[[str], None]) -> None:
        if not folder.exists():  # rendering has tests of its own
            shutil.copytree(data, folder)

    monkeypatch.setattr(gpu_training, "write_shards", written)
    monkeypatch.chdir(tmp_path)
    stage = {"name": "first", "changes": {"samples": 8}}
    content = {"seed": 5, "count": 3, "per_shard": 3}
    file = write_recipe(tmp_path / "tiny.recipe.yaml", Path("data"), stage, render={"data": content})
    out = tmp_path / "out" / "state"
    first = gpu_training.learn(file, tmp_path / "one", tmp_path / "nothing", out, 120.0, 1, ["samples=4"])
    assert first.objects == 3 and first.samples_before == 0 and first.samples == 4
    second = gpu_training.learn(file, tmp_path / "two", out, tmp_path / "again", 120.0, 1)
    assert (second.samples_before, second.samples) == (4, 8)
    third = gpu_training.learn(file, tmp_path / "two", tmp_path / "again", out, 0.0, 1, ["samples=400"])
    assert third.samples == third.samples_before == 8, "time is over: what is there is kept"
    assert load_state(tmp_path / "two" / "run" / "1-first" / "state.pt")["samples"] == 8


def test_rendering_ends_in_time_with_the_shards_that_are_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def written(folder: Path, source: Any, recipe: ShardRecipe, workers: int, log: Callable[[str], None]) -> None:
        log("0 of 4 shards are there")
        for shard in range(recipe.shards):
            (folder / f"shard_{shard:05d}").mkdir()
            log(f"{shard + 1}/4")

    monkeypatch.setattr(gpu_training, "write_shards", written)
    for ends, shards in ((time.monotonic(), 1), (time.monotonic() + 60.0, 4)):
        where = tmp_path / str(shards)
        where.mkdir()
        gpu_training.render_until(where, DataRecipe(count=8, per_shard=2), 1, ends)
        assert len(list(where.iterdir())) == shards


def test_a_state_in_parts_is_small_and_goes_on_where_it_was(data: Path, trained: Path, tmp_path: Path) -> None:
    parts = pack(trained, tmp_path / "parts")
    assert sum(part.stat().st_size for part in parts) < 0.7 * trained.stat().st_size
    assert all(part.stat().st_size <= PART_BYTES for part in parts)
    unpack(tmp_path / "parts", tmp_path / "run" / "state.pt")
    settings = config(data, optimizer="muon")
    whole, resumed = (Trainer(settings, run, lambda line: None) for run in (trained.parent, tmp_path / "run"))
    assert resumed.step == whole.step == 2
    for name, value in whole.network.state_dict().items():
        torch.testing.assert_close(resumed.network.state_dict()[name], value, rtol=1e-3, atol=1e-4)
        assert resumed.ema[name].dtype == torch.float32
    for one, other in zip(whole.optimizers, resumed.optimizers, strict=True):
        moments, again = one.state_dict()["state"], other.state_dict()["state"]
        assert moments.keys() == again.keys() and moments
        for key, values in moments.items():
            for name, value in values.items():
                torch.testing.assert_close(again[key][name], value, rtol=1e-2, atol=1e-6)
    resumed.run(until_step=3)
    assert resumed.step == 3 and all(math.isfinite(p.sum().item()) for p in resumed.network.parameters())


def test_what_comes_back_in_several_parts_is_put_together(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tools.carried_state.PART_BYTES", 20_000)
    parts = pack(trained, tmp_path)
    assert len(parts) > 10
    unpack(tmp_path, tmp_path / "state.pt")
    assert load_state(tmp_path / "state.pt")["step"] == 2
    with pytest.raises(FileNotFoundError, match=r"state\.0"):
        unpack(tmp_path / "nothing", tmp_path / "state.pt")


def test_a_state_that_a_gpu_saved_goes_on_without_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def of_gpu(storage: Any) -> str:
        return "cuda:0"

    monkeypatch.setattr(torch.serialization, "location_tag", of_gpu)
    torch.save({"config": {}, "network": {"w": torch.ones(3)}}, tmp_path / "state.pt")
    monkeypatch.undo()
    with pytest.raises(RuntimeError, match="CUDA"):
        torch.load(tmp_path / "state.pt", weights_only=True)
    assert load_state(tmp_path / "state.pt")["network"]["w"].device.type == "cpu"


def test_the_recipe_of_spare_minutes_begins_with_the_shipped_network() -> None:
    plan = load_plan(gpu_training.RECIPE)
    network, _ = load_checkpoint()
    assert plan.configs[0].model == network.config
    assert Path(plan.configs[0].start).is_file() and len(plan.configs) == 1
