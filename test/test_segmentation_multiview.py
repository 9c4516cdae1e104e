"""The instance network: its layers, the cells that join its views, and its file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rendered import CENTER, SIZE, views

from mvgamba_ros.errors import ErrorCode, ReconstructionError
from mvgamba_ros.geometry.camera import project
from mvgamba_ros.geometry.rays import rays
from mvgamba_ros.geometry.se3 import transform
from mvgamba_ros.io.weights import write_weights
from mvgamba_ros.segmentation import plane_matching
from mvgamba_ros.segmentation.multiview.color_models import RATIOS, color_cells, color_ratios, contrast_layers
from mvgamba_ros.segmentation.multiview.instance_network import InstanceMaps, InstanceNetwork, load, save
from mvgamba_ros.segmentation.multiview.region_cells import CELLS, STRIDE, RegionCells, joined, region_cells
from mvgamba_ros.segmentation.multiview.region_labels import things_of
from mvgamba_ros.segmentation.multiview.window_layers import (
    LAYERS,
    SIDE,
    depth_layers,
    fitted,
    fitted_camera,
    window_layers,
)
from mvgamba_ros.segmentation.windows import Window, make_windows
from mvgamba_ros.types import Box, Prompts

T = np.eye(4)
T[:3, 3] = CENTER
REGION = Box(T, 1.4 * np.asarray(SIZE))


def windows(side: int = 120, **prompts: object) -> list[Window]:
    return make_windows(views(3), REGION, Prompts(roi=REGION, **prompts), side)


def cells(seen: list[Window]) -> RegionCells:
    return region_cells([fitted_camera(w) for w in seen], [w.T_world_camera for w in seen], REGION, 0.0, SIDE)


def layer(x: np.ndarray, name: str) -> np.ndarray:
    return x[:, LAYERS.index(name)]


@pytest.mark.parametrize("side", [60, 200])
def test_windows_of_any_size_fill_the_upper_left_corner_and_zeros_the_rest(side: int) -> None:
    seen = windows(side)
    x = window_layers(seen, plane_matching.compare(seen, 0.0), REGION, 0.0)
    assert x.shape == (3, len(LAYERS), SIDE, SIDE)
    for k, window in enumerate(seen):
        height, width = fitted(window)
        assert max(height, width) == SIDE
        assert (layer(x, "picture")[k, :height, :width] == 255).all()
        assert layer(x, "picture")[k].astype(int).sum() == 255 * height * width
        np.testing.assert_allclose(x[k, :3, :height, :width].mean((1, 2)), window.rgb.mean((0, 1)), atol=2)
        table = (layer(x, "plane_seen")[k] == 255) & (layer(x, "allowed")[k] == 0)
        assert layer(x, "plane_match")[k, table].mean() > 180  # which matches itself


def test_a_point_on_the_object_is_white_and_one_off_it_black() -> None:
    seen = windows(points={0: np.array([[160.5, 120.5, 1.0], [100.5, 120.5, 0.0]])})
    points = layer(window_layers(seen, [[], [], []], REGION, None), "points")
    assert {0, 128, 255} <= set(np.unique(points[0])) and (points[1][layer_of_picture(seen[1])] == 128).all()


def layer_of_picture(window: Window) -> np.ndarray:
    height, width = fitted(window)
    inside = np.zeros((SIDE, SIDE), bool)
    inside[:height, :width] = True
    return inside


def test_measured_depth_says_what_is_in_the_region_and_how_high() -> None:
    window = windows()[0]
    origin, directions = rays(window.camera, window.T_world_camera)
    ahead = directions @ window.T_world_camera[:3, 2]
    on_plane = ((0.0 - origin[2]) / directions[..., 2] * ahead).astype(np.float32)
    known, inside, height = depth_layers(replace(window, depth=np.maximum(on_plane, 0.0)), REGION, 0.0)
    assert known.all()
    np.testing.assert_allclose(height, round(255 * 0.25 / 1.5), atol=1)  # height 0 between -1/4 and 5/4
    assert not depth_layers(replace(window, depth=None), REGION, 0.0).any()
    assert inside.any() == bool(REGION.T_world_box[2, 3] - REGION.size[2] / 2 < 0.0)


def test_a_cell_is_in_the_pixel_that_shows_it_and_on_that_pixels_ray() -> None:
    seen = windows()
    found = cells(seen)
    across = SIDE // STRIDE
    z, y, x = np.unravel_index(np.arange(np.prod(CELLS)), CELLS)
    places = 2.0 * (np.stack([x, y, z], 1) + 0.5) / CELLS[::-1] - 1.0
    points = transform(REGION.T_world_box, places * REGION.size / 2)
    for v, window in enumerate(seen):
        at, _ = project(fitted_camera(window), window.T_world_camera, points)
        column, row = np.floor(at / STRIDE).astype(int).T
        np.testing.assert_array_equal(found.pixels[v].numpy() - v * (across**2 + 1), row * across + column)
    for ray, passed in list(zip(found.rays.numpy(), found.passed.numpy(), strict=True))[::97]:
        v, pixel = divmod(int(ray), across**2)
        centre = np.array([pixel % across + 0.5, pixel // across + 0.5]) * STRIDE
        at, depth = project(fitted_camera(seen[v]), seen[v].T_world_camera, points[passed])
        half = fitted_camera(seen[v]).K[0, 0] * np.linalg.norm(REGION.size / CELLS[::-1]) / 2 / depth.min()
        assert np.linalg.norm(at - centre, axis=1).max() < half + 1.0  # no further than a cell is wide
        assert (np.diff(depth) > -1e-3).all()  # front to back, but for where a ray crosses two cells' border


@pytest.fixture(scope="module")
def network() -> InstanceNetwork:
    torch.manual_seed(0)
    return InstanceNetwork((8, 12, 16, 20)).eval()


def found(network: InstanceNetwork, seen: list[Window], region: RegionCells) -> InstanceMaps:
    pairs = plane_matching.compare(seen, 0.0)
    with torch.no_grad():
        return network(torch.from_numpy(window_layers(seen, pairs, REGION, 0.0)).float(), region)


def test_the_order_of_views_changes_nothing(network: InstanceNetwork) -> None:
    seen = windows()
    first = found(network, seen, cells(seen))
    turned = [seen[2], seen[0], seen[1]]
    second = found(network, turned, cells(turned))
    torch.testing.assert_close(second.logits, first.logits[[2, 0, 1]], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(second.middles, first.middles, atol=1e-4, rtol=1e-4)


def test_a_view_learns_from_the_others_and_regions_do_not(network: InstanceNetwork) -> None:
    seen = windows()
    alone = found(network, seen[:1], cells(seen[:1]))
    together = found(network, seen, cells(seen))
    assert not torch.allclose(alone.logits[0], together.logits[0], atol=1e-3)
    x = torch.from_numpy(window_layers(seen, plane_matching.compare(seen, 0.0), REGION, 0.0)).float()
    with torch.no_grad():
        both = network(torch.cat([x, x.flip(1)]), joined([cells(seen), cells(seen)], SIDE))
    torch.testing.assert_close(both.logits[:3], together.logits, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(both.middles[:1], together.middles, atol=1e-4, rtol=1e-4)


def test_peaks_of_the_map_are_boxes_in_the_world() -> None:
    middles = np.full((7, *CELLS[1:]), -9.0, np.float32)
    middles[0, 3, 5], middles[1:, 3, 5] = 3.0, [0.01, -0.02, 0.5, 0.4, 0.6, 1.0]
    middles[0, 3, 6], middles[0, 20, 20] = 2.0, 1.0
    middles[1:, 20, 20] = [0.0, 0.0, 0.0, 0.2, 0.2, 0.2]
    first, second = things_of(middles, REGION, 0.5)
    assert first.score > second.score
    x, y = 2 * 5.5 / CELLS[2] - 1 + 0.01, 2 * 3.5 / CELLS[1] - 1 - 0.02
    np.testing.assert_allclose(first.box.T_world_box[:3, 3], CENTER + REGION.size / 2 * [x, y, 0.5], atol=1e-6)
    np.testing.assert_allclose(first.box.size, REGION.size / 2 * [0.4, 0.6, 1.0], atol=1e-6)


def test_weights_come_back_as_they_were_written(network: InstanceNetwork, tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    save(file, network, {"steps": 3})
    again = load(file).state_dict()
    for name, value in network.state_dict().items():  # matrices and filters are kept in float16
        assert torch.equal(again[name], value.half().float() if value.ndim > 1 else value), name


@pytest.mark.parametrize(("name", "value"), [("widths", [8, 12]), ("widths", [8, 12, 16, 9000]), ("rounds", 99)])
def test_a_file_of_another_shape_is_refused(network: InstanceNetwork, tmp_path: Path, name: str, value: object) -> None:
    file = tmp_path / "w.safetensors"
    header = {"widths": json.dumps(network.widths), "rounds": "2"} | {name: json.dumps(value)}
    write_weights(file, network, header)
    with pytest.raises(ReconstructionError) as error:
        load(file)
    assert error.value.code is ErrorCode.BAD_CHECKPOINT and name in error.value.message


def test_colours_tell_what_is_wanted_from_the_rest_in_every_view_of_its_region() -> None:
    rgb = torch.rand(4, 3, 8, 8) * 0.1 + torch.tensor([0.2, 0.7]).view(1, 1, 1, 2).repeat_interleave(4, 3)
    right = torch.zeros(4, 8, 8, dtype=torch.bool)
    right[:, :, 4:] = True
    known = right.clone()
    known[1] = False  # nothing is known of the second view yet: it learns from the first
    shares = torch.stack([~known, known, torch.zeros_like(known)], 1).float()
    ratios = color_ratios(shares, cells_of(rgb), 2)
    assert ratios.shape == (4, RATIOS, 8, 8) and (ratios.abs() <= 1.0).all()
    shared, own = ratios[:, 0], ratios[:, 2]
    assert (shared[0][right[0]] > 0.1).all() and (shared[0][~right[0]] < -0.1).all()
    assert shared[1][right[1]].mean() > shared[1][~right[1]].mean() + 0.2
    assert (own[1] <= 0.0).all()
    torch.testing.assert_close(color_ratios(shares[2:], cells_of(rgb[2:]), 2), ratios[2:])


def cells_of(rgb: torch.Tensor) -> torch.Tensor:
    everywhere = torch.ones(len(rgb), 1, *rgb.shape[2:])
    return color_cells(contrast_layers(rgb, everywhere, everywhere, 2))


def test_a_dark_thing_on_a_dark_table_stands_out_as_the_same_in_bright_light() -> None:
    torch.manual_seed(0)
    grey = 0.5 + 0.02 * torch.rand(2, 1, 32, 32)
    grey[:, :, 8:24, 8:24] += 0.06
    bright = grey.expand(-1, 3, -1, -1)
    everywhere = torch.ones(2, 1, 32, 32)
    layers = contrast_layers(bright, everywhere, everywhere, 2)
    assert layers[:, 0, 8:24, 8:24].mean() - layers[:, 0, :6].mean() > 0.8
    torch.testing.assert_close(contrast_layers(0.3 * bright, everywhere, everywhere, 2)[:, :3], layers[:, :3])
    assert layers.abs().max() <= 1.0
