"""A recipe makes a checkpoint: data, stages and export in one command, resumed wherever it was stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from tiny_training import config

from mvgamba_ros.cli import main
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.io.weights import read_weights
from mvgamba_ros.model.checkpoint import load_checkpoint
from mvgamba_ros.training.recipe import load_plan
from mvgamba_ros.training.recipe_run import RecipeRun

LONG = {"name": "a", "changes": {"samples": 100_000}}
SHIPPED = Path(__file__).parents[1] / "config" / "raygamba-s.recipe.yaml"


def write_recipe(file: Path, data: Path, *stages: dict[str, Any], **more: Any) -> Path:
    """The tiny network of `tiny_training` in these stages."""
    settings = _plain(config(data).to_dict())
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump({"name": "tiny", "settings": settings, "stages": list(stages), **more}))
    return file


def _plain(value: Any) -> Any:
    """Tuples to lists: YAML's safe writer knows no tuples."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value


def command(file: Path, run: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "mvgamba_ros.cli", "train", str(file), "-o", str(run), "--workers", "1", *options]


def killed(arguments: list[str], when: Callable[[], bool], how: signal.Signals) -> tuple[int, str]:
    """Starts a process and sends it and its children a signal as soon as ``when``; its exit status and output."""
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        while not when():
            assert process.poll() is None, "it ended before it could be stopped"
            time.sleep(0.02)
        os.killpg(process.pid, how)  # as a terminal or a supervisor does: the loader's process gets it too
        output = process.communicate(timeout=400)[0]
    return process.returncode, output


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_recipe_killed_in_the_middle_resumes_without_repeating_work_to_the_same_weights(tmp_path: Path) -> None:
    """Killed outright while it renders, interrupted while it trains the second of two stages."""

    def recipe(folder: Path) -> Path:
        data = folder / "data"
        content = {"seed": 5, "count": 4, "per_shard": 2, "points": 256, "rig": {"size": 48, "views": 9}}
        first = {"name": "first", "changes": {"samples": 8}}
        second = {"name": "second", "changes": {"samples": 40, "seed": 1, "save_minutes": 0.0}}
        return write_recipe(folder / "tiny.recipe.yaml", data, first, second, render={str(data): content})

    file, run = recipe(tmp_path / "parts"), tmp_path / "parts" / "run"
    shard = tmp_path / "parts" / "data" / "shard_00000"
    assert killed(command(file, run), shard.exists, signal.SIGKILL)[0] == -signal.SIGKILL
    rendered = (shard / "rgb.npy").stat().st_mtime_ns

    status, output = killed(command(file, run), (run / "2-second" / "state.pt").exists, signal.SIGTERM)
    assert status == 0 and "stage 2 of 2, second: stopped at step" in output
    step = torch.load(run / "2-second" / "state.pt", weights_only=True)["step"]
    assert 0 < step < 20
    weights = (run / "1-first" / "first.safetensors").stat().st_mtime_ns
    assert not (run / "tiny.safetensors").exists()

    output = subprocess.run(command(file, run), check=True, capture_output=True, text=True, timeout=800).stdout
    assert "shards" not in output
    assert "stage 1 of 2, first: finished" in output and "stage 1 of 2, first: training" not in output
    assert f"state.pt at step {step} " in output
    assert f"checkpoint: {run / 'tiny.safetensors'}" in output.splitlines()[-1]
    assert (shard / "rgb.npy").stat().st_mtime_ns == rendered
    assert (run / "1-first" / "first.safetensors").stat().st_mtime_ns == weights

    # by a process of its own as well: with another number of threads than this one's, sums differ in their last bits
    whole = tmp_path / "whole" / "run"
    subprocess.run(command(recipe(tmp_path / "whole"), whole), check=True, capture_output=True, timeout=800)
    resumed, uninterrupted = (read_weights(folder / "tiny.safetensors")[0] for folder in (run, whole))
    for name, value in uninterrupted.items():
        torch.testing.assert_close(resumed[name], value, atol=1e-6, rtol=1e-3, msg=name)  # stored as float16


def test_a_stage_takes_the_settings_of_the_one_before_and_its_own(data: Path, tmp_path: Path) -> None:
    changes = {"samples": 9, "model": {"size": 128}, "view_counts": {1: 1.0}}
    file = write_recipe(tmp_path / "r.yaml", data, {"name": "a", "changes": changes}, {"name": "b"})
    a, b = load_plan(file, ["learning_rate=4e-4", "b.samples=7", "sampling.augmentation.jitter=0.5"]).configs
    assert (a.samples, b.samples) == (9, 7)
    assert a.model == b.model and (a.model.size, a.model.width) == (128, 32)
    assert a.learning_rate == b.learning_rate == 0.0004
    assert a.view_counts == b.view_counts == {1: 1.0}
    assert b.sampling.augmentation.jitter == 0.5


