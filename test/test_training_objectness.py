"""Training the objectness network, small."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from safetensors import safe_open

from mvgamba_ros.cli import main
from mvgamba_ros.errors import ReconstructionError
from mvgamba_ros.segmentation.classical import objectness
from mvgamba_ros.training.objectness_augment import WindowAugmentation, disturbed
from mvgamba_ros.training.objectness_scenes import SceneRecipe, example, scene_sheet, write_scenes
from mvgamba_ros.training.objectness_trainer import (
    ObjectnessTrainConfig,
    ObjectnessTrainer,
    export_objectness,
    mean_iou,
)


def quiet(line: str) -> None:
    pass


def train(folder: Path, out: Path, **settings: Any) -> None:
    """One whole run, in a folder beside ``out``."""
    run = out.with_suffix("")
    assert ObjectnessTrainer(ObjectnessTrainConfig("tiny", (str(folder),), **settings), run, quiet).run()
    export_objectness(run, out)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    write_scenes(folder, SceneRecipe(seed=3, count=6, per_shard=3), 2, quiet)
    return folder


def test_scenes_are_the_same_for_the_same_seed() -> None:
    first, again, other = (example(SceneRecipe(seed=3), index) for index in (0, 0, 1))
    assert first is not None and again is not None and other is not None
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_silhouettes_lie_where_there_is_a_picture(data: Path) -> None:
    for shard in data.glob("*.npz"):
        x, y = np.load(shard)["x"], np.load(shard)["y"]
        assert x.shape[1:] == (objectness.CHANNELS, objectness.SIDE, objectness.SIDE) and y.shape == x[:, 0].shape
        assert (y > 127).any((1, 2)).all() and not y[x[:, 4] == 0].any()


def test_rendering_goes_on_where_it_stopped(data: Path) -> None:
    first, second = sorted(data.glob("*.npz"))
    before = np.load(second)["x"]
    kept = first.stat().st_mtime_ns
    second.unlink()
    write_scenes(data, SceneRecipe(seed=3, count=6, per_shard=3), 1, quiet)
    assert first.stat().st_mtime_ns == kept and np.array_equal(np.load(second)["x"], before)


def test_scenes_of_another_seed_lie_beside_the_first_and_do_not_pass_for_them(data: Path, tmp_path: Path) -> None:
    known = shutil.copy(min(data.glob("*.npz")), tmp_path)
    write_scenes(tmp_path, SceneRecipe(seed=4, count=1, per_shard=1), 1, quiet)
    first, second = sorted(tmp_path.glob("*.npz"))
    assert first == Path(known) and np.array_equal(np.load(first)["x"], np.load(min(data.glob("*.npz")))["x"])
    assert not np.array_equal(np.load(first)["x"], np.load(second)["x"])


def test_one_shard_is_too_little_to_train_on(data: Path, tmp_path: Path) -> None:
    shutil.copy(min(data.glob("*.npz")), tmp_path)
    for folder in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(ReconstructionError, match="fewer than two shards"):
            train(folder, tmp_path / "out.safetensors", steps=1)


def test_a_mirrored_window_is_mirrored_with_its_silhouette() -> None:
    x = torch.zeros(64, objectness.CHANNELS, objectness.SIDE, objectness.SIDE)
    x[:, 3:5, :, :100] = 255.0
    x[:, :3, 20:40, 10:30] = 200.0
    y = torch.zeros(64, objectness.SIDE, objectness.SIDE)
    y[:, 20:40, 10:30] = 1.0
    pictures, truth = disturbed(x, y, torch.Generator().manual_seed(0), WindowAugmentation())
    flipped = truth[:, 30, 80] > 0.5
    assert 10 < flipped.sum() < 54
    bright = pictures[:, :3].mean(1) > 60
    there = truth.any(2).any(1)  # all but pictures of nothing
    assert ((bright & (truth > 0.5)).sum((1, 2))[there] > 350).all()
    assert not pictures[:, :3, :, 100:].any()


def test_a_short_training_learns_what_it_sees(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "small.safetensors"
    train(data, out, steps=80, batch=4, learning_rate=4e-3, seed=0)
    shard = np.load(sorted(data.glob("*.npz"))[1])
    with torch.no_grad():
        odds = objectness.load(out)(torch.from_numpy(shard["x"]).float()).numpy()
    allowed, on = shard["x"][:, 3] > 127, shard["y"] > 127
    assert odds[on].mean() > odds[allowed & ~on].mean() + 0.6


def test_the_commands_sheet_shows_the_windows_with_their_outlines(data: Path, tmp_path: Path) -> None:
    assert main(["data", "sheet", str(data), "-o", str(tmp_path / "sheet.png"), "--objects", "16"]) == 0
    picture = cv2.imread(str(tmp_path / "sheet.png"))
    assert np.array_equal(picture[..., ::-1], scene_sheet(data, 16))
    assert picture is not None and picture.shape[1] == 8 * objectness.SIDE
    assert (picture == (0, 255, 0)).all(-1).any()


def test_training_goes_on_from_given_weights(data: Path, tmp_path: Path) -> None:
    before, after = tmp_path / "before.safetensors", tmp_path / "after.safetensors"
    objectness.save(before, objectness.Objectness(), {})
    train(data, after, steps=1, batch=2, learning_rate=1e-6, seed=0, start=str(before))
    for old, new in zip(objectness.load(before).parameters(), objectness.load(after).parameters(), strict=True):
        torch.testing.assert_close(old, new, atol=1e-5, rtol=0)


def test_a_share_of_the_weights_it_began_with_is_kept(data: Path, tmp_path: Path) -> None:
    before, kept, half = (tmp_path / f"{name}.safetensors" for name in ("before", "kept", "half"))
    objectness.save(before, objectness.Objectness(), {})
    for out, keep in ((kept, 1.0), (half, 0.5)):
        train(data, out, steps=3, batch=2, learning_rate=1e-2, seed=0, start=str(before), keep=keep)
    old, same, mixed = (list(objectness.load(path).parameters()) for path in (before, kept, half))
    assert all(torch.equal(a, b) for a, b in zip(old, same, strict=True))
    assert not all(torch.allclose(a, b, atol=1e-4) for a, b in zip(old, mixed, strict=True))


def test_what_is_held_out_is_scored_where_the_object_may_be(data: Path) -> None:
    assert 0.6 < mean_iou(objectness.load(), sorted(data.glob("*.npz"))[0]) <= 1.0


def test_pictures_of_nothing_are_among_what_is_learned() -> None:
    x = torch.full((400, objectness.CHANNELS, objectness.SIDE, objectness.SIDE), 255.0)
    x[:, :3, 40:80, 40:80] = 100.0
    y = torch.zeros(400, objectness.SIDE, objectness.SIDE)
    y[:, 40:80, 40:80] = 1.0
    pictures, truth = disturbed(x, y, torch.Generator().manual_seed(1), WindowAugmentation())
    empty = ~truth.any(2).any(1)
    assert 4 < empty.sum() < 40
    assert (pictures[empty, :3].flatten(2).std(2) < 12).all()


def test_a_stopped_run_is_resumed_to_the_weights_of_one_that_never_stopped(data: Path, tmp_path: Path) -> None:
    settings = ObjectnessTrainConfig("tiny", (str(data),), steps=6, batch=2, seed=4)
    assert ObjectnessTrainer(settings, tmp_path / "whole", quiet).run()
    ObjectnessTrainer(settings, tmp_path / "parts", quiet).run(until_step=2)
    stopped = ObjectnessTrainer(settings, tmp_path / "parts", quiet)
    assert stopped.step == 2
    stopped.stopping = True
    assert not stopped.run()
    resumed = ObjectnessTrainer(settings, tmp_path / "parts", quiet)
    assert resumed.run() and resumed.done
    for run in ("whole", "parts"):
        export_objectness(tmp_path / run, tmp_path / f"{run}.safetensors")
    whole, parts = (objectness.load(tmp_path / f"{run}.safetensors").parameters() for run in ("whole", "parts"))
    assert all(torch.equal(a, b) for a, b in zip(whole, parts, strict=True))
    with pytest.raises(ReconstructionError, match="another steps: 6, not 7"):
        ObjectnessTrainer(replace(settings, steps=7), tmp_path / "parts", quiet)


def test_a_recipe_trains_it_stage_after_stage(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "tiny.recipe.yaml"
    file.write_text(f"""
name: tiny
kind: objectness
render: {{{data}: {{seed: 3, count: 6, per_shard: 3}}}}
settings: {{data: [{data}], batch: 2}}
stages:
  - {{name: first, changes: {{steps: 3}}}}
  - {{name: second, changes: {{steps: 2, keep: 0.5}}}}
""")
    assert main(["train", str(file), "-o", str(tmp_path / "run")]) == 0
    with safe_open(tmp_path / "run" / "tiny.safetensors", "pt") as weights:
        recipe = json.loads(weights.metadata()["recipe"])
    assert (recipe["steps"], recipe["start"], recipe["keep"]) == (2, "first.safetensors", 0.5)
    objectness.load(tmp_path / "run" / "tiny.safetensors")
