"""The multi-view UNet: the authors' names, shapes and numbers, and what it costs."""

from __future__ import annotations

import gzip
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_diffusion import UNET, drawn, unet, write_unet
from torch.utils.flop_counter import FlopCounterMode

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.generate.canonical_cameras import AZIMUTHS, PAINTED, orbit_pose, painted_cameras, square_camera
from mvgamba_ros.generate.diffusers_folder import load_unet
from mvgamba_ros.generate.multiview_unet import MultiViewUNet, UNetConfig, sinusoids
from mvgamba_ros.geometry.camera import project
from mvgamba_ros.kernels.device import choose_device
from mvgamba_ros.kernels.scan_cuda import FoundScan

GOLDEN: dict[str, Any] = json.loads(
    gzip.decompress((Path(__file__).parent / "data" / "multiview_unet.json.gz").read_bytes())
)
"""Read off the authors' code (ashawkey/mvdream_diffusers, 8b318ef). ``states``: names and shapes of the published
sizes. ``outputs``: every 97th number that a small network of theirs gives, with the weights and inputs of
`tiny_diffusion`. ``pictures``: every 1,531st of what their pipeline paints with the parts of `plain_parts`."""
IMAGE_TOKENS = {"mvdream": 0, "imagedream": 16}


@lru_cache
def published(image_tokens: int) -> MultiViewUNet:
    """Of the published size, without memory for its weights."""
    with torch.device("meta"):
        return MultiViewUNet(UNetConfig(ip_dim=image_tokens))


@pytest.mark.parametrize("name", IMAGE_TOKENS)
def test_names_and_shapes_are_the_authors(name: str) -> None:
    network = published(IMAGE_TOKENS[name])
    assert {key: list(value.shape) for key, value in network.state_dict().items()} == GOLDEN["states"][name]


@pytest.mark.parametrize(("name", "image_tokens"), [("mvdream", 0), ("imagedream", 3)])
def test_it_gives_the_authors_numbers(name: str, image_tokens: int) -> None:
    network = unet(image_tokens)
    views = 5 if image_tokens else 4
    count = 2 * views
    latents, tokens = drawn("latents", count, 4, 8, 8), None
    cameras = torch.from_numpy(painted_cameras())
    if image_tokens:
        cameras = torch.cat([cameras, torch.zeros(1, 16)])
        latents[views - 1 :: views] = drawn("image_latents", 2, 4, 8, 8)
        tokens = network.image_embed(drawn("features", count, 5, 1280))
    context = drawn("context", count, 7, UNET["context_dim"])
    with torch.no_grad():
        noise = network(latents, torch.full((count,), 601.0), context, cameras.repeat(2, 1), views, tokens)
    np.testing.assert_allclose(noise.flatten()[::97], GOLDEN["outputs"][name], atol=2e-5)


def test_views_see_each_other_and_objects_do_not() -> None:
    network = unet(0)
    latents, context = drawn("latents", 8, 4, 8, 8), drawn("context", 8, 7, UNET["context_dim"])
    cameras, steps = torch.from_numpy(painted_cameras()).repeat(2, 1), torch.full((8,), 300.0)
    changed = latents.clone()
    changed[2] += 1.0  # of the first object's four views
    with torch.no_grad():
        moved = (network(changed, steps, context, cameras, 4) - network(latents, steps, context, cameras, 4)).abs()
    assert (moved[:4].amax((1, 2, 3)) > 1e-4).all()
    assert moved[4:].max() == 0.0


def test_a_camera_of_its_own_changes_what_a_view_shows() -> None:
    network = unet(0)
    latents, context = drawn("latents", 4, 4, 8, 8), drawn("context", 4, 7, UNET["context_dim"])
    cameras, steps = torch.from_numpy(painted_cameras()), torch.full((4,), 300.0)
    with torch.no_grad():
        there, turned = (network(latents, steps, context, c, 4) for c in (cameras, cameras.roll(1, 0)))
    assert (there - turned).abs().max() > 1e-3


def test_the_noise_level_is_embedded_by_cosines_then_sines() -> None:
    embedded = sinusoids(torch.tensor([0.0, 3.0]), 4)
    np.testing.assert_allclose(embedded[0], [1.0, 1.0, 0.0, 0.0])
    np.testing.assert_allclose(embedded[1], [np.cos(3), np.cos(0.03), np.sin(3), np.sin(0.03)], atol=1e-6)


