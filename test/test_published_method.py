"""The published network as a method: a mesh of the right shape and size, and errors that name the remedy."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from rendered import CENTER, SIZE, orbit, views

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.distance_field import DistanceField
from mvgamba_ros.geometry.unit_cube import UnitCube, fit
from mvgamba_ros.geometry.view_spread import spread_views
from mvgamba_ros.geometry.visual_hull import carve
from mvgamba_ros.methods.published.conditioning import first_camera_rotation
from mvgamba_ros.methods.published.framing import framed_camera, framed_picture
from mvgamba_ros.methods.published.method import OBJECT_SHARE, MVGambaPublished, network_input
from mvgamba_ros.methods.published.network import PublishedConfig, PublishedNetwork, scan
from mvgamba_ros.methods.published.published_weights import read_published, save_published
from mvgamba_ros.options import Options
from mvgamba_ros.surface.simplification import is_watertight
from mvgamba_ros.synthesis.orbit_cameras import PRESETS, orbit_intrinsics, orbit_poses
from mvgamba_ros.types import Camera, Prompts, View

TINY = PublishedConfig(size=56, views=4, patch=14, width=512, layers=2, drop_path=0.0)
OPTIONS = Options(prompts=Prompts(support_height=0.0))


@pytest.fixture(scope="module")
def hull() -> DistanceField:
    return carve(views(6), None, 48, 0.0)


def given_to_the_network(seen: list[View], hull: DistanceField) -> tuple[UnitCube, np.ndarray, torch.Tensor]:
    """The cube, the rotation into the first camera's frame, and what the network is given."""
    R = first_camera_rotation(torch.from_numpy(np.stack([view.T_world_camera for view in seen]))[None])
    low, high = hull.bounds()
    cube = fit(low, high, margin=OBJECT_SHARE)
    return cube, R[0].numpy(), network_input(seen, cube, R, TINY.size)


