"""What training refuses before it spends time: settings that no step can be made with, and states that are none."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tiny_training import TINY, config

from mvgamba_ros.cli import main
from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.io.results import check_writable
from mvgamba_ros.model.checkpoint import FORMAT, load_checkpoint
from mvgamba_ros.training.loop import Trainer
from mvgamba_ros.training.recipe_run import export_latest


@pytest.mark.parametrize("counts", [{}, {0: 1.0}, {9: 1.0}, {2: -1.0}, {2: 0.0}, {2: float("nan")}])
def test_numbers_of_views_that_cannot_be_drawn_are_refused(tmp_path: Path, counts: dict[int, float]) -> None:
    with pytest.raises(ReconstructionError, match=r"view_counts .* 1 to 8") as caught:
        Trainer(config(tmp_path, view_counts=counts), tmp_path)
    assert caught.value.code is ErrorCode.BAD_OPTION


def test_crops_that_are_no_whole_patches_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ReconstructionError, match="size 90 must be a multiple of patch 8"):
        Trainer(config(tmp_path, model=replace(TINY, size=90)), tmp_path)


@pytest.mark.parametrize("content", [b"junk", b"", None])
def test_a_damaged_state_is_named_with_what_to_do(tmp_path: Path, content: bytes | None) -> None:
    state = tmp_path / "state.pt"
    if content is None:
        torch.save([1], state)
    else:
        state.write_bytes(content)
    for use in (lambda: export_latest(tmp_path, tmp_path / "out"), lambda: Trainer(config(tmp_path), tmp_path)):
        with pytest.raises(ReconstructionError, match=r"state\.pt is not the state .*delete it") as caught:
            use()
        assert caught.value.code is ErrorCode.BAD_CHECKPOINT and "\n" not in caught.value.message


@pytest.mark.parametrize(
    "header", [{}, {"config": "{"}, {"config": "{}"}, {"config": "[]", "recipe": "{}"}, {"config": "3", "recipe": "3"}]
)
def test_a_checkpoint_whose_header_is_damaged_is_named(tmp_path: Path, header: dict[str, str]) -> None:
    file = tmp_path / "odd.safetensors"
    save_file({"a": torch.zeros(1)}, file, metadata={"format": FORMAT, **header})
    with pytest.raises(ReconstructionError, match=r"odd\.safetensors") as caught:
        load_checkpoint(file)
    assert caught.value.code is ErrorCode.BAD_CHECKPOINT and "\n" not in caught.value.message


def test_a_checkpoint_of_sizes_that_no_network_has_is_named(tmp_path: Path) -> None:
    file = tmp_path / "odd.safetensors"
    values = {"config": json.dumps({"width": "x"}), "recipe": "{}", "format": FORMAT}
    save_file({"a": torch.zeros(1)}, file, metadata=values)
    with pytest.raises(ReconstructionError, match=r"odd\.safetensors"):
        load_checkpoint(file)


def test_a_folder_whose_name_is_no_text_is_refused_before_the_work() -> None:
    for folder in ("out\udcff", "~no_such_user/out"):
        with pytest.raises(ReconstructionError, match="choose another output folder") as caught:
            check_writable(folder)
        assert caught.value.code is ErrorCode.CANNOT_WRITE


@pytest.mark.parametrize(
    "arguments",
    [
        ["data", "render", "x", "--seed", "-1"],
        ["data", "scenes", "x", "--seed", "-1"],
        ["data", "render", "x", "--count", "1e3"],
        ["data", "sheet", "x", "-o", "y.png", "--first", "-1"],
        ["train", "x.yaml", "-o", "y", "--workers", "0"],
        ["train", "x.yaml", "-o", "y", "--until-step", "0"],
        ["eval", "x", "-o", "y", "--counts", "0"],
    ],
)
def test_a_number_that_counts_nothing_is_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "give a whole number" in capsys.readouterr().err