@pytest.mark.parametrize(("image_tokens", "least", "most"), [(0, 48, 50), (16, 63, 65)])
def test_thirty_guided_steps_cost_what_the_page_states(image_tokens: int, least: int, most: int) -> None:
    views = 5 if image_tokens else 4
    with torch.device("meta"):
        network = published(image_tokens)
        inputs = (torch.empty(2 * views, 4, 32, 32), torch.empty(2 * views), torch.empty(2 * views, 77, 1024))
        tokens = torch.empty(2 * views, image_tokens, 1024) if image_tokens else None
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(*inputs, torch.empty(2 * views, 16), views, tokens)
    assert least < 30 * counter.get_total_flops() / 1e12 < most


def test_the_cameras_are_the_authors() -> None:
    front, right = painted_cameras()[1].reshape(4, 4), painted_cameras()[2].reshape(4, 4)
    np.testing.assert_allclose(front, [[0, 0, 1, 1], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]], atol=1e-6)
    np.testing.assert_allclose(right, [[-1, 0, 0, 0], [0, 0, 1, 1], [0, 1, 0, 0], [0, 0, 0, 1]], atol=1e-6)
    first = painted_cameras()[0].reshape(4, 4)
    np.testing.assert_allclose(first[:3, 3], [0, -1, 0], atol=1e-6)
    assert [round(np.degrees(AZIMUTHS[view])) for view in PAINTED] == [270, 0, 90, 180]


def test_what_is_in_the_cube_is_in_the_picture_and_upright() -> None:
    camera = square_camera(256)
    points = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 0.5], [0.0, 0.5, 0.0], [0.0, 0.68, 0.0]])
    pixels, depth = project(camera, orbit_pose(0.0), points)
    np.testing.assert_allclose(pixels[0], [128, 128], atol=1e-9)
    np.testing.assert_allclose(depth, 1.5)
    assert pixels[1, 1] < 128 and pixels[1, 0] == pytest.approx(128)
    assert pixels[2, 0] > 128  # from +x, +y is to the right
    assert 255 < pixels[3, 0] < 256  # tan(49.1 / 2 degrees) * 1.5 is 0.685


def test_a_folders_network_loads_in_its_own_type(tmp_path: Path) -> None:
    network, provenance = load_unet(write_unet(tmp_path, 3), "give another")
    assert network.config == UNetConfig(**UNET, ip_dim=3) and not network.training
    kept = unet(3).state_dict()
    assert all(torch.equal(value, kept[name].half()) for name, value in network.state_dict().items())
    assert provenance["checkpoint"] == "diffusion_pytorch_model.safetensors"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda tensors: tensors.pop("out.2.bias"), r"tensor out\.2\.bias is missing"),
        (lambda tensors: tensors.update(extra=torch.zeros(1)), "tensor extra is of no part of the network"),
        (lambda tensors: tensors.update({"out.2.bias": torch.zeros(3)}), r"tensor out\.2\.bias is \(3,\)"),
        (lambda tensors: tensors["out.2.bias"].fill_(np.nan), r"out\.2\.bias has values that are not finite"),
    ],
)
def test_weights_that_do_not_fit_are_refused_by_name(tmp_path: Path, change: Any, words: str) -> None:
    path = write_unet(tmp_path, 0) / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)
    refused(tmp_path, words)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"transformer_depth": 2}', "transformer_depth 2 must be a whole number, 1 to 1"),
        ('{"use_scale_shift_norm": true}', "config's use_scale_shift_norm True is of another network"),
        ('{"num_head_channels": 7}', "32 channels are no multiple of num_head_channels 7"),
        ('{"channel_mult": [1, 1000000]}', "channel_mult .* must be 1 to 8 whole numbers, each 1 to 16"),
        ('{"context_dim": "24"}', "context_dim '24' is no int"),
        ("[]", "it holds a list"),
        ("{", "config.json"),
    ],
)
def test_a_config_of_another_network_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = write_unet(tmp_path, 0) / "unet" / "config.json"
    changed = {**json.loads(path.read_text()), **json.loads(text)} if text.endswith("}") else None
    path.write_text(text if changed is None else json.dumps(changed))
    refused(tmp_path, words)


def refused(folder: Path, words: str) -> None:
    with pytest.raises(ReconstructionError, match=words) as caught:
        load_unet(folder, "give another")
    assert caught.value.code is ErrorCode.BAD_CHECKPOINT
    assert caught.value.message.startswith("checkpoint ") and caught.value.message.endswith("give another")


def test_a_gpu_on_which_no_scan_works_will_do_where_nothing_scans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    nothing = FoundScan("", None, {"torch": "no kernel image"})
    monkeypatch.setattr("mvgamba_ros.kernels.device.working_scan", lambda name: nothing)
    for name in ("auto", "cuda"):
        assert choose_device(name, scans=False) == (torch.device("cuda"), ())
    assert choose_device("auto")[0] == torch.device("cpu")
