"""The shipped weights do what their card says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import nn

from mvgamba_ros.io.mesh_files import read_mesh
from mvgamba_ros.io.transforms_json import read_capture
from mvgamba_ros.io.weights import read_weights, write_weights
from mvgamba_ros.metrics.shape import shape_errors, surface_points
from mvgamba_ros.model.checkpoint import SHIPPED, load_checkpoint
from mvgamba_ros.options import Options
from mvgamba_ros.pipeline import reconstruct

CARD = Path(__file__).parents[1] / "MODEL_CARD.md"


def card_row(name: str) -> tuple[float, float]:
    """Chamfer in mm and F@5mm of an object, from its row of the card's table."""
    row = re.search(rf"^\| {name} \| ([\d.]+) \| [\d.]+ \| ([\d.]+) \|", CARD.read_text(), re.MULTILINE)
    assert row is not None, f"no row of {name} in {CARD}"
    return float(row[1]), float(row[2])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["milk", "mustard"])
def test_the_figures_of_a_capture_are_those_of_the_card_within_5_percent(captures: Path, name: str) -> None:
    result = reconstruct(read_capture(captures / name), Options(segmenter="masks"))
    errors = shape_errors(surface_points(result.mesh), surface_points(read_mesh(captures / name / "truth.ply")))
    chamfer, f5 = card_row(name)
    assert errors["chamfer_mm"] == pytest.approx(chamfer, rel=0.05)
    assert errors["F@5mm"] == pytest.approx(f5, rel=0.05)


def test_the_file_says_how_it_came_to_be_and_is_small() -> None:
    _, recipe = load_checkpoint()
    assert SHIPPED.stat().st_size < 25e6
    assert {"training", "step", "samples", "data", "metrics", "commit"} <= set(recipe)
    assert recipe["samples"] > 0
    assert recipe["metrics"]["f5"] > 0.5
    assert re.fullmatch(r"[0-9a-f]{40}", recipe["commit"])


def test_weights_are_stored_to_half_precision_and_the_rest_whole(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(64, 32), nn.LayerNorm(32))
    write_weights(tmp_path / "small.safetensors", network, {"name": "small"})
    tensors, header = read_weights(tmp_path / "small.safetensors")
    assert header == {"name": "small"}
    assert {k: v.dtype for k, v in tensors.items() if v.ndim > 1} == {"0.weight": torch.float16}
    torch.testing.assert_close(tensors["0.weight"].float(), network[0].weight.detach(), rtol=2**-11, atol=1e-7)
    assert torch.equal(tensors["0.bias"], network[0].bias.detach())
