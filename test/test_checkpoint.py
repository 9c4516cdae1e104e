"""The shipped weights reach the figures of their card; files load strictly, earlier formats by their table."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.io.capture_readers import read_capture
from mvgamba_ros.io.mesh_files import read_mesh
from mvgamba_ros.io.weights import read_weights, write_weights
from mvgamba_ros.metrics.shape import shape_errors, surface_points
from mvgamba_ros.model.checkpoint import FORMAT, SHIPPED, load_checkpoint, save_checkpoint
from mvgamba_ros.model.raygamba import RayGamba, RayGambaConfig
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
    colour_only = [replace(view, depth=None) for view in read_capture(captures / name)]
    result = reconstruct(colour_only, Options(segmenter="masks"))
    errors = shape_errors(surface_points(result.mesh), surface_points(read_mesh(captures / name / "truth.ply")))
    chamfer, f5 = card_row(name)
    assert errors["chamfer_mm"] == pytest.approx(chamfer, rel=0.05)
    assert errors["F@5mm"] == pytest.approx(f5, rel=0.05)


def test_the_file_says_how_it_came_to_be_and_is_small() -> None:
    _, recipe = load_checkpoint()
    assert SHIPPED.stat().st_size < 25e6
    assert {"training", "step", "samples", "data", "metrics", "commit"} <= set(recipe)
    assert recipe["metrics"]["f5"] > 0.5
    samples, stage = 0, recipe
    while stage is not None:
        samples, stage = samples + stage["samples"], stage.get("started_from")
    assert samples > 200_000
    assert re.fullmatch(r"[0-9a-f]{40}", recipe["commit"])


SMALL = RayGambaConfig(size=48, width=32, skip=16, bins=8, orders=("rows",), cascade_positions=8)


def written(path: Path, format_name: str, names: dict[str, str], keys: dict[str, str]) -> Path:
    """A small network's file in ``format_name``, parts of its tensors' names and keys of its config exchanged."""
    torch.manual_seed(0)
    save_checkpoint(path, RayGamba(SMALL), {"seed": 3})
    tensors, header = read_weights(path)
    for old, new in names.items():
        tensors = {name.replace(old, new): value for name, value in tensors.items()}
    config = {keys.get(key, key): value for key, value in json.loads(header["config"]).items()}
    save_file(tensors, path, metadata={**header, "format": format_name, "config": json.dumps(config)})
    return path


EARLIER = {"cascade_head.": "second_head."}, {"cascade_positions": "second_look"}
"""Names of the format "mvgamba_ros arm 1"."""


def test_a_checkpoint_under_its_earlier_names_is_the_same_network(tmp_path: Path) -> None:
    earlier, recipe = load_checkpoint(written(tmp_path / "earlier.safetensors", "mvgamba_ros arm 1", *EARLIER))
    anew, _ = load_checkpoint(written(tmp_path / "anew.safetensors", FORMAT, {}, {}))
    assert recipe == {"seed": 3}
    assert earlier.config == anew.config == SMALL
    assert earlier.cascade_head is not None
    assert all(torch.equal(value, anew.state_dict()[name]) for name, value in earlier.state_dict().items())


def test_the_shipped_checkpoint_written_anew_is_the_same_network(tmp_path: Path) -> None:
    shipped, recipe = load_checkpoint()
    save_checkpoint(tmp_path / "anew.safetensors", shipped, recipe)
    assert read_weights(tmp_path / "anew.safetensors")[1]["format"] == FORMAT
    anew, kept = load_checkpoint(tmp_path / "anew.safetensors")
    assert kept == recipe
    assert anew.config == shipped.config
    assert all(torch.equal(value, anew.state_dict()[name]) for name, value in shipped.state_dict().items())


def test_a_checkpoint_keeps_the_numbers_of_its_inputs_and_takes_defaults_where_it_has_none(tmp_path: Path) -> None:
    path, config = tmp_path / "own.safetensors", replace(SMALL, crop_margin=1.3, max_views=4, hull_steps=20)
    save_checkpoint(path, RayGamba(config), {})
    assert load_checkpoint(path)[0].config == config
    tensors, header = read_weights(path)
    bare = {
        k: v for k, v in json.loads(header["config"]).items() if k not in ("crop_margin", "max_views", "hull_steps")
    }
    save_file(tensors, path, metadata={**header, "config": json.dumps(bare)})
    assert load_checkpoint(path)[0].config == SMALL


@pytest.mark.parametrize(("names", "keys"), [(EARLIER[0], {}), ({}, EARLIER[1]), ({"blocks.0.norm": "blocks.0.n"}, {})])
def test_other_names_than_the_formats_are_refused(names: dict, keys: dict, tmp_path: Path) -> None:
    """Those of an earlier format, too, in a file of today's."""
    with pytest.raises(ReconstructionError, match=r"wrong\.safetensors") as error:
        load_checkpoint(written(tmp_path / "wrong.safetensors", FORMAT, names, keys))
    assert error.value.code is ErrorCode.BAD_CHECKPOINT


def test_weights_are_stored_to_half_precision_and_the_rest_whole(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(64, 32), nn.LayerNorm(32))
    write_weights(tmp_path / "small.safetensors", network, {"name": "small"})
    tensors, header = read_weights(tmp_path / "small.safetensors")
    assert header == {"name": "small"}
    assert {k: v.dtype for k, v in tensors.items() if v.ndim > 1} == {"0.weight": torch.float16}
    torch.testing.assert_close(tensors["0.weight"].float(), network[0].weight.detach(), rtol=2**-11, atol=1e-7)
    assert torch.equal(tensors["0.bias"], network[0].bias.detach())
