"""Augmentation: each disturbance does what its name is, within its bounds, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from mvgamba_ros.synthesis.data_format import DEPTH_UNIT
from mvgamba_ros.synthesis.families import make
from mvgamba_ros.synthesis.pose_sampling import CameraRig
from mvgamba_ros.synthesis.render import render
from mvgamba_ros.training import augment as aug


@pytest.fixture
def disc() -> aug.Picture:
    """An orange disc of radius 30 on white, 96 x 96."""
    row, column = np.mgrid[:96, :96] + 0.5
    alpha = np.clip(30 - np.hypot(row - 48, column - 48) + 0.5, 0, 1).astype(np.float32)
    color = np.array([0.9, 0.5, 0.1], np.float32)
    return color * alpha[..., None] + (1 - alpha[..., None]), alpha


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


PICTURES = {
    "grid_distortion": lambda rgb, alpha, r: aug.grid_distortion(rgb, alpha, r, 0.06),
    "silhouette_errors": aug.silhouette_errors,
    "exposure": aug.exposure,
    "blur": aug.blur,
    "sensor_noise": aug.sensor_noise,
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_disturbed_picture_is_another_picture_still_white_where_it_is_clear(disc: aug.Picture, name: str):
    changed = 0
    for seed in range(20):
        before = [p.copy() for p in disc]
        rgb, alpha = PICTURES[name](*disc, np.random.default_rng(seed))
        for given, kept in zip(disc, before, strict=True):
            np.testing.assert_array_equal(given, kept)
        assert rgb.shape == (96, 96, 3) and alpha.shape == (96, 96)
        assert rgb.dtype == alpha.dtype == np.float32
        assert alpha.min() > -0.1 and alpha.max() < 1.1
        np.testing.assert_allclose(rgb[alpha <= 0], 1.0, atol=0.02)
        changed += np.abs(rgb - disc[0]).max() > 0.01
        again = PICTURES[name](*disc, np.random.default_rng(seed))
        np.testing.assert_array_equal(again[0], rgb)
    assert changed >= 12


def test_light_leaves_the_silhouette_alone(disc: aug.Picture):
    for disturb in (aug.exposure, aug.sensor_noise):
        np.testing.assert_array_equal(disturb(*disc, rng())[1], disc[1])


def test_a_distorted_outline_stays_within_the_strength(disc: aug.Picture):
    for seed in range(10):
        _, alpha = aug.grid_distortion(*disc, np.random.default_rng(seed), 0.02)
        row, column = np.nonzero(alpha > 0.5)
        reach = np.hypot(row + 0.5 - 48, column + 0.5 - 48).max()
        assert reach < 30 + 1.5 * 0.02 * 96 * np.sqrt(2) + 1  # cubic interpolation overshoots its nodes a little


def test_silhouettes_err_both_ways_but_keep_most_of_the_object(disc: aug.Picture):
    area = [aug.silhouette_errors(*disc, np.random.default_rng(s))[1].sum() / disc[1].sum() for s in range(200)]
    assert min(area) > 0.6 and max(area) < 1.35
    assert np.mean(np.array(area) < 0.99) > 0.15
    assert np.mean(np.array(area) > 1.01) > 0.15


def test_camera_jitter_still_looks_at_the_object_from_about_as_far():
    T = np.eye(4)
    T[:3, 3] = [0.1, 0.2, -0.5]
    centre = np.array([0.1, 0.2, 0.1])
    out = np.stack([aug.camera_jitter(T, centre, np.random.default_rng(s), 0.03) for s in range(300)])
    seen = np.einsum("nji,nj->ni", out[:, :3, :3], centre - out[:, :3, 3])
    np.testing.assert_allclose(seen[:, :2], 0, atol=1e-9)
    assert 0.02 < np.std(seen[:, 2] / 0.6) < 0.04
    np.testing.assert_allclose(out[:, :3, :3] @ out[:, :3, :3].transpose(0, 2, 1) - np.eye(3), 0, atol=1e-12)


def test_pose_noise_has_the_size_that_is_asked_for_and_a_part_that_all_views_share():
    T = np.tile(np.eye(4), (6, 1, 1))
    draws = np.stack([aug.pose_noise(T, np.random.default_rng(s), 0.004, 0.001) for s in range(400)])
    shift = draws[:, :, :3, 3]
    assert np.std(shift) == pytest.approx(0.001 * np.hypot(1, 0.7), rel=0.1)
    shared = np.mean(shift[:, 0] * shift[:, 1])
    assert shared == pytest.approx(0.001**2, rel=0.25)
    angle = np.arccos(np.clip((np.trace(draws[:, :, :3, :3], axis1=2, axis2=3) - 1) / 2, -1, 1))
    assert np.sqrt((angle**2).mean() / 3) == pytest.approx(0.004 * np.hypot(1, 0.7), rel=0.1)


def test_a_mirrored_example_is_still_seen_where_its_points_are():
    item = render(make("mug", rng()), CameraRig(views=3, inputs=3, size=64), rng(), points=400)
    for example in (item, aug.mirror(item)):
        for v in range(3):
            T, K = example["T_world_camera"][v].astype(float), example["K"][v].astype(float)
            np.testing.assert_allclose(T[:3, :3] @ T[:3, :3].T, np.eye(3), atol=1e-5)
            assert np.linalg.det(T[:3, :3]) == pytest.approx(1, abs=1e-5)
            camera = (example["points"] - T[:3, 3]) @ T[:3, :3]
            u, w = np.floor((camera @ K.T)[:, :2] / camera[:, 2:]).astype(int).T
            assert (example["alpha"][v][w, u] > 0).mean() > 0.97
            first = example["depth_front"][v][w, u] * DEPTH_UNIT
            assert (camera[:, 2] > first - 0.004)[first > 0].mean() > 0.97
    np.testing.assert_array_equal(aug.mirror(aug.mirror(item))["rgb"], item["rgb"])


def test_other_paint_leaves_white_white():
    rgb = np.full((2, 4, 4, 3), 255, np.uint8)
    rgb[:, 1:3, 1:3] = (10, 100, 200)
    painted = {tuple(aug.recolor(rgb, np.random.default_rng(s))[0, 1, 1]) for s in range(40)}
    assert len(painted) == 6
    assert all(sorted(p) == [10, 100, 200] for p in painted)
    assert (aug.recolor(rgb, rng())[:, 0] == 255).all()


def test_augment_spares_what_is_not_an_input_and_is_deterministic(disc: aug.Picture):
    views = {
        "rgb": np.tile((disc[0] * 255).astype(np.uint8), (4, 1, 1, 1)),
        "alpha": np.tile((disc[1] * 255).astype(np.uint8), (4, 1, 1)),
        "T_world_camera": np.tile(np.eye(4, dtype=np.float32), (4, 1, 1)),
        "K": np.tile(np.eye(3, dtype=np.float32), (4, 1, 1)),
    }
    kept = {k: v.copy() for k, v in views.items()}
    centre = np.array([0, 0, 0.5])
    a, b = (aug.augment(views, centre, rng(), aug.Augmentation()) for _ in range(2))
    for key, value in views.items():
        np.testing.assert_array_equal(value, kept[key])
        np.testing.assert_array_equal(a[key], b[key])
        assert a[key].dtype == value.dtype and a[key].shape == value.shape
    np.testing.assert_array_equal(a["K"], views["K"])
    assert (a["rgb"] != views["rgb"]).any() and (a["T_world_camera"] != views["T_world_camera"]).any()
    still = aug.Augmentation(distort=0, jitter=0, pose=0, silhouette=0, blur=0, exposure=0, noise=0)
    calm = aug.augment(views, centre, rng(), still)
    for key, value in views.items():
        np.testing.assert_array_equal(calm[key], value)