def test_the_recipes_of_the_package_and_of_the_docs_are_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They render all that they read, and what the docs' recipe starts from fits its network."""
    monkeypatch.chdir(tmp_path)
    for file in SHIPPED.parent.glob("*.recipe.yaml"):
        plan = load_plan(file)
        assert set(map(str, plan.render)) == set(plan.recipe.render), "a folder is rendered that no stage reads"
    page = (SHIPPED.parents[1] / "docs" / "data.md").read_text()
    example = tmp_path / "mine.recipe.yaml"
    example.write_text(page.partition("```yaml\n")[2].partition("```")[0])
    first, _ = load_plan(example).configs
    assert first.model == load_checkpoint()[0].config
    assert (SHIPPED.parents[1] / first.start).is_file()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "arm"}, "kind 'arm' is not one of network, published, objectness"),
        ({"stages": []}, "has no stages"),
        ({"stages": [{"name": "a"}, {"name": "a"}]}, "stage name 'a' is used before"),
        ({"stages": [{"name": "a/b"}]}, "stage name 'a/b'"),
        ({"stages": [{"name": "model"}]}, "stage name 'model' is that of a setting"),
        ({"stages": [{"name": "a", "continues": True}]}, "stage a is the first and cannot continue"),
        ({"stages": [{"name": "a", "changes": {"learning_rat": 1}}]}, r"stage a: .*did you mean learning_rate"),
        ({"stages": [{"name": "a", "changes": {"data": ["nowhere"]}}]}, "nowhere: no such folder"),
        ({"render": {"x": {"sead": 1}}}, "render x: .*did you mean seed"),
        ({"render": {"x": 3}}, "render x: 3 is not a mapping"),
        ({"render": {"x": {"per_shard": 0}}}, "per_shard 0 must be a whole number, 1 or more"),
        ({"render": {"x": {"rig": {"views": 0}}}}, r"rig\.views 0 must be a whole number, 1 or more"),
        ({"name": "../x"}, "name '../x' is that of a file"),
        ({"name": 101 * "x"}, "is that of a file"),
        ({"stages": [{"name": "a", "until_step": 0}]}, "stage a: until_step 0 must be 1 or more"),
        ({"stages": [{"name": "a", "changes": [1]}]}, "changes"),
        ({"stages": [{"name": "a", "changes": {"accumulate": 0}}]}, "accumulate 0 must be a whole number, 1 or more"),
        ({"stages": [{"name": "a", "changes": {"model": {"bins": 0}}}]}, r"model\.bins 0 must be a whole number"),
        ({"stages": [{"name": "a", "changes": {"seed": 2**33}}]}, "seed 8589934592 must be a whole number, 0 to"),
        ({"settings": []}, "settings .* a mapping"),
    ],
)
def test_what_is_wrong_in_a_recipe_is_named(data: Path, tmp_path: Path, change: dict[str, Any], words: str) -> None:
    file = write_recipe(tmp_path / "r.yaml", data, {"name": "a"})
    file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), **change}))
    with pytest.raises(ReconstructionError, match=words) as caught:
        load_plan(file)
    assert caught.value.code is ErrorCode.BAD_OPTION


def test_a_finished_stage_of_other_settings_is_refused(data: Path, tmp_path: Path) -> None:
    stages = {"name": "a", "changes": {"samples": 2}}, {"name": "b", "changes": {"samples": 64}}
    file = write_recipe(tmp_path / "r.yaml", data, *stages)
    work = RecipeRun(load_plan(file), tmp_path / "run", log=lambda line: None)
    assert not work.run(until_step=1)  # the first stage has but one step, the second is ended early
    assert work.stages()[0].weights.exists() and not work.stages()[1].weights.exists()
    assert torch.load(work.stages()[1].state, weights_only=True)["step"] == 1
    other = RecipeRun(load_plan(file, ["a.seed=3"]), tmp_path / "run", log=lambda line: None)
    with pytest.raises(ReconstructionError, match="1-a was trained with another seed: 0, not 3") as caught:
        other.run()
    assert caught.value.code is ErrorCode.BAD_OPTION
    assert not RecipeRun(load_plan(file, ["save_minutes=1"]), tmp_path / "run", log=lambda line: None).run(until_step=1)


