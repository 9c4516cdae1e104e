"""The objectness network: its inputs, its file, and what it is there for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rendered import CENTER, SIZE, views

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.camera import resample
from mvgamba_ros.segmentation import plane_matching as plane
from mvgamba_ros.segmentation.classical import objectness
from mvgamba_ros.segmentation.classical.classical_segmenter import ClassicalSegmenter
from mvgamba_ros.segmentation.network_pictures import fitted_size
from mvgamba_ros.segmentation.windows import make_windows
from mvgamba_ros.types import Box, Prompts


def windows(side: int) -> list:
    T = np.eye(4)
    T[:3, 3] = CENTER
    region = Box(T, 1.4 * np.asarray(SIZE))
    return make_windows(views(3), region, Prompts(roi=region), side)


@pytest.mark.parametrize("side", [60, 200])
def test_windows_of_any_size_fill_the_upper_left_corner_and_zeros_the_rest(side: int) -> None:
    seen = windows(side)
    x = objectness.inputs(seen, plane.compare(seen, 0.0))
    assert x.shape == (3, objectness.CHANNELS, objectness.SIDE, objectness.SIDE)
    for picture, window in zip(x, seen, strict=True):
        height, width = fitted_size(window, objectness.SIDE)
        assert max(height, width) == objectness.SIDE
        assert (picture[4, :height, :width] == 255).all()
        assert picture[4].astype(int).sum() == 255 * height * width
        np.testing.assert_allclose(picture[:3, :height, :width].mean((1, 2)), window.rgb.mean((0, 1)), atol=2)
        assert picture[3].mean() / picture[4].mean() == pytest.approx(window.allowed.mean(), abs=0.02)
        table = (picture[5] == 255) & (picture[3] == 0)
        assert picture[6, table].mean() > 180  # which matches itself


def test_without_a_plane_its_channels_are_zero() -> None:
    seen = windows(100)
    assert not objectness.inputs(seen, [[] for _ in seen])[:, 5:].any()


def test_the_shipped_network_finds_the_ellipsoid_by_itself() -> None:
    seen = windows(200)
    for odds, window, view in zip(
        objectness.log_odds(objectness.load(), seen, [[] for _ in seen]), seen, views(3), strict=True
    ):
        assert view.mask is not None
        truth = resample(view.mask.astype(np.float32), view.camera, window.camera) > 0.5
        assert odds.shape == window.shape
        found = (odds > 0) & window.allowed
        assert (found & truth).sum() / (found | truth).sum() > 0.9


def test_a_network_is_the_same_after_it_was_saved(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = objectness.Objectness((8, 12)).eval()
    objectness.save(tmp_path / "small.safetensors", network, {"steps": 1})
    again = objectness.load(tmp_path / "small.safetensors")
    x = 255 * torch.rand(2, objectness.CHANNELS, objectness.SIDE, objectness.SIDE)
    torch.testing.assert_close(network(x), again(x), rtol=1e-2, atol=1e-2)
    network.load_state_dict({k: v.half().float() if v.ndim > 1 else v for k, v in network.state_dict().items()})
    assert torch.equal(network(x), again(x))  # filters are stored in half precision, and nothing else has changed


def test_a_missing_or_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.safetensors").write_bytes(b"not weights")
    for name in ("missing", "broken"):
        with pytest.raises(ReconstructionError, match=name) as caught:
            objectness.load(tmp_path / f"{name}.safetensors")
        assert caught.value.code is ErrorCode.BAD_CHECKPOINT


def test_a_grey_object_on_grey_felt_is_found(tmp_path: Path) -> None:
    """Its colours are its table's: what tells them apart are outline, shading and shadow."""
    pytest.importorskip("mvgamba_ros.sim.engine")
    import trimesh

    from mvgamba_ros.sim.robot_arm import SimulatedArm
    from mvgamba_ros.sim.scene import Scene
    from mvgamba_ros.sim.wrist_camera import photograph

    can = trimesh.creation.cylinder(0.035, 0.1)
    can.apply_translation([0, 0, 0.05])
    can.visual.vertex_colors = [128, 128, 128, 255]
    can.export(tmp_path / "can.ply")
    truth = photograph(SimulatedArm(Scene(object_name=str(tmp_path / "can.ply"), table="gray-felt")), 4)
    found = ClassicalSegmenter()([replace(view, mask=None) for view in truth], Prompts()).masks
    ious = [(mask & view.mask).sum() / (mask | view.mask).sum() for mask, view in zip(found, truth, strict=True)]
    assert np.mean(ious) > 0.75, ious