@pytest.fixture(scope="module")
def checkpoint(hull: DistanceField, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A seeded network whose last layers, by least squares, know the rendered ellipsoid from four of its views: a small
    opaque Gaussian a token, evenly over the surface."""
    torch.manual_seed(0)
    network = PublishedNetwork(TINY).eval()
    cube, R, given = given_to_the_network(views(4), hull)
    z = 1 - 2 * (np.arange(TINY.tokens) + 0.5) / TINY.tokens
    angle = np.arange(TINY.tokens) * np.pi * (3 - np.sqrt(5))
    sphere = np.stack([np.sqrt(1 - z**2) * np.cos(angle), np.sqrt(1 - z**2) * np.sin(angle), z], 1)
    means = torch.from_numpy(cube.to_unit(CENTER + sphere * SIZE / 2) @ R.T).float()
    decoder = network.decoder
    with torch.no_grad():
        torch.nn.init.normal_(network.transformer.pos_embed)  # tokens that differ
        tokens = scan(network.map_image(given[0])).flatten(0, 1)
        features = decoder.mlp_net(network.transformer(tokens[None]))[0]
        # the softmax of a parabola over the bins is a Gaussian, whose mean is where the parabola has its top
        logits = -((means[..., None] - decoder.coords) / 0.08).square() / 2
        decoder.gs_layer["xyz"].weight.copy_((torch.linalg.pinv(features) @ logits.flatten(1)).T)
        for name, bias in (("opacity", 8.0), ("scale", 0.0)):  # almost 1; 0.07 of the cube's half side
            decoder.gs_layer[name].weight.zero_()
            decoder.gs_layer[name].bias.fill_(bias)
    path = tmp_path_factory.mktemp("published") / "tiny.safetensors"
    save_published(path, network)
    return path


def reconstruct(method: MVGambaPublished, count: int, hull: DistanceField):
    return method(views(count), hull, OPTIONS, lambda stage, fraction: None, lambda: False)


def test_a_network_that_knows_the_object_gives_its_closed_mesh_in_metres(checkpoint: Path, hull: DistanceField) -> None:
    shape = reconstruct(MVGambaPublished(str(checkpoint), "cpu"), 4, hull)
    assert is_watertight(shape.mesh.faces)
    assert len(shape.mesh.faces) <= OPTIONS.max_faces
    low, high = shape.mesh.vertices.min(0), shape.mesh.vertices.max(0)
    np.testing.assert_allclose(high - low, SIZE, atol=0.008)
    np.testing.assert_allclose((low + high) / 2, CENTER, atol=0.005)
    assert shape.gaussians is not None
    assert len(shape.gaussians.means) == TINY.tokens
    np.testing.assert_allclose(shape.gaussians.means.numpy().mean(0), CENTER, atol=0.005)


def test_settings_of_the_run_make_the_mesh(checkpoint: Path, hull: DistanceField) -> None:
    method, config = MVGambaPublished(str(checkpoint), "cpu"), OPTIONS.config
    few = replace(config, gaussian_meshing=replace(config.gaussian_meshing, virtual_views=1))
    default, other = (
        method(views(4), hull, replace(OPTIONS, config=c), lambda *_: None, lambda: False) for c in (config, few)
    )
    assert len(default.mesh.vertices) != len(other.mesh.vertices)


def test_the_config_is_the_files_own(checkpoint: Path) -> None:
    network = MVGambaPublished(str(checkpoint), "cpu").network
    assert network.config == TINY
    again = read_published(checkpoint, TINY)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), again.parameters(), strict=True))


def test_of_more_views_those_furthest_apart_are_taken_and_fewer_are_refused(
    checkpoint: Path, hull: DistanceField, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = MVGambaPublished(str(checkpoint), "cpu")
    seen: list[torch.Tensor] = []
    forward = method.network.forward
    monkeypatch.setattr(method.network, "forward", lambda x: seen.append(x) or forward(x))
    six = views(6)
    reconstruct(method, 6, hull)
    poses = np.stack([view.T_world_camera for view in six])
    low, high = hull.bounds()
    chosen = spread_views(poses, (low + high) / 2, 4)
    assert torch.equal(seen[0], given_to_the_network([six[i] for i in chosen], hull)[2])
    with pytest.raises(ReconstructionError, match="3 views: this checkpoint of mvgamba-published takes 4") as error:
        reconstruct(method, 3, hull)
    assert error.value.code is ErrorCode.TOO_FEW_VIEWS


def test_of_a_camera_like_the_authors_the_whole_picture_is_given() -> None:
    preset = PRESETS["mvgamba"]
    camera = Camera(orbit_intrinsics(preset.fov_deg, 64), 64, 64)
    for pose in orbit_poses(preset.inputs, preset.distance, np.zeros(3)):
        np.testing.assert_allclose(framed_camera(camera, pose, 64).K, camera.K, atol=1e-9)
    image = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    picture = framed_picture(image, np.full((64, 64), True), camera, framed_camera(camera, pose, 64))
    np.testing.assert_allclose(picture.transpose(1, 2, 0) * 255, image, atol=0.6)


def test_spread_views_go_around_the_object() -> None:
    poses = np.stack(orbit(8))
    assert spread_views(poses, CENTER, 8) == list(range(8))
    doubled = np.repeat(np.stack(orbit(4)), 2, axis=0)  # each pose twice: one of each is enough
    assert [i // 2 for i in spread_views(doubled, CENTER, 4)] == [0, 1, 2, 3]


def test_no_checkpoint_is_an_error_that_says_where_weights_come_from() -> None:
    with pytest.raises(ReconstructionError, match=r"authors released no weights\. Train its network") as error:
        MVGambaPublished()
    assert error.value.code is ErrorCode.BAD_CHECKPOINT


def test_weights_that_are_not_numbers_are_refused_by_name(checkpoint: Path, tmp_path: Path) -> None:
    network = read_published(checkpoint)
    with torch.no_grad():
        network.transformer.pos_embed[3, 2] = torch.nan
    save_published(tmp_path / "nan.safetensors", network)
    with pytest.raises(ReconstructionError, match=r"transformer\.pos_embed has values that are not finite") as error:
        MVGambaPublished(str(tmp_path / "nan.safetensors"), "cpu")
    assert error.value.code is ErrorCode.BAD_CHECKPOINT


@pytest.mark.parametrize("content", [None, b"", b"not a checkpoint"])
@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_a_file_that_is_no_checkpoint_is_refused_by_name(suffix: str, content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / f"weights.{suffix}"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ReconstructionError, match=rf"weights\.{suffix}") as error:
        MVGambaPublished(str(path), "cpu")
    assert error.value.code is ErrorCode.BAD_CHECKPOINT


def test_a_config_that_the_network_has_not_is_refused(tmp_path: Path) -> None:
    network = PublishedNetwork(TINY)
    network.config = replace(TINY, width=32)
    save_published(tmp_path / "other.safetensors", network)
    with pytest.raises(ReconstructionError, match="its config wants") as error:
        MVGambaPublished(str(tmp_path / "other.safetensors"), "cpu")
    assert error.value.code is ErrorCode.BAD_CHECKPOINT


def test_it_stops_between_network_and_surface_when_cancelled(checkpoint: Path, hull: DistanceField) -> None:
    method = MVGambaPublished(str(checkpoint), "cpu")
    reached: list[str] = []
    call = partial(method, views(4), hull, OPTIONS, lambda stage, fraction: reached.append(stage))
    with pytest.raises(ReconstructionError) as error:
        call(lambda: bool(reached))
    assert error.value.code is ErrorCode.CANCELLED
    assert reached == ["network"]