def test_a_dry_run_prints_the_plan_and_writes_nothing(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_recipe(tmp_path / "r.yaml", data, {"name": "a", "changes": {"samples": 2}}, {"name": "b"})
    assert main(["train", str(file), "-o", str(tmp_path / "run"), "--dry-run"]) == 0
    output = capsys.readouterr().out
    assert "stage 1 of 2, a (not begun): from random weights; samples: 2" in output
    assert "stage 2 of 2, b (not begun): from" in output and "1-a/a.safetensors" in output
    assert not (tmp_path / "run").exists()


def test_a_run_is_exported_as_far_as_it_is(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, run, out = (
        write_recipe(tmp_path / "r.yaml", data, {"name": "a"}),
        tmp_path / "run",
        tmp_path / "w.safetensors",
    )
    assert main(["train", "--export", str(out), "-o", str(run)]) == 1
    assert main(["train", str(file), "-o", str(run), "--until-step", "1"]) == 0
    assert main(["train", "--export", str(out), "-o", str(run)]) == 0
    assert "step 1, 2 samples" in capsys.readouterr().out
    assert load_checkpoint(out)[1]["step"] == 1


def test_a_stop_while_nothing_is_trained_interrupts_at_once(data: Path, tmp_path: Path) -> None:
    work = RecipeRun(load_plan(write_recipe(tmp_path / "r.yaml", data, {"name": "a"})), tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        work.stop()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_shipped_recipe_leads_from_stage_to_stage_to_the_shipped_network(data: Path, tmp_path: Path) -> None:
    """Each for one step, of a narrow network and on three objects; the last for none."""
    folders = [f"data=[{data}]", f"validation={data}"]
    assert load_plan(SHIPPED, folders).configs[-1].model == load_checkpoint()[0].config
    small = ["model.width=32", "model.skip=16", "views_per_step=4", "view_counts={2: 1.0}", "target_views=1"]
    lengths = [
        "samples=2",
        "crops-96-longer.samples=4",
        "crops-128.samples=6",
        "first-12-blocks.samples=0",
        "validate_minutes=1e6",
        "precision=fp32",
    ]
    work = RecipeRun(load_plan(SHIPPED, [*folders, *small, *lengths]), tmp_path, log=lambda line: None)
    assert work.run()
    network, recipe = load_checkpoint(tmp_path / "raygamba-s.safetensors")
    assert len(network.config.orders) == 12 and network.config.cascade_positions == 16
    steps = []
    while recipe is not None:
        steps.append(recipe["step"])
        recipe = recipe["started_from"]
    assert steps == [0, 1, 1, 1, 1, 1, 1, 3]  # the first three stages are one run, the last leaves blocks out


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_one_interrupted_process_stops_its_fellow(data: Path, tmp_path: Path) -> None:
    file, run = (
        write_recipe(tmp_path / "r.yaml", data, {"name": "a", "changes": {"samples": 100_000}}),
        tmp_path / "run",
    )
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    env = {**os.environ, "ACCELERATE_USE_CPU": "true"}
    with subprocess.Popen([*launch, *command(file, run)[1:]], stdout=subprocess.PIPE, text=True, env=env) as process:
        assert process.stdout is not None
        while "samples" not in process.stdout.readline():
            assert process.poll() is None
        first, *_ = children(process.pid)
        os.kill(first, signal.SIGTERM)
        assert "stopped at step" in process.communicate(timeout=400)[0]
    assert process.returncode == 0


def children(pid: int) -> list[int]:
    """Process ids of the children of ``pid``."""
    return [int(p) for task in Path(f"/proc/{pid}/task").iterdir() for p in (task / "children").read_text().split()]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_two_processes_take_the_steps_that_one_takes_from_stage_to_stage(data: Path, tmp_path: Path) -> None:
    stages = {"name": "a", "changes": {"samples": 4}}, {"name": "b", "changes": {"samples": 2}}
    file = write_recipe(tmp_path / "r.yaml", data, *stages)
    # `accelerate launch` starts several CPU processes through MPI only; torchrun sets what Accelerate reads as well
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    env = {**os.environ, "ACCELERATE_USE_CPU": "true"}
    subprocess.run([*launch, *command(file, tmp_path / "two")[1:]], check=True, timeout=800, env=env)
    assert RecipeRun(load_plan(file), tmp_path / "one", log=lambda line: None).run()
    one, two = (torch.load(tmp_path / n / "2-b" / "state.pt", weights_only=True)["network"] for n in ("one", "two"))
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, atol=2e-5, rtol=1e-3, msg=name)
