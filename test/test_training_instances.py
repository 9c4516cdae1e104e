"""Training the instance network, small."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.camera import project
from mvgamba_ros.segmentation.multiview.instance_network import load
from mvgamba_ros.segmentation.multiview.region_cells import CELLS
from mvgamba_ros.segmentation.multiview.window_layers import LAYERS, SIDE
from mvgamba_ros.synthesis.tabletop import tabletop_scene
from mvgamba_ros.synthesis.tabletop_rig import TabletopRecipe
from mvgamba_ros.synthesis.tabletop_shards import write_tabletop
from mvgamba_ros.training.instance_examples import ExampleRecipe, camera_of, examples
from mvgamba_ros.training.instance_losses import losses_of
from mvgamba_ros.training.instance_shards import ExampleFiles, write_examples
from mvgamba_ros.training.instance_train_config import InstanceTrainConfig
from mvgamba_ros.training.instance_trainer import InstanceTrainer, export_instances, scores_of


def quiet(line: str) -> None:
    pass


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    scenes, folder = tmp_path_factory.mktemp("scenes"), tmp_path_factory.mktemp("examples")
    write_tabletop(scenes, TabletopRecipe(seed=3, count=2, per_shard=1), 1, quiet)
    write_examples(scenes, folder, ExampleRecipe(per_scene=3), 1, quiet)
    return folder


def config(data: Path, **settings: Any) -> InstanceTrainConfig:
    return InstanceTrainConfig("tiny", (str(data),), widths=(4, 6, 8, 10), batch=4, **settings)


def test_what_is_wanted_lies_in_its_region_and_no_pixel_is_two_things() -> None:
    scene = tabletop_scene(3, 0)
    for example in examples(scene, np.random.default_rng(0), ExampleRecipe(per_scene=8, empty=0.0)):
        views = len(example.poses)
        assert example.layers.shape == (views, len(LAYERS), SIDE, SIDE)
        assert example.truth.shape == (views, 2, SIDE, SIDE)
        picture = example.layers[:, LAYERS.index("picture")] > 0
        assert (example.truth.sum(1, dtype=int) <= 257).all() and not example.truth.any(1)[~picture].any()
        wanted = example.truth[:, 0] > 127
        allowed = example.layers[:, LAYERS.index("allowed")] > 127
        assert wanted.any() != example.wide
        assert (wanted & ~allowed).sum() <= 0.05 * wanted.sum() + 5  # pose noise moves the region in the picture
        corner, sides = example.region[:4], example.region[4, :3]
        for row, pose in zip(example.cameras, example.poses, strict=True):
            at, _ = project(camera_of(row), pose, corner[:3, 3][None])
            assert (at[0] > -SIDE).all() and (at[0] < 2 * SIDE).all() and (sides > 0).all()


def test_the_map_of_middles_has_one_peak_for_each_thing_in_the_region() -> None:
    scene = next(s for s in (tabletop_scene(3, k) for k in range(20)) if len(s.bounds) > 1)
    example = next(
        e for e in examples(scene, np.random.default_rng(1), ExampleRecipe(per_scene=9, wide=1.0, turned=0.0))
    )
    middle, sides = example.region[:3, 3], example.region[4, :3]
    inside = [b for b in scene.bounds if (np.abs(b.mean(0) - middle)[:2] < sides[:2] / 2).all()]
    assert (example.middles[0] == 1.0).sum() == len(inside)
    for bounds in inside:
        column, row = ((((bounds.mean(0) - middle) / sides + 0.5)[:2]) * CELLS[:0:-1]).astype(int)
        assert example.middles[0, row, column] > 0.6
        np.testing.assert_allclose(example.middles[4:, row, column], 2 * np.ptp(bounds, 0) / sides, rtol=1e-4)


def test_examples_are_the_same_for_the_same_scenes_and_writing_goes_on(data: Path, tmp_path: Path) -> None:
    files = sorted(data.glob("*.npz"))
    assert len(files) == 2
    held = ExampleFiles(files)
    assert len(held) == len(held.views) and set(held.views) <= {1, 2, 3, 4}
    batch = held.batch([0])
    assert len(batch.layers) == held.views[0] and batch.middles.shape[1:] == (7, *CELLS[1:])


def test_a_run_that_was_stopped_ends_as_one_that_was_not(data: Path, tmp_path: Path) -> None:
    whole = InstanceTrainer(config(data, steps=4), tmp_path / "whole", quiet)
    assert whole.run() and whole.done
    parts = tmp_path / "parts"
    InstanceTrainer(config(data, steps=4), parts, quiet).run(until_step=2)
    again = InstanceTrainer(config(data, steps=4), parts, quiet)
    assert again.step == 2 and again.run()
    for a, b in zip(whole.network.parameters(), again.network.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=0.0, rtol=0.0)
    export_instances(parts, tmp_path / "w.safetensors")
    scores = scores_of(load(tmp_path / "w.safetensors"), again.held)
    assert all(np.isnan(score) or 0.0 <= score <= 1.0 for score in scores.values())
    with pytest.raises(ReconstructionError) as error:
        InstanceTrainer(config(data, steps=5), parts, quiet)
    assert error.value.code is ErrorCode.BAD_OPTION and "steps" in error.value.message


def test_training_lessens_the_loss(data: Path, tmp_path: Path) -> None:
    trainer = InstanceTrainer(replace(config(data, steps=12), learning_rate=6e-3), tmp_path, quiet)
    batch = trainer.examples.batch([0])

    @torch.no_grad()
    def loss() -> float:
        maps = trainer.network(batch.layers.float(), batch.cells)
        parts = losses_of(maps, batch, trainer.config)
        return float(parts["fine"] + parts["coarse"])

    before = loss()
    trainer.run()
    assert loss() < 0.97 * before


def test_one_file_is_too_little_to_train_on(tmp_path: Path) -> None:
    with pytest.raises(ReconstructionError) as error:
        InstanceTrainer(config(tmp_path), tmp_path / "run", quiet)
    assert error.value.code is ErrorCode.BAD_OPTION and "one is held out" in error.value.message
