"""Training samples: crops, depths and intervals are true to the objects."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree
from tiny_training import EXACT

from mvgamba_ros.geometry.torch_rays import pixel_rays
from mvgamba_ros.geometry.unit_cube import UnitCube
from mvgamba_ros.model.cost_volume import hull_intervals
from mvgamba_ros.model.raygamba_config import RayGambaConfig
from mvgamba_ros.rendering.crops import CropWindow, crop_image, crop_intrinsics, make_crops, silhouette_window
from mvgamba_ros.synthesis.shards import Shards
from mvgamba_ros.training.sample_batches import collate, crop_depth, make_sample
from mvgamba_ros.types import Camera, View


@pytest.mark.parametrize("seed", range(4))
def test_the_true_depths_of_a_sample_lie_on_the_object(data: Path, seed: int) -> None:
    """In the mirror too."""
    sampling = replace(EXACT, mirrored=float(seed % 2))
    sample = make_sample(Shards(data)[seed % 3], 4, 1, 96, 48, sampling, np.random.default_rng(seed))
    batch = collate([sample]).inputs()
    origins, directions = pixel_rays(batch.K, batch.T_cube_camera, 48, 96)
    surface = cKDTree(sample.points.numpy())
    for depth in (sample.front, sample.back):
        points = origins[0, :, None, None] + depth[..., None] * directions[0]
        points = points[torch.isfinite(depth)].numpy()
        assert len(points) > 200
        # 4,096 points on a surface of some 10 square units are about 0.03 apart
        assert np.median(surface.query(points)[0]) < 0.03


def test_crops_need_not_be_as_large_as_the_stored_pictures(data: Path) -> None:
    """The same crop at another size: intrinsics and picture agree, depths and targets are what they were."""
    small, large = (make_sample(Shards(data)[0], 2, 1, s, 48, EXACT, np.random.default_rng(4)) for s in (96, 128))
    assert large.rgb.shape == (2, 3, 128, 128)
    assert torch.allclose(large.K[:, :2] * (96 / 128), small.K[:, :2], rtol=1e-5)
    shrunk = torch.nn.functional.interpolate(large.alpha[:, None], (96, 96), mode="bilinear")[:, 0]
    assert float((shrunk - small.alpha).abs().mean()) < 0.01
    assert torch.equal(large.front.nan_to_num(0), small.front.nan_to_num(0))
    assert large.target_rgb.shape == small.target_rgb.shape == (1, 96, 96, 3)


def test_the_hull_interval_holds_the_true_depths(data: Path) -> None:
    batch = collate([make_sample(Shards(data)[0], 6, 1, 96, 48, EXACT, np.random.default_rng(1))])
    rays = hull_intervals(batch.inputs(), RayGambaConfig(size=96))
    known = rays.valid & torch.isfinite(batch.front)
    assert ((batch.front - rays.near)[known] > -0.04).float().mean() > 0.98
    known = rays.valid & torch.isfinite(batch.back)
    assert ((rays.far - batch.back)[known] > -0.04).float().mean() > 0.98


def test_cropping_moves_a_point_as_it_moves_the_picture() -> None:
    alpha = np.zeros((64, 64), np.uint8)
    alpha[20:24, 30:34] = 255  # centred at (32, 22)
    window = silhouette_window(alpha > 127, 3.0)
    K = np.array([[50.0, 0, 32], [0, 50, 32], [0, 0, 1]])
    cropped = crop_image(np.full((64, 64, 3), 255, np.uint8), alpha, window, 48, on_white=True)
    u, v, _ = crop_intrinsics(K, window, 48) @ [0.0, (22 - 32) / 50, 1.0]
    ys, xs = np.nonzero(cropped[3] > 0.5)
    assert xs.mean() + 0.5 == pytest.approx(u, abs=0.5)
    assert ys.mean() + 0.5 == pytest.approx(v, abs=0.5)


@pytest.mark.parametrize("size", [48, 128])
def test_training_and_inference_crop_the_same_pixels(data: Path, size: int) -> None:
    """A stored view, given to inference as a captured one, at the margin that inference takes."""
    item = Shards(data)[0]
    item = {**item, "alpha": np.where(item["alpha"] > 127, 255, 0).astype(np.uint8)}  # a captured view's mask is hard
    item["rgb"] = np.where(item["alpha"][..., None] > 0, item["rgb"], 255).astype(np.uint8)
    margin = RayGambaConfig().crop_margin
    sampling = replace(EXACT, margin=(margin, margin), tilt=0.0)
    sample = make_sample(item, 8, 1, size, size // 2, sampling, np.random.default_rng(0))
    side = item["alpha"].shape[-1]
    views = [
        View(item["rgb"][v], Camera(item["K"][v].astype(float), side, side), np.eye(4), mask=item["alpha"][v] > 0)
        for v in range(8)
    ]
    crops = make_crops(views, UnitCube(np.zeros(3), 1.0), size, margin)
    for captured in range(8):  # the sample has them in an order of its own
        same = [v for v in range(8) if torch.equal(sample.alpha[v], crops.alpha[0, captured])]
        assert same
        torch.testing.assert_close(sample.rgb[same[0]], crops.rgb[0, captured], atol=1e-6, rtol=0)
        torch.testing.assert_close(sample.K[same[0]], crops.K[0, captured], rtol=1e-6, atol=0)


def test_a_crop_beyond_the_image_is_white_and_empty() -> None:
    black = np.zeros((20, 20, 3), np.uint8)
    window = silhouette_window(np.ones((20, 20), bool), 2.0)
    cropped = crop_image(black, np.ones((20, 20), bool), window, 40)
    assert (window.x0, window.y0, window.side) == (-10, -10, 40)
    assert (cropped[:3, 10:30, 10:30] == 0).all()
    assert (cropped[3, 10:30, 10:30] == 1).all()
    cropped[:, 10:30, 10:30] = [[[1]], [[1]], [[1]], [[0]]]
    assert (cropped[:3] == 1).all()
    assert (cropped[3] == 0).all()


def test_no_depth_is_invented_between_two_surfaces() -> None:
    depth = torch.full((1, 16, 16), 1.0)
    depth[:, :, 8:] = 2.0
    grid = crop_depth(depth, [CropWindow(0, 0, 16)], 8, EXACT.tear)
    known = grid[torch.isfinite(grid)]
    assert len(known) >= 32
    assert set(known.tolist()) == {1.0, 2.0}
