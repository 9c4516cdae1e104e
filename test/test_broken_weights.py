"""Weights that are no network's give BAD_CHECKPOINT, or a result that is low and tells why; never a silent hull."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import rendered
import torch
from safetensors.torch import save_file
from torch import Tensor

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.io.weights import read_weights
from mvgamba_ros.methods.published.network import PublishedConfig, PublishedNetwork
from mvgamba_ros.methods.published.published_weights import read_published, save_published
from mvgamba_ros.model import checkpoint
from mvgamba_ros.model.checkpoint import SHIPPED, load_checkpoint, save_checkpoint
from mvgamba_ros.model.raygamba import RayGamba, RayGambaConfig
from mvgamba_ros.options import Options
from mvgamba_ros.pipeline import reconstruct
from mvgamba_ros.reconstruction import Reconstruction
from mvgamba_ros.segmentation.classical import objectness

SMALL = RayGambaConfig(size=48, width=32, skip=16, bins=8, orders=("rows",))
VIEWS = rendered.views(3)
Edit = Callable[[Tensor], Tensor]


def broken(path: Path, edit: Edit) -> Path:
    """A small network's file, every tensor of it edited."""
    torch.manual_seed(0)
    save_checkpoint(path, RayGamba(SMALL), {})
    tensors, header = read_weights(path)
    save_file({name: edit(value) for name, value in tensors.items()}, path, metadata=header)
    return path


def with_header(path: Path, **header: str) -> Path:
    save_checkpoint(path, RayGamba(SMALL), {})
    tensors, before = read_weights(path)
    save_file(tensors, path, metadata={**before, **header})
    return path


def refused(call: Callable[[], object], *words: str) -> None:
    with pytest.raises(ReconstructionError) as caught:
        call()
    assert caught.value.code is ErrorCode.BAD_CHECKPOINT, caught.value.message
    assert all(word in caught.value.message for word in words), caught.value.message
    assert "\n" not in caught.value.message and len(caught.value.message) < 1000


def shape_of(path: Path) -> Reconstruction:
    options = Options(checkpoint=str(path), segmenter="masks", hull_resolution=48, cloud_points=1000, device="cpu")
    return reconstruct(VIEWS, options)


@pytest.mark.parametrize(
    ("edit", "word"),
    [
        (lambda v: torch.full_like(v, torch.nan), "not finite"),
        (lambda v: torch.where(torch.arange(v.numel()).view_as(v) == 3, torch.inf, v), "not finite"),
        (lambda v: (50 * v).to(torch.int8), "int8"),
        (lambda v: v > 0, "bool"),
        (lambda v: v.flatten(), "its config wants"),
    ],
)
def test_tensors_that_are_no_weights_are_refused(edit: Edit, word: str, tmp_path: Path) -> None:
    refused(lambda: shape_of(broken(tmp_path / "odd.safetensors", edit)), "odd.safetensors", word, "mvgamba train")


def test_weights_whose_output_is_not_finite_are_refused(tmp_path: Path) -> None:
    path = broken(tmp_path / "large.safetensors", lambda v: torch.full_like(v, 6e4))
    refused(lambda: shape_of(path), "large.safetensors", "not finite")


def test_a_network_without_effect_makes_a_low_shape_that_tells_so(tmp_path: Path) -> None:
    result = shape_of(broken(tmp_path / "zero.safetensors", torch.zeros_like))
    assert result.quality.low
    assert any("no effect" in why and "zero.safetensors" in why for why in result.quality.reasons)


@pytest.mark.parametrize("content", [b"", b"\xff" * 8, b"\x08" + b"\0" * 7 + b"[1,2,3] "])
def test_a_file_that_is_no_safetensors_is_refused(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "odd.safetensors"
    file.write_bytes(content)
    refused(lambda: load_checkpoint(file), str(file))
    refused(lambda: objectness.load(file), str(file))
    refused(lambda: read_published(file), str(file))
    refused(lambda: load_checkpoint(tmp_path / ("n" * 300)), "too long")


HUGE = {"width": 8192, "d_state": 1024, "orders": ["rows"] * 9}


@pytest.mark.parametrize(
    ("config", "word"),
    [
        (HUGE, "missing"),
        ({"orders": ["rows"] * 1000}, "more than it has tensors"),
        ({"orders": ["diagonal"]}, "diagonal"),
        ({"size": 10**9}, "size"),
        ({"size": 50}, "multiple of patch"),
        ({"width": True}, "width"),
        ({"width": 32.5}, "width"),
        ({"hull_steps": 10**12}, "hull_steps"),
        ({"crop_margin": float("nan")}, "crop_margin"),
        ({"colour": 1}, "colour"),
    ],
)
def test_a_config_that_does_not_fit_is_refused_before_it_takes_memory(
    config: dict[str, object], word: str, tmp_path: Path
) -> None:
    """`HUGE` would be 160 GB."""
    text = json.dumps({**SMALL.to_dict(), **config})
    refused(lambda: load_checkpoint(with_header(tmp_path / "odd.safetensors", config=text)), word)


@pytest.mark.parametrize("config", ["", "{", "[]", "[" * 100_000, "null"])
def test_a_header_that_is_no_config_is_refused(config: str, tmp_path: Path) -> None:
    refused(lambda: load_checkpoint(with_header(tmp_path / "odd.safetensors", config=config)), "odd.safetensors")


@pytest.mark.parametrize("widths", ["", "7", "[]", "[1e9, 4]", "[99999999, 99999999]", '["a", 1]', "[24]"])
def test_widths_that_are_no_networks_are_refused(widths: str, tmp_path: Path) -> None:
    file = tmp_path / "odd.safetensors"
    objectness.save(file, objectness.Objectness((8, 8)), {})
    tensors, header = read_weights(file)
    save_file(tensors, file, metadata={**header, "widths": widths})
    refused(lambda: objectness.load(file), "odd.safetensors")


def test_a_published_networks_header_cannot_take_memory_either(tmp_path: Path) -> None:
    file = tmp_path / "odd.safetensors"
    save_published(file, PublishedNetwork(PublishedConfig(size=28, views=2, width=32, layers=1, d_state=4)))
    tensors, header = read_weights(file)
    for config in ('{"width": 8192, "layers": 256}', '{"width": 1e30}', "[", '{"layers": -1}'):
        save_file(tensors, file, metadata={**header, "config": config})
        refused(lambda: read_published(file), "odd.safetensors")


def test_the_shipped_files_are_held_to_their_digests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module, load in ((checkpoint, load_checkpoint), (objectness, objectness.load)):
        content = bytearray(module.SHIPPED.read_bytes())
        content[-1] ^= 1  # one bit of one weight
        copy = tmp_path / module.SHIPPED.name
        copy.write_bytes(content)
        monkeypatch.setattr(module, "SHIPPED", copy)
        refused(lambda load=load, copy=copy: load(copy), str(copy), "install the package anew")
    assert SHIPPED.is_file()
